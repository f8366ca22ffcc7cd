//! Text to tokens, by the rules of protobuf's own tokenizer as its text format sets it up.

use super::diagnostic::Fault;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Name,
    Integer,
    Float,
    String,
    Symbol(u8),
    End,
}

/// A token, and where it lies in the text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// Cuts text into tokens.
#[derive(Debug)]
pub(super) struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Lexer<'a> {
    /// Starts at the beginning of `text`, behind a byte order mark if it has one.
    pub(super) fn new(text: &'a [u8]) -> Self {
        let at = if text.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        Self { text, at }
    }

    /// The next token; [`Kind::End`] again and again once the text is used up.
    pub(super) fn next(&mut self) -> Result<Token, Fault> {
        self.skip_blank();
        let start = self.at;
        let kind = match self.peek(0) {
            None => Kind::End,
            Some(byte) if starts_name(byte) => {
                self.skip_while(continues_name);
                Kind::Name
            }
            Some(b'0'..=b'9') => self.number()?,
            Some(b'.') if self.peek(1).is_some_and(|byte| byte.is_ascii_digit()) => self.number()?,
            Some(quote @ (b'"' | b'\'')) => self.string(quote)?,
            Some(byte) if byte.is_ascii_graphic() => {
                self.at += 1;
                Kind::Symbol(byte)
            }
            Some(byte) => return Err(self.strange(byte)),
        };
        Ok(Token { kind, start, end: self.at })
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.text.get(self.at + ahead).copied()
    }

    fn skip_while(&mut self, wanted: impl Fn(u8) -> bool) {
        let rest = &self.text[self.at..];
        self.at += rest.iter().position(|&byte| !wanted(byte)).unwrap_or(rest.len());
    }

    fn skip_blank(&mut self) {
        loop {
            self.skip_while(|byte| matches!(byte, b' ' | b'\t'..=b'\r'));
            if self.peek(0) != Some(b'#') {
                return;
            }
            self.skip_while(|byte| byte != b'\n');
        }
    }

    fn number(&mut self) -> Result<Kind, Fault> {
        let start = self.at;
        let kind = match (self.peek(0), self.peek(1)) {
            (Some(b'0'), Some(b'x' | b'X')) => {
                self.at += 2;
                let digits = self.at;
                self.skip_while(|byte| byte.is_ascii_hexdigit());
                if self.at == digits {
                    return Err(Fault::new(start..self.at, "`0x` without hexadecimal digits"));
                }
                Kind::Integer
            }
            (Some(b'0'), Some(b'0'..=b'9')) => {
                self.skip_while(|byte| byte.is_ascii_digit());
                if self.text[start..self.at].iter().any(|byte| matches!(byte, b'8' | b'9')) {
                    let what = "a number that starts with 0 is octal and has no digit above 7";
                    return Err(Fault::new(start..self.at, what));
                }
                Kind::Integer
            }
            _ => self.decimal(start)?,
        };
        match self.peek(0) {
            Some(byte) if starts_name(byte) => {
                let from = self.at;
                self.skip_while(continues_name);
                Err(Fault::new(
                    from..self.at,
                    "letters right behind a number: a space is missing, or a quote",
                ))
            }
            Some(b'.') => Err(Fault::new(start..self.at + 1, "a number with a point too many")),
            _ => Ok(kind),
        }
    }

    fn decimal(&mut self, start: usize) -> Result<Kind, Fault> {
        let mut kind = Kind::Integer;
        self.skip_while(|byte| byte.is_ascii_digit());
        if self.peek(0) == Some(b'.') {
            kind = Kind::Float;
            self.at += 1;
            self.skip_while(|byte| byte.is_ascii_digit());
        }
        if let Some(b'e' | b'E') = self.peek(0) {
            kind = Kind::Float;
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek(0) {
                self.at += 1;
            }
            let digits = self.at;
            self.skip_while(|byte| byte.is_ascii_digit());
            if self.at == digits {
                return Err(Fault::new(start..self.at, "an exponent without digits"));
            }
        }
        if let Some(b'f' | b'F') = self.peek(0) {
            kind = Kind::Float;
            self.at += 1;
        }
        Ok(kind)
    }

    fn string(&mut self, quote: u8) -> Result<Kind, Fault> {
        let start = self.at;
        self.at += 1;
        loop {
            self.skip_while(|byte| byte != quote && byte != b'\\' && byte != b'\n');
            match self.peek(0) {
                Some(byte) if byte == quote => {
                    self.at += 1;
                    return Ok(Kind::String);
                }
                // What stands behind it is judged when the string is unescaped; here it only must not end it.
                Some(b'\\') if self.peek(1).is_some_and(|byte| byte != b'\n') => self.at += 2,
                Some(b'\\') => self.at += 1,
                _ => {
                    let what = format!("a string without its closing {}", quote as char);
                    return Err(Fault::new(start..self.at, what));
                }
            }
        }
    }

    fn strange(&self, byte: u8) -> Fault {
        let rest = &self.text[self.at..self.text.len().min(self.at + 4)];
        let character = rest.utf8_chunks().next().and_then(|chunk| chunk.valid().chars().next());
        match character {
            Some(character) if !character.is_control() => {
                let what = format!("`{character}` outside a string or comment");
                Fault::new(self.at..self.at + character.len_utf8(), what)
            }
            _ => Fault::new(self.at..self.at + 1, format!("byte 0x{byte:02x} outside a string or comment")),
        }
    }
}

fn starts_name(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_'
}

fn continues_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}
