//! README.md shows real output: every `console` block whose commands are ours is run and compared.
//!
//! A command is a line `$ rebrew …` or `$ cargo xtask convert …`; the lines up to the next `$ ` or the end of the
//! block are what it must print. The commands share one scratch folder in which `testdata` is the repository's, so a
//! later one sees what an earlier one wrote. A line `...` stands for any lines, and any duration equals any other.
//!
//! `README=overwrite cargo test -p xtask --test readme` writes what the commands print into README.md.

use std::env;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// A command of README.md and what it is said to print.
struct Example {
    words: Vec<String>,
    expected: Vec<String>,
    /// The lines of README.md that hold `expected`, counted from 0.
    lines: Range<usize>,
}

impl Example {
    fn typed(&self) -> String {
        self.words.join(" ")
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn examples(readme: &str) -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    let mut in_block = false;
    let mut open = false;
    for (number, line) in readme.lines().enumerate() {
        if line.starts_with("```") {
            in_block = !in_block && line.trim_end() == "```console";
            open = false;
        } else if let Some(command) = line.strip_prefix("$ ").filter(|_| in_block) {
            let words = split(command);
            open =
                words[0] == "rebrew" || words.starts_with(&["cargo", "xtask", "convert"].map(str::to_owned));
            if open {
                examples.push(Example { words, expected: Vec::new(), lines: number + 1..number + 1 });
            }
        } else if open {
            let example = examples.last_mut().unwrap();
            example.expected.push(line.to_owned());
            example.lines.end = number + 1;
        }
    }
    examples
}

/// Splits a command into words; `'…'` keeps spaces, and what follows ` #` is a comment.
fn split(command: &str) -> Vec<String> {
    let command = command.split(" #").next().unwrap_or_default();
    let mut words = Vec::new();
    for (index, part) in command.split('\'').enumerate() {
        if index % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

/// The binary that the tests of the whole workspace use, for those are built already when this one runs among them;
/// building the one package would choose other features of its dependencies, and build them all again.
fn build_rebrew() -> PathBuf {
    let output = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["test", "--quiet", "--workspace", "--tests", "--no-run", "--message-format=json"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let messages = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut binaries = messages
        .filter(|message| message["target"]["name"] == "rebrew" && message["profile"]["test"] == false);
    binaries.find_map(|message| message["executable"].as_str().map(PathBuf::from)).unwrap()
}

/// What a reader of README.md would see: for `rebrew` its errors too; for `cargo xtask` not what cargo says of the build.
fn run(example: &Example, rebrew: &Path, scratch: &Path) -> Vec<String> {
    let ours = example.words[0] == "rebrew";
    let (program, arguments) = if ours {
        (rebrew, &example.words[1..])
    } else {
        (Path::new(env!("CARGO_BIN_EXE_xtask")), &example.words[2..])
    };
    let folder = if ours { scratch } else { root() };
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder).env("REBREW_BINARY", rebrew);
    let output = command.output().unwrap();
    let mut text = String::from_utf8(output.stdout).unwrap();
    if ours {
        text += &String::from_utf8_lossy(&output.stderr);
    } else if !output.status.success() {
        panic!("`{}` failed: {}", example.typed(), String::from_utf8_lossy(&output.stderr));
    }
    text.lines().map(|line| line.trim_end().to_owned()).collect()
}

/// The line with every duration replaced.
fn without_times(line: &str) -> String {
    let words = line.split(' ').collect::<Vec<_>>();
    let is_number = |word: &str| word.trim_start_matches('(').parse::<f64>().is_ok();
    let mut result = Vec::new();
    for (index, word) in words.iter().enumerate() {
        let unit = words.get(index + 1).map_or("", |next| next.trim_end_matches([',', '.', ';', ')']));
        let is_duration = is_number(word) && matches!(unit, "s" | "ms" | "µs");
        let is_unit = index > 0 && is_number(words[index - 1]) && matches!(unit_of(word), "s" | "ms" | "µs");
        result.push(match (is_duration, is_unit) {
            (true, _) => "TIME".to_owned(),
            (_, true) => word.replacen(unit_of(word), "UNIT", 1),
            _ => (*word).to_owned(),
        });
    }
    result.join(" ")
}

fn unit_of(word: &str) -> &str {
    word.trim_end_matches([',', '.', ';', ')'])
}

/// Whether the printed lines are the expected ones, where `...` stands for any lines.
fn matches(expected: &[String], printed: &[String]) -> bool {
    match expected.split_first() {
        None => printed.is_empty(),
        Some((line, rest)) if line == "..." => {
            (0..=printed.len()).any(|skip| matches(rest, &printed[skip..]))
        }
        Some((line, rest)) => printed.split_first().is_some_and(|(first, others)| {
            without_times(line.trim_end()) == without_times(first) && matches(rest, others)
        }),
    }
}

#[test]
fn readme_prints_what_it_says() {
    let path = root().join("README.md");
    let readme = fs::read_to_string(&path).expect("README.md");
    let examples = examples(&readme);
    assert!(examples.iter().any(|example| example.words[0] == "rebrew"), "README.md runs no `$ rebrew`");
    assert!(
        examples.iter().any(|example| example.words[0] == "cargo"),
        "README.md runs no `$ cargo xtask convert`"
    );

    let rebrew = build_rebrew();
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR")).join("readme");
    let _ = fs::remove_dir_all(&scratch);
    fs::create_dir_all(&scratch).unwrap();
    link_testdata(&scratch.join("testdata"));

    let overwrite = env::var_os("README").is_some_and(|value| value == "overwrite");
    let mut lines = readme.lines().map(str::to_owned).collect::<Vec<_>>();
    let mut differences = Vec::new();
    let outputs = examples.iter().map(|example| run(example, &rebrew, &scratch)).collect::<Vec<_>>();
    for (example, printed) in examples.iter().zip(outputs).rev() {
        if matches(&example.expected, &printed) {
            continue;
        }
        if overwrite {
            lines.splice(example.lines.clone(), printed);
        } else {
            differences.push(format!(
                "README.md:{}: `{}` must print\n{}\nand prints\n{}\n",
                example.lines.start,
                example.typed(),
                example.expected.join("\n"),
                printed.join("\n")
            ));
        }
    }
    if overwrite {
        fs::write(&path, lines.join("\n") + "\n").unwrap();
    }
    assert!(
        differences.is_empty(),
        "\n{}\n`README=overwrite cargo test -p xtask --test readme` corrects it",
        differences.join("\n")
    );
}

#[cfg(unix)]
fn link_testdata(link: &Path) {
    std::os::unix::fs::symlink(root().join("testdata"), link).unwrap();
}

#[cfg(windows)]
fn link_testdata(link: &Path) {
    std::os::windows::fs::symlink_dir(root().join("testdata"), link).unwrap();
}

#[test]
fn durations_and_skipped_lines_do_not_count() {
    let own = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
    let printed = own(&["wrote 3 tensors in 12 ms", "a", "b", "end (0.5 s)"]);
    assert!(matches(&own(&["wrote 3 tensors in 7.25 s", "...", "end (1 s)"]), &printed));
    assert!(!matches(&own(&["wrote 4 tensors in 12 ms", "...", "end (0.5 s)"]), &printed));
    assert!(!matches(&own(&["wrote 3 tensors in 12 ms", "a"]), &printed));
}
