//! Where in a message the parser is, for lookups and for the words of an error.

use super::schema::Message;
use super::suggest;

/// The messages that are open, the outermost first.
#[derive(Debug, Default)]
pub(super) struct Frames {
    frames: Vec<Frame>,
}

#[derive(Debug)]
struct Frame {
    /// The field that holds the message; for the outermost, what the file is.
    field: &'static str,
    message: &'static Message,
    /// The numbers of the singular fields given so far.
    given: Vec<u32>,
    /// A layer's name, once it is read.
    name: Option<String>,
}

impl Frames {
    pub(super) fn enter(&mut self, field: &'static str, message: &'static Message) {
        self.frames.push(Frame { field, message, given: Vec::new(), name: None });
    }

    pub(super) fn leave(&mut self) {
        self.frames.pop();
    }

    /// The message at hand.
    pub(super) fn message(&self) -> &'static Message {
        self.last().message
    }

    /// Marks a singular field as given; whether it was not before.
    pub(super) fn first(&mut self, number: u32) -> bool {
        let Some(frame) = self.frames.last_mut() else { return true };
        let first = !frame.given.contains(&number);
        if first {
            frame.given.push(number);
        }
        first
    }

    /// The first required field of the message at hand that was not given.
    pub(super) fn missing(&self) -> Option<&'static str> {
        let frame = self.last();
        let missing = |field: &&super::schema::Field| field.required && !frame.given.contains(&field.number);
        frame.message.fields.iter().find(missing).map(|field| field.name.as_str())
    }

    pub(super) fn name_layer(&mut self, name: &[u8]) {
        if let Some(frame) = self.frames.last_mut() {
            let name = String::from_utf8_lossy(&name[..name.len().min(200)]);
            frame.name = Some(name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect());
        }
    }

    /// `weight_filler of convolution_param of layer `conv1``, as far out as the innermost layer.
    pub(super) fn place(&self) -> String {
        let mut parts = Vec::new();
        for frame in self.frames.iter().rev() {
            if frame.message.is_layer {
                parts
                    .push(frame.name.as_ref().map_or("a layer".to_owned(), |name| format!("layer `{name}`")));
                break;
            }
            parts.push(frame.field.to_owned());
        }
        parts.join(" of ")
    }

    /// What an unknown field's name was probably meant to be, as the end of a sentence.
    pub(super) fn suggestion(&self, name: &str) -> String {
        let near = suggest::near(name, self.message().fields.iter().map(|field| field.name.as_str()));
        let outer = self.frames.iter().rev().skip(1).find(|frame| frame.message.field(name).is_some());
        match outer {
            Some(_) if self.message().is_layer && name.starts_with("layer") => {
                "; is a closing brace missing in front of it?".to_owned()
            }
            Some(frame) if near.is_empty() => {
                format!("; it belongs outside, beside `{}`", frame_child(self, frame))
            }
            _ => suggest::question(&near),
        }
    }

    fn last(&self) -> &Frame {
        self.frames.last().expect("the outermost message is open while the parser runs")
    }
}

/// The field of `outer` that is open.
fn frame_child<'a>(frames: &'a Frames, outer: &Frame) -> &'a str {
    let inner = frames.frames.iter().skip_while(|frame| !std::ptr::eq(*frame, outer)).nth(1);
    inner.map_or("", |frame| frame.field)
}
