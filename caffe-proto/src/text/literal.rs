//! Tokens to values: integers of three bases, floats, escaped strings.

use super::diagnostic::Fault;

/// The value of an integer token; `None` above 2^64 - 1.
pub(super) fn integer(token: &str) -> Option<u64> {
    let (digits, radix) = match token.as_bytes() {
        [b'0', b'x' | b'X', ..] => (&token[2..], 16),
        [b'0', _, ..] => (&token[1..], 8),
        _ => (token, 10),
    };
    u64::from_str_radix(digits, radix).ok()
}

/// The value of a float token, or of an integer token where a float may stand; `None` for a hexadecimal or octal one.
pub(super) fn float(token: &str) -> Option<f64> {
    match token.as_bytes() {
        [b'0', b'x' | b'X' | b'0'..=b'9', ..] => None,
        _ => token.trim_end_matches(['f', 'F']).parse().ok(),
    }
}

/// The value as `f32`; what lies half a step above the largest one counts as it, as in protobuf.
pub(super) fn single(value: f64) -> f32 {
    /// Half a step above `f32::MAX`, where rounding to even goes to infinity.
    const HALF_STEP_ABOVE: f64 = 3.402_823_567_797_336_6e38;
    if value.abs() == HALF_STEP_ABOVE { f32::MAX.copysign(value as f32) } else { value as f32 }
}

/// The value that a name stands for where a float may stand.
pub(super) fn float_name(name: &str) -> Option<f64> {
    let is = |word: &str| name.eq_ignore_ascii_case(word);
    if is("inf") || is("infinity") {
        Some(f64::INFINITY)
    } else if is("nan") {
        Some(f64::NAN)
    } else {
        None
    }
}

/// The value that a name or integer token stands for where a bool may stand.
pub(super) fn boolean(token: &str) -> Option<bool> {
    match token {
        "true" | "True" | "t" => Some(true),
        "false" | "False" | "f" => Some(false),
        _ if token.starts_with(|first: char| first.is_ascii_digit()) => match integer(token) {
            Some(0) => Some(false),
            Some(1) => Some(true),
            _ => None,
        },
        _ => None,
    }
}

/// Appends what the string between quotes at `text[start..end]` stands for.
pub(super) fn unescape(text: &[u8], start: usize, end: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
    let mut rest = Rest { bytes: &text[..end], at: start };
    loop {
        let plain = &rest.bytes[rest.at..];
        let length = plain.iter().position(|&byte| byte == b'\\').unwrap_or(plain.len());
        out.extend_from_slice(&plain[..length]);
        rest.at += length;
        if rest.at == end {
            return Ok(());
        }
        escape(&mut rest, out)?;
    }
}

/// What is left of a string.
struct Rest<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Rest<'_> {
    /// Takes up to `most` digits of base `radix`: their value, and how many there were.
    fn digits(&mut self, radix: u32, most: usize) -> (u32, usize) {
        let mut value = 0;
        for taken in 0..most {
            let digit = self.bytes.get(self.at).and_then(|&byte| (byte as char).to_digit(radix));
            let Some(digit) = digit else { return (value, taken) };
            value = value * radix + digit;
            self.at += 1;
        }
        (value, most)
    }
}

/// Takes one escape, the backslash in front.
fn escape(rest: &mut Rest<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    let start = rest.at;
    let letter = rest.bytes.get(start + 1).copied();
    let simple = match letter {
        Some(b'a') => Some(0x07),
        Some(b'b') => Some(0x08),
        Some(b'f') => Some(0x0c),
        Some(b'n') => Some(b'\n'),
        Some(b'r') => Some(b'\r'),
        Some(b't') => Some(b'\t'),
        Some(b'v') => Some(0x0b),
        Some(same @ (b'\\' | b'?' | b'\'' | b'"')) => Some(same),
        _ => None,
    };
    if let Some(byte) = simple {
        out.push(byte);
        rest.at += 2;
        return Ok(());
    }
    rest.at += 1;
    match letter {
        Some(b'0'..=b'7') => {
            let (value, _) = rest.digits(8, 3);
            out.push(value as u8);
        }
        Some(b'x') => {
            rest.at += 1;
            let (value, taken) = rest.digits(16, 2);
            if taken == 0 {
                return Err(Fault::new(start..rest.at, "`\\x` needs one or two hexadecimal digits"));
            }
            out.push(value as u8);
        }
        Some(b'u' | b'U') => {
            rest.at -= 1;
            let character = unicode(rest)?;
            out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
        _ => {
            let what = "not an escape: a backslash in a string is written `\\\\`";
            return Err(Fault::new(start..(start + 2).min(rest.bytes.len()), what));
        }
    }
    Ok(())
}

/// Takes `\uXXXX`, two of them for a surrogate pair, or `\UXXXXXXXX`.
fn unicode(rest: &mut Rest<'_>) -> Result<char, Fault> {
    let start = rest.at;
    let mut value = code_unit(rest)?;
    if (0xd800..0xdc00).contains(&value) && rest.bytes[rest.at..].starts_with(b"\\u") {
        let low = code_unit(rest)?;
        if (0xdc00..0xe000).contains(&low) {
            value = 0x1_0000 + ((value - 0xd800) << 10) + (low - 0xdc00);
        }
    }
    char::from_u32(value).ok_or_else(|| Fault::new(start..rest.at, "this escape is no Unicode character"))
}

fn code_unit(rest: &mut Rest<'_>) -> Result<u32, Fault> {
    let start = rest.at;
    let length = if rest.bytes[start + 1] == b'u' { 4 } else { 8 };
    rest.at += 2;
    let (value, taken) = rest.digits(16, length);
    if taken < length {
        let what = format!("`\\{}` needs {length} hexadecimal digits", if length == 4 { 'u' } else { 'U' });
        return Err(Fault::new(start..rest.at, what));
    }
    Ok(value)
}
