//! Values that are no messages, each as C++ protobuf reads it.

use super::diagnostic::{Fault, Stop};
use super::lexer::Kind as Lexeme;
use super::parser::{Parser, Remedy, shortened};
use super::schema::Field;
use super::{literal, suggest};

const SKIP_VALUE: Remedy = ("`--lenient` skips unknown values", "skipped: the field keeps its default");
const REPLACE_BYTES: Remedy =
    ("save the file as UTF-8; `--lenient` replaces such bytes", "replaced by U+FFFD");

impl Parser<'_> {
    pub(super) fn boolean(&mut self, field: &Field) -> Result<bool, Stop> {
        let start = self.token.start;
        let value = match self.token.kind {
            Lexeme::Name | Lexeme::Integer => literal::boolean(self.token_text()),
            _ => None,
        };
        let Some(value) = value else { return Err(self.takes(field, "true or false", start).into()) };
        self.advance()?;
        Ok(value)
    }

    pub(super) fn integer(&mut self, field: &Field, min: i128, max: i128) -> Result<i128, Stop> {
        let start = self.token.start;
        let negative = self.accept(b'-')?;
        let value = match self.token.kind {
            Lexeme::Integer => literal::integer(self.token_text()).map(i128::from),
            _ => None,
        };
        let value = value.map(|value| if negative { -value } else { value });
        // An unsigned field takes no sign, not even that of `-0`.
        let fits = |value: &i128| (min..=max).contains(value) && !(negative && min == 0);
        let Some(value) = value.filter(fits) else {
            return Err(self.takes(field, &format!("a whole number from {min} to {max}"), start).into());
        };
        self.advance()?;
        Ok(value)
    }

    pub(super) fn float(&mut self, field: &Field) -> Result<f64, Stop> {
        let start = self.token.start;
        let negative = self.accept(b'-')?;
        let value = match self.token.kind {
            Lexeme::Integer | Lexeme::Float => literal::float(self.token_text()),
            Lexeme::Name => literal::float_name(self.token_text()),
            _ => None,
        };
        let Some(value) = value else { return Err(self.takes(field, "a decimal number", start).into()) };
        self.advance()?;
        Ok(if negative { -value } else { value })
    }

    /// Reads strings that stand one behind the other as one.
    pub(super) fn string(&mut self, field: &Field, is_text: bool) -> Result<Vec<u8>, Stop> {
        if self.token.kind != Lexeme::String {
            return Err(self.takes(field, "a string in quotes", self.token.start).into());
        }
        let start = self.token.start;
        let mut end = self.token.end;
        let mut value = Vec::new();
        while self.token.kind == Lexeme::String {
            end = self.token.end;
            literal::unescape(self.text, self.token.start + 1, end - 1, &mut value)?;
            self.advance()?;
        }
        self.charge(48 + value.len())?;
        if is_text && let Err(error) = std::str::from_utf8(&value) {
            let byte = value[error.valid_up_to()];
            let what = format!("the string of {} has byte 0x{byte:02x}, which is not UTF-8", self.of(field));
            self.pass_over(REPLACE_BYTES, |_| Fault::new(start..end, what))?;
            value = String::from_utf8_lossy(&value).into_owned().into_bytes();
        }
        if field.name == "name" && self.frames.message().is_layer {
            self.frames.name_layer(&value);
        }
        Ok(value)
    }

    pub(super) fn enumerator(
        &mut self,
        field: &Field,
        values: &[(String, i32)],
    ) -> Result<Option<i32>, Stop> {
        let start = self.token.start;
        let negative = self.accept(b'-')?;
        let written = self.token_text();
        let value = match self.token.kind {
            Lexeme::Name if !negative => values.iter().find(|(name, _)| name == written),
            Lexeme::Integer => {
                let number = literal::integer(written).and_then(|number| i64::try_from(number).ok());
                let number = number.map(|number| if negative { -number } else { number });
                values.iter().find(|&&(_, value)| Some(i64::from(value)) == number)
            }
            _ => {
                let names: Vec<_> = values.iter().map(|(name, _)| name.as_str()).collect();
                return Err(self.takes(field, &format!("one of {}", names.join(", ")), start).into());
            }
        };
        let span = start..self.token.end;
        self.advance()?;
        if value.is_none() {
            self.pass_over(SKIP_VALUE, |parser| {
                let name = shortened(parser.written(span.clone()));
                let near = suggest::near(&name, values.iter().map(|(name, _)| name.as_str()));
                let what =
                    format!("unknown value `{name}` of {}{}", parser.of(field), suggest::question(&near));
                Fault::new(span, what)
            })?;
        }
        Ok(value.map(|&(_, value)| value))
    }
}
