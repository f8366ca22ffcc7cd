//! Numbers and commands, as people write them.

/// A duration.
pub(super) fn duration(seconds: f64) -> String {
    if seconds < 10.0 {
        return format!("{seconds:.1} s");
    }
    let seconds = seconds.round() as u64;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds:02} s"),
        (hours, minutes, _) => format!("{hours} h {minutes:02} min"),
    }
}

/// A command as it can be given to a shell again.
pub(super) fn command(arguments: &[String]) -> String {
    arguments.iter().map(|argument| quoted(argument)).collect::<Vec<_>>().join(" ")
}

/// A list of names.
pub(super) fn names(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn quoted(argument: &str) -> String {
    let plain = |letter: char| letter.is_alphanumeric() || "-_./=,:@+%".contains(letter);
    if !argument.is_empty() && argument.chars().all(plain) {
        return argument.to_owned();
    }
    format!("'{}'", argument.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let texts = [0.04, 9.94, 59.4, 60.0, 3599.0, 7384.0, 360_000.0].map(duration);
        assert_eq!(
            texts,
            ["0.0 s", "9.9 s", "59 s", "1 min 00 s", "59 min 59 s", "2 h 03 min", "100 h 00 min"]
        );
    }

    #[test]
    fn commands_can_be_given_again() {
        let arguments = ["rebrew", "--freeze", "conv*", "", "it's", "a/é-b=1"].map(str::to_owned);
        assert_eq!(command(&arguments), r"rebrew --freeze 'conv*' '' 'it'\''s' a/é-b=1");
    }
}
