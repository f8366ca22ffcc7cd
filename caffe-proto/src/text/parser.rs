//! The grammar of protobuf's text format, and what it writes: the message's binary form.
//!
//! Binary is the shortest way to the generated types, which all read it: the parser needs no knowledge
//! of them, only of the schema's tables. It is handed on piece by piece, whole fields of the outermost message.

use crate::MAX_LAYERS;
use std::ops::Range;

use super::context::Frames;
use super::diagnostic::{Fault, Stop};
use super::lexer::{Kind as Lexeme, Lexer, Token};
use super::schema::{Field, Kind, Message};
use super::wire::Wire;
use super::{Options, Root, literal};

/// How deep messages may be nested: protobuf's own limit.
const MAX_DEPTH: usize = 100;
/// How many layers a net may have.
/// How many bytes the values may take in memory, as [`Parser::charge`] counts them.
const MAX_MEMORY: usize = 128 << 20;
/// How many faults are told of one by one under [`Options::lenient`].
const MAX_WARNINGS: usize = 1000;
/// How many bytes of binary are gathered before they are handed on.
const PIECE: usize = 4 << 20;

/// What to do about a fault that [`Options::lenient`] passes over, and what then becomes of it.
pub(super) type Remedy = (&'static str, &'static str);
const SKIP_FIELD: Remedy = ("`--lenient` skips unknown fields", "skipped");

/// Reads one text.
pub(super) struct Parser<'a> {
    pub(super) text: &'a [u8],
    lexer: Lexer<'a>,
    pub(super) token: Token,
    options: Options,
    pub(super) frames: Frames,
    wire: Wire,
    pub(super) depth: usize,
    layers: usize,
    memory: usize,
    warnings: Vec<Fault>,
    untold: usize,
}

/// A field's name as written.
pub(super) struct Name<'a> {
    pub(super) text: &'a str,
    span: Range<usize>,
}

impl<'a> Parser<'a> {
    pub(super) fn new(text: &'a [u8], options: Options) -> Self {
        let token = Token { kind: Lexeme::End, start: 0, end: 0 };
        Self {
            text,
            lexer: Lexer::new(text),
            token,
            options,
            frames: Frames::default(),
            wire: Wire::default(),
            depth: 0,
            layers: 0,
            memory: 0,
            warnings: Vec::new(),
            untold: 0,
        }
    }

    /// Reads the whole text as a message, and gives what was passed over, in the order of the text.
    pub(super) fn parse<M: Root>(mut self) -> Result<(M, Vec<Fault>), Stop> {
        let mut message = M::default();
        let schema = Message::named(M::MESSAGE).expect("a root is a message of proto/caffe.proto");
        self.frames.enter(M::PLACE, schema);
        self.advance()?;
        while self.token.kind != Lexeme::End {
            let start = self.token.start;
            self.field()?;
            if self.wire.len() >= PIECE || self.token.kind == Lexeme::End {
                let merged = message.merge(self.wire.bytes());
                merged.map_err(|error| Fault::new(start..self.token.start, error.to_string()))?;
                self.wire.clear();
            }
        }
        self.leave(self.token.start..self.token.end)?;
        if self.untold > 0 {
            let what = format!("and {} more such places further down", self.untold);
            self.warnings.push(Fault::new(self.token.start..self.token.end, what));
        }
        Ok((message, self.warnings))
    }

    /// Reads a field, its separator included, into the message at hand.
    fn field(&mut self) -> Result<(), Stop> {
        let name = self.name()?;
        let Some(field) = self.frames.message().field(name.text) else { return self.unknown_field(&name) };
        if !field.repeated && !self.frames.first(field.number) {
            let what = format!("`{}` is given twice in {}", field.name, self.frames.place());
            return Err(Fault::new(name.span, what).into());
        }
        let colon = self.accept(b':')?;
        if !colon && !matches!(field.kind, Kind::Message(_)) {
            return Err(self.expected("`:`", &format!("behind `{}`", field.name)).into());
        }
        if field.repeated && self.accept(b'[')? {
            let mut more = !self.accept(b']')?;
            while more {
                self.value(field)?;
                more = !self.accept(b']')?;
                if more && !self.accept(b',')? {
                    return Err(self
                        .expected("`,` or `]`", &format!("in the list of `{}`", field.name))
                        .into());
                }
            }
        } else {
            self.value(field)?;
        }
        self.separator()
    }

    fn value(&mut self, field: &'static Field) -> Result<(), Stop> {
        self.charge(16)?;
        let number = field.number;
        match &field.kind {
            Kind::Bool => {
                let value = self.boolean(field)?;
                self.wire.varint(number, value.into());
            }
            Kind::Int32 => {
                let value = self.integer(field, i32::MIN.into(), i32::MAX.into())?;
                self.wire.varint(number, value as u64);
            }
            Kind::Int64 => {
                let value = self.integer(field, i64::MIN.into(), i64::MAX.into())?;
                self.wire.varint(number, value as u64);
            }
            Kind::Uint32 => {
                let value = self.integer(field, 0, u32::MAX.into())?;
                self.wire.varint(number, value as u64);
            }
            Kind::Uint64 => {
                let value = self.integer(field, 0, u64::MAX.into())?;
                self.wire.varint(number, value as u64);
            }
            Kind::Float => {
                let value = self.float(field)?;
                self.wire.float(number, literal::single(value));
            }
            Kind::Double => {
                let value = self.float(field)?;
                self.wire.double(number, value);
            }
            Kind::String => {
                let value = self.string(field, true)?;
                self.wire.bytes_field(number, &value);
            }
            Kind::Bytes => {
                let value = self.string(field, false)?;
                self.wire.bytes_field(number, &value);
            }
            Kind::Enum(values) => {
                if let Some(value) = self.enumerator(field, values)? {
                    self.wire.varint(number, i64::from(value) as u64);
                }
            }
            Kind::Message(index) => self.message(field, Message::at(*index))?,
        }
        Ok(())
    }

    fn message(&mut self, field: &'static Field, schema: &'static Message) -> Result<(), Stop> {
        let opening = self.token;
        let closing = self.open(field)?;
        if schema.is_layer {
            self.layers += 1;
            if self.layers > MAX_LAYERS {
                let what = format!("more than {MAX_LAYERS} layers");
                return Err(Stop::TooLarge { what, limit: MAX_LAYERS as u64 });
            }
        }
        self.charge(if schema.is_layer { 1024 } else { 256 })?;
        self.frames.enter(&field.name, schema);
        let nested = self.wire.open(field.number);
        while !self.at_end_of_message(&opening)? {
            self.field()?;
        }
        self.leave(self.token.start..self.token.end)?;
        self.wire.close(nested);
        self.close(closing)?;
        Ok(())
    }

    /// Takes the opening brace of a message, and gives the one that closes it.
    fn open(&mut self, field: &Field) -> Result<u8, Stop> {
        let closing = if self.accept(b'{')? {
            b'}'
        } else if self.accept(b'<')? {
            b'>'
        } else {
            return Err(self.takes(field, "a message in braces", self.token.start).into());
        };
        self.deeper()?;
        Ok(closing)
    }

    pub(super) fn close(&mut self, closing: u8) -> Result<(), Stop> {
        self.depth -= 1;
        if self.accept(closing)? {
            return Ok(());
        }
        Err(self.expected(&format!("`{}`", closing as char), "to close what was opened").into())
    }

    pub(super) fn at_end_of_message(&self, opening: &Token) -> Result<bool, Stop> {
        match self.token.kind {
            Lexeme::Symbol(b'}' | b'>') => Ok(true),
            Lexeme::End => {
                let what = format!("the brace of {} is never closed", self.frames.place());
                Err(Fault::new(opening.start..opening.end, what).into())
            }
            _ => Ok(false),
        }
    }

    /// Ends the message at hand: nothing required may be missing.
    fn leave(&mut self, span: Range<usize>) -> Result<(), Stop> {
        if let Some(missing) = self.frames.missing() {
            let what = format!("`{missing}` is missing in {}", self.frames.place());
            return Err(Fault::new(span, what).into());
        }
        self.frames.leave();
        Ok(())
    }

    fn unknown_field(&mut self, name: &Name<'_>) -> Result<(), Stop> {
        self.pass_over(SKIP_FIELD, |parser| {
            let question = parser.frames.suggestion(name.text);
            let place = parser.frames.place();
            Fault::new(
                name.span.clone(),
                format!("unknown field `{}` in {place}{question}", shortened(name.text)),
            )
        })?;
        self.skip_value(name)?;
        self.separator()
    }

    /// Fails with what is wrong, or under [`Options::lenient`] makes a note of it.
    pub(super) fn pass_over(
        &mut self,
        remedy: Remedy,
        fault: impl FnOnce(&Self) -> Fault,
    ) -> Result<(), Stop> {
        if !self.options.lenient {
            return Err(fault(self).help(remedy.0).into());
        }
        if self.warnings.len() < MAX_WARNINGS {
            let fault = fault(self).help(remedy.1);
            self.warnings.push(fault);
        } else {
            self.untold += 1;
        }
        Ok(())
    }

    pub(super) fn deeper(&mut self) -> Result<(), Stop> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            let what = format!("messages nested more than {MAX_DEPTH} deep");
            return Err(Stop::TooLarge { what, limit: MAX_DEPTH as u64 });
        }
        Ok(())
    }

    /// Counts what a value will take in memory, spare room of a growing array included.
    pub(super) fn charge(&mut self, bytes: usize) -> Result<(), Stop> {
        self.memory += bytes;
        if self.memory > MAX_MEMORY {
            let what = "values that would take more than 128 MiB".to_owned();
            return Err(Stop::TooLarge { what, limit: MAX_MEMORY as u64 });
        }
        Ok(())
    }

    /// Takes a field's name: a plain one, or that of an extension in brackets.
    pub(super) fn name(&mut self) -> Result<Name<'a>, Stop> {
        let start = self.token.start;
        let mut end = self.token.end;
        match self.token.kind {
            Lexeme::Name => self.advance()?,
            Lexeme::Symbol(b'[') => {
                while !self.accept(b']')? {
                    match self.token.kind {
                        Lexeme::Name | Lexeme::Symbol(b'[' | b'.' | b'/' | b'-') => self.advance()?,
                        _ => return Err(self.expected("`]`", "to close the extension's name").into()),
                    }
                    end = self.token.end;
                }
            }
            Lexeme::Symbol(b'}' | b'>') => {
                return Err(Fault::new(start..end, "a closing brace, and nothing is open").into());
            }
            _ => return Err(self.expected("a field's name", &format!("in {}", self.frames.place())).into()),
        }
        Ok(Name { text: self.written(start..end), span: start..end })
    }

    pub(super) fn separator(&mut self) -> Result<(), Stop> {
        let _ = self.accept(b',')? || self.accept(b';')?;
        Ok(())
    }

    pub(super) fn accept(&mut self, symbol: u8) -> Result<bool, Stop> {
        let found = self.token.kind == Lexeme::Symbol(symbol);
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    pub(super) fn advance(&mut self) -> Result<(), Stop> {
        self.token = self.lexer.next()?;
        Ok(())
    }

    pub(super) fn token_text(&self) -> &'a str {
        self.written(self.token.start..self.token.end)
    }

    /// The text of `span`, which is ASCII wherever a value is looked up by it.
    pub(super) fn written(&self, span: Range<usize>) -> &'a str {
        std::str::from_utf8(&self.text[span]).unwrap_or("\u{fffd}")
    }

    /// `` `num_output` in convolution_param of layer `conv1` ``
    pub(super) fn of(&self, field: &Field) -> String {
        format!("`{}` in {}", field.name, self.frames.place())
    }

    /// A value of the wrong kind, from `start` to the end of the token at hand.
    pub(super) fn takes(&self, field: &Field, wanted: &str, start: usize) -> Fault {
        let span = start..self.token.end.max(start);
        Fault::new(span.clone(), format!("{} takes {wanted}, not {}", self.of(field), self.found(span)))
    }

    pub(super) fn expected(&self, wanted: &str, place: &str) -> Fault {
        let span = self.token.start..self.token.end;
        Fault::new(span.clone(), format!("expected {wanted} {place}, found {}", self.found(span)))
    }

    fn found(&self, span: Range<usize>) -> String {
        if span.is_empty() {
            return "the end of the file".to_owned();
        }
        format!("`{}`", shortened(&String::from_utf8_lossy(&self.text[span])))
    }
}

/// As much of what a file says as fits into a message.
pub(super) fn shortened(text: &str) -> String {
    const MOST: usize = 60;
    let kept: String = text
        .chars()
        .take(MOST)
        .map(|character| if character.is_control() { ' ' } else { character })
        .collect();
    if text.len() > kept.len() { format!("{kept}…") } else { kept }
}
