//! Texts made to hurt, and texts made at random: an answer within a second, never a panic.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use caffe_proto::text::{Options, parse_net};
use caffe_proto::{Error, Storage, upgrade};
use proptest::prelude::*;

/// Reads strictly and leniently; gives the lenient error's text, if there is one.
fn read(text: Vec<u8>) -> Option<String> {
    let text = Storage::from_vec("hostile.prototxt", text);
    let strict = parse_net(&text, Options::default());
    match parse_net(&text, Options { lenient: true }) {
        Ok((net, warnings)) => {
            assert!(strict.is_ok() || !warnings.is_empty());
            let _ = upgrade(text.path(), net, Vec::new());
            None
        }
        Err(error) => {
            assert!(strict.is_err());
            Some(error.to_string())
        }
    }
}

fn read_in_time(text: impl Into<Vec<u8>>) -> String {
    let text = text.into();
    let start = Instant::now();
    let error = read(text).expect("an error");
    // Read twice, and without optimization: the tool itself takes a fraction of it.
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    error
}

#[test]
fn nothing_but_layers_is_refused_in_one_line() {
    let expected = "hostile.prototxt: more than 10000 layers; no real model comes near the limit of 10000";
    assert_eq!(read_in_time("layer {}\n".repeat((64 << 20) / 9)), expected);
}

#[test]
fn deep_nesting_is_refused_in_one_line() {
    let expected =
        "hostile.prototxt: messages nested more than 100 deep; no real model comes near the limit of 100";
    assert_eq!(read_in_time("a {".repeat(10_000)), expected);
    assert_eq!(read_in_time(format!("a: {}", "[".repeat(10_000))), expected);
    assert_eq!(read_in_time("layer { a <".repeat(5_000)), expected);
}

#[test]
fn more_values_than_memory_is_for_are_refused() {
    let expected = "hostile.prototxt: values that would take more than 128 MiB; \
                    no real model comes near the limit of 134217728";
    assert_eq!(read_in_time(format!("input_dim: [1{}]", ",1".repeat(30 << 20))), expected);
    assert_eq!(read_in_time("input:''".repeat(8 << 20)), expected);
    assert_eq!(read_in_time(format!("layer {{ {} }}", "include{}".repeat(6 << 20))), expected);
}

#[test]
fn a_text_without_end_is_refused() {
    let error =
        parse_net(&Storage::from_vec("a", vec![b'#'; (64 << 20) + 1]), Options::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a: 67108865 bytes of text; no real model comes near the limit of 67108864"
    );
    assert!(
        read_in_time("a".repeat(60 << 20))
            .starts_with("hostile.prototxt:1:62914561: expected a value of `aaa")
    );
    assert!(
        read_in_time(format!("name: '{}", "a".repeat(60 << 20))).contains("a string without its closing '")
    );
}

#[test]
fn many_warnings_take_no_time_by_their_square() {
    let text = Storage::from_vec("a", "abcd: 1 ".repeat(1 << 20).into_bytes());
    let start = Instant::now();
    let (_, warnings) = parse_net(&text, Options { lenient: true }).unwrap();
    assert!(start.elapsed() < Duration::from_secs(10));
    assert_eq!(warnings.len(), 1001);
    assert_eq!(warnings[999].column, 999 * 8 + 1);
    assert_eq!(warnings[1000].what, "and 1047576 more such places further down");
}

#[test]
fn a_text_cut_anywhere_is_read_or_refused() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/generations/v0.prototxt");
    let whole = fs::read(path).unwrap();
    for end in 0..whole.len() {
        read(whole[..end].to_vec());
    }
}

/// Pieces that texts are made of, so that random ones get past the first token.
const PIECES: [&str; 34] = [
    "layer",
    "layers",
    "name",
    "type",
    "{",
    "}",
    "<",
    ">",
    ":",
    ",",
    ";",
    "[",
    "]",
    "-",
    "1",
    "0x",
    "08",
    ".5",
    "1e",
    "'a'",
    "\"b",
    "\\",
    "#",
    "\n",
    " ",
    "input",
    "input_dim",
    "blobs",
    "data",
    "pad",
    "bottom",
    "convolution_param",
    "padding",
    "nan",
];

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(text: Vec<u8>) {
        read(text);
    }

    #[test]
    fn any_tokens_are_read_or_refused(pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..60)) {
        read(pieces.concat().into_bytes());
        read(pieces.join(" ").into_bytes());
    }

    #[test]
    fn a_net_with_mutations_is_read_or_refused(
        file in prop::sample::select(vec!["generations/v0", "generations/v1", "generations/v2", "fashion/train_val"]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0_usize..4), 1..20),
    ) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../testdata/{file}.prototxt"));
        let mut text = fs::read(path).unwrap();
        for (place, byte, what) in changes {
            let at = place.index(text.len());
            match what {
                0 => text[at] = byte,
                1 => text.insert(at, byte),
                2 => { text.remove(at); }
                _ => text.swap(at, byte as usize),
            }
        }
        read(text);
    }
}

#[test]
fn errors_are_of_their_kinds() {
    let parse =
        |text: &[u8]| parse_net(&Storage::from_vec("a", text.to_vec()), Options::default()).unwrap_err();
    assert!(matches!(parse(b""), Error::NotAModel { .. }));
    assert!(matches!(parse(b"x: 1"), Error::Text(_)));
}
