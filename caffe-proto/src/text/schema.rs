//! The schema as tables that the parser walks: made once from the compiled `proto/caffe.proto`.

use std::collections::HashMap;
use std::sync::LazyLock;

use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet};

use crate::proto::DESCRIPTOR;

/// A message: its fields, sorted by name.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) fields: Vec<Field>,
    /// Whether this is a layer, of whichever generation: errors name the layer they are in.
    pub(crate) is_layer: bool,
}

/// A field of a message.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) number: u32,
    pub(crate) kind: Kind,
    pub(crate) repeated: bool,
    pub(crate) required: bool,
}

/// What a field's value is.
#[derive(Debug)]
pub(crate) enum Kind {
    Bool,
    Int32,
    Int64,
    Uint32,
    Uint64,
    Float,
    Double,
    String,
    Bytes,
    /// The names and numbers it may have, in the schema's order.
    Enum(Vec<(String, i32)>),
    /// The message's index in the schema.
    Message(usize),
}

impl Message {
    /// The message of this name in Caffe's package; `None` when the schema has none.
    pub(crate) fn named(name: &str) -> Option<&'static Message> {
        SCHEMA.names.get(name).map(|&index| Self::at(index))
    }

    /// The message that a field of [`Kind::Message`] holds.
    pub(crate) fn at(index: usize) -> &'static Message {
        &SCHEMA.messages[index]
    }

    /// The field of this name.
    pub(crate) fn field(&self, name: &str) -> Option<&Field> {
        let index = self.fields.binary_search_by(|field| field.name.as_str().cmp(name)).ok()?;
        Some(&self.fields[index])
    }
}

static SCHEMA: LazyLock<Schema> = LazyLock::new(Schema::new);

struct Schema {
    messages: Vec<Message>,
    names: HashMap<String, usize>,
}

impl Schema {
    fn new() -> Self {
        let files =
            FileDescriptorSet::decode(DESCRIPTOR).expect("the schema that this crate's build compiled");
        let mut declared = Declared::default();
        for file in &files.file {
            declared.enums(file.package(), &file.enum_type);
            declared.messages(file.package(), &file.message_type);
        }
        let messages = declared.messages.iter().map(|message| Message::new(message, &declared)).collect();
        Self { messages, names: declared.names }
    }
}

/// Every message and enum of the schema, nested ones included, by full name.
#[derive(Default)]
struct Declared<'a> {
    messages: Vec<&'a DescriptorProto>,
    names: HashMap<String, usize>,
    enums: HashMap<String, &'a EnumDescriptorProto>,
}

impl<'a> Declared<'a> {
    fn messages(&mut self, scope: &str, messages: &'a [DescriptorProto]) {
        for message in messages {
            let name = format!("{scope}.{}", message.name());
            self.enums(&name, &message.enum_type);
            self.messages(&name, &message.nested_type);
            self.names.insert(name, self.messages.len());
            self.messages.push(message);
        }
    }

    fn enums(&mut self, scope: &str, enums: &'a [EnumDescriptorProto]) {
        self.enums.extend(enums.iter().map(|values| (format!("{scope}.{}", values.name()), values)));
    }
}

impl Message {
    fn new(message: &DescriptorProto, declared: &Declared<'_>) -> Self {
        let mut fields: Vec<_> = message.field.iter().map(|field| Field::new(field, declared)).collect();
        fields.sort_by(|a, b| a.name.cmp(&b.name));
        let is_layer = matches!(message.name(), "LayerParameter" | "V1LayerParameter" | "V0LayerParameter");
        Self { fields, is_layer }
    }
}

impl Field {
    fn new(field: &FieldDescriptorProto, declared: &Declared<'_>) -> Self {
        let type_name = field.type_name().trim_start_matches('.');
        let kind = match field.r#type() {
            Type::Bool => Kind::Bool,
            Type::Int32 => Kind::Int32,
            Type::Int64 => Kind::Int64,
            Type::Uint32 => Kind::Uint32,
            Type::Uint64 => Kind::Uint64,
            Type::Float => Kind::Float,
            Type::Double => Kind::Double,
            Type::String => Kind::String,
            Type::Bytes => Kind::Bytes,
            Type::Enum => {
                let values = &declared.enums[type_name].value;
                Kind::Enum(values.iter().map(|value| (value.name().to_owned(), value.number())).collect())
            }
            Type::Message => Kind::Message(declared.names[type_name]),
            other => unreachable!("no field of proto/caffe.proto is a {other:?}"),
        };
        Self {
            name: field.name().to_owned(),
            number: field.number() as u32,
            kind,
            repeated: field.label() == Label::Repeated,
            required: field.label() == Label::Required,
        }
    }
}
