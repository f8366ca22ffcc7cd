//! Which fields of a message are set, for notes on what is left over.

use prost::Message;
use prost::encoding::{DecodeContext, decode_key, skip_field};

use crate::text::schema;

/// The names of the fields that `message` has set, in backquotes; `None` when there are none.
///
/// `name` is the message's full name.
pub(super) fn set<M: Message>(name: &str, message: &M) -> Option<String> {
    if message.encoded_len() == 0 {
        return None;
    }
    let fields = &schema::Message::named(name)?.fields;
    let binary = message.encode_to_vec();
    let mut rest = binary.as_slice();
    let mut names: Vec<String> = Vec::new();
    while let Ok((number, wire_type)) = decode_key(&mut rest) {
        let field = fields.iter().find(|field| field.number == number);
        let name = field.map_or(format!("{number}"), |field| format!("`{}`", field.name));
        if !names.contains(&name) {
            names.push(name);
        }
        if skip_field(wire_type, number, &mut rest, DecodeContext::default()).is_err() {
            break;
        }
    }
    Some(names.join(", "))
}
