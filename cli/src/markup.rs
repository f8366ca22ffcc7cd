//! Text within XML and HTML.

use std::fmt::{self, Write as _};

/// A text as markup shows it: nothing of it is taken for a tag, an entity or the end of an attribute. Characters that
/// XML has no place for are shown as �.
pub(crate) struct Escaped<'a>(pub(crate) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.chars() {
            match letter {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                '\t' | '\n' => f.write_char(letter)?,
                '\u{fffe}' | '\u{ffff}' => f.write_char(char::REPLACEMENT_CHARACTER)?,
                letter if letter.is_control() => f.write_char(char::REPLACEMENT_CHARACTER)?,
                letter => f.write_char(letter)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_is_markup() {
        let text = "<a href=\"x\">&amp;'\u{0}\u{1b}\u{ffff}\n é";
        let expected = "&lt;a href=&quot;x&quot;&gt;&amp;amp;&#39;���\n é";
        assert_eq!(Escaped(text).to_string(), expected);
    }
}
