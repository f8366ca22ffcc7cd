//! Names that are like a pattern that matches nothing.

use super::Pattern;
use super::error::Near;

/// Names that a message lists.
const FEW: usize = 5;

/// What `pattern` may have meant of `names`.
pub(crate) fn near(pattern: &str, names: &[&str]) -> Near {
    // A folder of layers, or a layer's name without its folder: the narrowest of these.
    let wider = [format!("{pattern}/**"), format!("**/{pattern}"), format!("**/{pattern}/**")];
    let is_met =
        |text: &String| Pattern::new(text).is_ok_and(|wider| names.iter().any(|name| wider.matches(name)));
    let mut found: Vec<String> = wider.into_iter().find(is_met).into_iter().collect();
    let allowed = (pattern.chars().count() / 3).clamp(1, 3);
    let mut like: Vec<(usize, &str)> = names
        .iter()
        .map(|&name| (distance(&pattern.to_lowercase(), &name.to_lowercase()), name))
        .filter(|&(distance, _)| distance <= allowed)
        .collect();
    like.sort_by_key(|&(distance, _)| distance);
    found.extend(like.into_iter().map(|(_, name)| name.to_owned()));
    found.truncate(FEW);
    if !found.is_empty() {
        return Near::Names(found);
    }
    let shown = names.iter().take(FEW).map(|&name| name.to_owned()).collect();
    Near::Nothing(shown, names.len().saturating_sub(FEW))
}

/// How many letters must be changed, put in or left out (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, &y) in b.iter().enumerate() {
            let change = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        assert_eq!(distance("conv1", "conv1"), 0);
        assert_eq!(distance("conv1", "conv_1"), 1);
        assert_eq!(distance("", "fc8"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
