//! Passing over the value of a field that the schema does not have.

use super::diagnostic::Stop;
use super::lexer::Kind as Lexeme;
use super::parser::{Name, Parser, shortened};

impl Parser<'_> {
    /// Skips an unknown field's value, whatever it is, with what may lie in it.
    pub(super) fn skip_value(&mut self, name: &Name<'_>) -> Result<(), Stop> {
        self.accept(b':')?;
        let opening = self.token;
        if self.accept(b'[')? {
            self.deeper()?;
            let mut more = !self.accept(b']')?;
            while more {
                self.skip_value(name)?;
                more = !self.accept(b']')?;
                if more && !self.accept(b',')? {
                    return Err(self.expected("`,` or `]`", "in a list").into());
                }
            }
            self.depth -= 1;
            return Ok(());
        }
        let closing = match opening.kind {
            Lexeme::Symbol(b'{') => b'}',
            Lexeme::Symbol(b'<') => b'>',
            _ => return self.skip_scalar(name),
        };
        self.advance()?;
        self.deeper()?;
        while !self.at_end_of_message(&opening)? {
            let inner = self.name()?;
            self.skip_value(&inner)?;
            self.separator()?;
        }
        self.close(closing)
    }

    fn skip_scalar(&mut self, name: &Name<'_>) -> Result<(), Stop> {
        if self.token.kind == Lexeme::String {
            while self.token.kind == Lexeme::String {
                self.advance()?;
            }
            return Ok(());
        }
        self.accept(b'-')?;
        match self.token.kind {
            Lexeme::Name | Lexeme::Integer | Lexeme::Float => self.advance(),
            _ => Err(self.expected("a value", &format!("of `{}`", shortened(name.text))).into()),
        }
    }
}
