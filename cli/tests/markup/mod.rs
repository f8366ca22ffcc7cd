//! Whether markup is well-formed, and whether it asks for something from outside.

#![allow(dead_code, reason = "each test program uses some of it")]

/// Elements of HTML that have no end tag.
const VOID: [&str; 4] = ["meta", "img", "br", "link"];

/// Checks that `text` is well-formed XML as far as it goes here: elements are closed in order, attributes are quoted and given
/// once, every `&` begins one of the entities that XML knows, and no character is one that XML forbids. Returns the names of
/// the elements.
pub(crate) fn check(text: &str, html: bool) -> Vec<String> {
    assert!(
        !text.chars().any(|letter| letter.is_control() && !matches!(letter, '\n' | '\t')),
        "a control character"
    );
    let (mut open, mut names) = (Vec::new(), Vec::new());
    let mut rest = text;
    while let Some(start) = rest.find('<') {
        let (content, tag) = rest.split_at(start);
        check_text(content);
        assert!(!open.is_empty() || content.trim().is_empty(), "text outside of all elements: {content}");
        let end = tag.find('>').unwrap_or_else(|| panic!("`{tag}` has no end"));
        let inner = &tag[1..end];
        rest = &tag[end + 1..];
        if inner.starts_with('?') || inner.starts_with('!') {
            assert!(names.is_empty(), "`{inner}` is not at the start");
        } else if let Some(name) = inner.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name.to_owned()), "`</{name}>` closes another element");
        } else {
            let (inner, closed) = inner.strip_suffix('/').map_or((inner, false), |inner| (inner, true));
            let name = inner.split_whitespace().next().unwrap_or_else(|| panic!("`<{inner}>` has no name"));
            assert!(name.chars().all(|letter| letter.is_ascii_alphanumeric()), "`{name}` is no name");
            check_attributes(&inner[name.len()..]);
            names.push(name.to_owned());
            if name == "style" || name == "script" {
                let end = rest.find(&format!("</{name}>")).unwrap_or_else(|| panic!("`{name}` has no end"));
                assert!(!rest[..end].contains(['<', '&']), "XML takes these in a style sheet for markup");
                rest = &rest[end..];
            }
            let void = html && VOID.contains(&name);
            if !closed && !void {
                open.push(name.to_owned());
            }
        }
    }
    assert!(rest.trim().is_empty() && open.is_empty(), "open at the end: {open:?}, behind it: `{rest}`");
    names
}

/// Checks that `text` refers to nothing outside of itself.
pub(crate) fn check_alone(text: &str) {
    let text = text.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
    for outside in
        ["http:", "https:", "//www", "url(", "@import", "<script", "<link", "href", "<iframe", "<object"]
    {
        assert!(!text.contains(outside), "`{outside}`");
    }
    for source in text.split("src=\"").skip(1) {
        assert!(source.starts_with("data:image/png;base64,"), "{}", &source[..40]);
    }
}

/// The text of each element called `name` that has no elements in it.
pub(crate) fn texts<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    let mut texts = Vec::new();
    for element in text.split(&format!("<{name}")).skip(1) {
        let Some((_, content)) = element.split_once('>') else { continue };
        if let Some((content, end)) = content.split_once('<')
            && end.starts_with(&format!("/{name}>"))
        {
            texts.push(content);
        }
    }
    texts
}

fn check_text(text: &str) {
    for entity in text.split('&').skip(1) {
        let known = ["amp;", "lt;", "gt;", "quot;", "#39;"].iter().any(|known| entity.starts_with(known));
        assert!(known, "`&{}`", entity.chars().take(10).collect::<String>());
    }
}

fn check_attributes(text: &str) {
    let mut seen = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (name, value) = rest.split_once("=\"").unwrap_or_else(|| panic!("`{rest}` is no attribute"));
        let (value, behind) = value.split_once('"').unwrap_or_else(|| panic!("`{rest}` has no end"));
        check_text(value);
        assert!(!name.contains(char::is_whitespace) && !seen.contains(&name), "`{name}` twice, or no name");
        seen.push(name);
        rest = behind.trim();
    }
}
