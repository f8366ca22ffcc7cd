//! Globs over paths of names.

use super::Error;

/// A glob that a whole path must match, component by component.
///
/// `*` stands for any letters within a component, `?` for one, `[34]`, `[a-c]` and `[!0-9]` for one of, or not of, a set;
/// a component `**` stands for any number of components, none included. So `conv1` is not `conv10`, `conv*` not
/// `conv2/3x3`, and `inception_[34]?/**` is all of `inception_3a` to `inception_4e`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Vec<Component>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Component {
    AnyPath,
    Glob(Vec<Token>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Letter(char),
    AnyLetter,
    AnyLetters,
    Set { negated: bool, ranges: Vec<(char, char)> },
}

impl Pattern {
    /// Reads a pattern. A leading `/`, as Chainer's paths have it, is left out.
    ///
    /// # Errors
    /// [`Error::Pattern`] for a set without an end, a component of nothing, or `**` beside letters.
    pub fn new(text: &str) -> Result<Self, Error> {
        let refuse = |what| Error::Pattern { pattern: text.to_owned(), what };
        let path = text.strip_prefix('/').unwrap_or(text);
        let components = path.split('/').map(|component| match component {
            "" => Err(refuse("a name between slashes is empty")),
            "**" => Ok(Component::AnyPath),
            _ if component.contains("**") => Err(refuse("`**` must be a whole name between slashes")),
            _ => tokens(component).map(Component::Glob).ok_or_else(|| refuse("`[` has no `]`")),
        });
        Ok(Self(components.collect::<Result<_, _>>()?))
    }

    /// Whether all of `path` matches.
    pub fn matches(&self, path: &str) -> bool {
        let names: Vec<&str> = path.split('/').collect();
        sequence(
            &self.0,
            &names,
            |component| *component == Component::AnyPath,
            |component, name| match component {
                Component::AnyPath => true,
                Component::Glob(tokens) => {
                    let letters: Vec<char> = name.chars().collect();
                    sequence(
                        tokens,
                        &letters,
                        |token| *token == Token::AnyLetters,
                        |token, &letter| token.matches(letter),
                    )
                }
            },
        )
    }
}

impl Token {
    fn matches(&self, letter: char) -> bool {
        match self {
            Self::Letter(own) => *own == letter,
            Self::AnyLetter | Self::AnyLetters => true,
            Self::Set { negated, ranges } => {
                ranges.iter().any(|&(first, last)| (first..=last).contains(&letter)) != *negated
            }
        }
    }
}

/// Whether `items` are what `pattern` describes, where elements that are `any` stand for any number of items. Going back to
/// the last of these is enough, so this takes no more than the product of both lengths.
fn sequence<P, T>(
    pattern: &[P],
    items: &[T],
    any: impl Fn(&P) -> bool,
    one: impl Fn(&P, &T) -> bool,
) -> bool {
    let (mut at, mut item) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while item < items.len() {
        if pattern.get(at).is_some_and(&any) {
            back = Some((at, item));
            at += 1;
        } else if pattern.get(at).is_some_and(|element| one(element, &items[item])) {
            (at, item) = (at + 1, item + 1);
        } else if let Some((star, taken)) = &mut back {
            *taken += 1;
            (at, item) = (*star + 1, *taken);
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(any)
}

/// The tokens of a component, or `None` for a set without an end.
fn tokens(component: &str) -> Option<Vec<Token>> {
    let mut letters = component.chars().peekable();
    let mut tokens = Vec::new();
    while let Some(letter) = letters.next() {
        tokens.push(match letter {
            '*' => Token::AnyLetters,
            '?' => Token::AnyLetter,
            '[' => {
                let negated = letters.next_if(|&next| next == '!' || next == '^').is_some();
                let mut ranges = Vec::new();
                loop {
                    let first = letters.next()?;
                    if first == ']' && !ranges.is_empty() {
                        break;
                    }
                    let mut ahead = letters.clone();
                    let last = match (ahead.next(), ahead.next()) {
                        (Some('-'), Some(last)) if last != ']' => {
                            letters = ahead;
                            last
                        }
                        _ => first,
                    };
                    ranges.push((first, last));
                }
                Token::Set { negated, ranges }
            }
            _ => Token::Letter(letter),
        });
    }
    Some(tokens)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        Pattern::new(pattern).unwrap().matches(path)
    }

    #[test]
    fn whole_components() {
        for (pattern, yes, no) in [
            ("conv1", &["conv1"][..], &["conv10", "conv1_1", "xconv1", "a/conv1", "conv1/W"][..]),
            ("/conv1", &["conv1"], &["conv10"]),
            ("conv*", &["conv", "conv1", "conv1_2"], &["xconv1", "conv2/3x3", "conv1/W"]),
            ("conv?", &["conv1"], &["conv", "conv10"]),
            ("conv[1-3]", &["conv1", "conv3"], &["conv4", "conv"]),
            ("conv[!1-3]", &["conv4", "convx"], &["conv1", "conv"]),
            ("x[]a-]", &["x]", "xa", "x-"], &["xb"]),
            ("*_*b", &["a_b", "_b", "a_b_b", "a_bcb"], &["ab", "a_bc"]),
            (
                "inception_[34]?/**",
                &["inception_3a/1x1", "inception_4e/3x3/W", "inception_3a"],
                &["inception_5a/1x1"],
            ),
            ("**/1x1", &["inception_3a/1x1", "1x1", "a/b/1x1"], &["inception_3a/1x1_reduce", "a/1x1/W"]),
            ("a/**/z", &["a/z", "a/b/z", "a/b/c/z", "a/z/z"], &["a", "z", "a/zz"]),
            ("**", &["a", "a/b"], &[]),
            ("*/W", &["conv1/W"], &["conv1/b", "a/conv1/W"]),
        ] {
            for path in yes {
                assert!(matches(pattern, path), "{pattern} {path}");
            }
            for path in no {
                assert!(!matches(pattern, path), "{pattern} {path}");
            }
        }
    }

    #[test]
    fn what_is_no_pattern() {
        for (text, what) in [
            ("conv[1", "`[` has no `]`"),
            ("a//b", "empty"),
            ("", "empty"),
            ("conv**", "whole name"),
            ("[]", "`[`"),
        ] {
            let error = Pattern::new(text).unwrap_err().to_string();
            assert!(error.contains(what) && error.contains(&format!("`{text}`")), "{error}");
        }
    }

    fn path() -> impl Strategy<Value = String> {
        proptest::collection::vec("[a-c1_]{1,4}", 1..4).prop_map(|names| names.join("/"))
    }

    proptest! {
        #[test]
        fn a_name_matches_itself_only(a in path(), b in path()) {
            prop_assert!(matches(&a, &a));
            prop_assert_eq!(matches(&a, &b), a == b);
        }

        #[test]
        fn stars_stay_within_components(a in path(), prefix in "[a-c1_]{0,3}") {
            let expected = !a.contains('/') && a.starts_with(&prefix);
            let pattern = format!("{prefix}*");
            prop_assert_eq!(matches(&pattern, &a), expected);
            let below = matches(&format!("{pattern}/**"), &a);
            prop_assert_eq!(below, a.split('/').next().unwrap().starts_with(&prefix));
        }

        #[test]
        fn double_stars_take_whole_components(a in path(), b in path()) {
            let (names, tail): (Vec<_>, Vec<_>) = (a.split('/').collect(), b.split('/').collect());
            prop_assert_eq!(matches(&format!("**/{b}"), &a), names.ends_with(&tail));
            prop_assert_eq!(matches(&format!("{b}/**"), &a), names.starts_with(&tail));
            let anywhere = names.windows(tail.len()).any(|window| window == tail);
            prop_assert_eq!(matches(&format!("**/{b}/**"), &a), anywhere);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[a*?\\[\\]!^/-]{0,12}", path in path()) {
            if let Ok(pattern) = Pattern::new(&text) {
                pattern.matches(&path);
            }
        }
    }
}
