//! Near names for one that is not known.

/// The names of `known` that `name` is probably a slip for, the nearest first, at most three.
pub(super) fn near<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    // Nobody slips on a name longer than any field's; and the distance takes time by the product of the lengths.
    if name.len() > 64 {
        return Vec::new();
    }
    let most = (name.len() / 3).clamp(1, 4);
    let mut near: Vec<_> = known
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|&(steps, _)| steps <= most)
        .collect();
    near.sort_unstable();
    let best = near.first().map_or(0, |&(steps, _)| steps);
    near.into_iter().take_while(|&(steps, _)| steps == best).map(|(_, name)| name).take(3).collect()
}

/// `, did you mean `a` or `b`?`, or nothing.
pub(super) fn question(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => format!(", did you mean `{one}`?"),
        [some @ .., last] => format!(", did you mean `{}` or `{last}`?", some.join("`, `")),
    }
}

/// How many letters to put in, take out, change or swap with the next, in any case, to make `a` into `b`.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.to_ascii_lowercase().into_bytes(), b.to_ascii_lowercase().into_bytes());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let changed = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = changed.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::{near, question};

    #[test]
    fn slips_find_their_names() {
        let known = ["num_output", "kernel_size", "kernel_h", "kernel_w", "pad", "stride"];
        let suggest = |name| question(&near(name, known.into_iter()));
        assert_eq!(suggest("num_ouput"), ", did you mean `num_output`?");
        assert_eq!(suggest("Stride"), ", did you mean `stride`?");
        assert_eq!(suggest("pda"), ", did you mean `pad`?");
        assert_eq!(suggest("kernel_x"), ", did you mean `kernel_h` or `kernel_w`?");
        assert_eq!(suggest("temperature"), "");
        assert_eq!(suggest(&"kernel_h".repeat(1_000_000)), "");
    }
}
