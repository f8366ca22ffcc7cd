//! What the text reader says, word for word.

use caffe_proto::proto::{NetParameter, SolverParameter};
use caffe_proto::text::{self, Options, Root, Warning};
use caffe_proto::{Error, Storage};

fn read<M: Root>(text: &[u8], lenient: bool) -> Result<(M, Vec<Warning>), Error> {
    text::parse(&Storage::from_vec("deploy.prototxt", text.to_vec()), Options { lenient })
}

fn error(text: impl AsRef<[u8]>) -> String {
    match read::<NetParameter>(text.as_ref(), false) {
        Ok((net, _)) => panic!("read as {net:?}"),
        Err(error) => error.to_string(),
    }
}

fn first_line(text: impl AsRef<[u8]>) -> String {
    error(text).lines().next().unwrap_or_default().to_owned()
}

const TYPO: &str = r#"name: "net"
layer {
  name: "conv1"
  type: "Convolution"
  convolution_param { num_ouput: 64 kernel_size: 3 }
}
"#;

#[test]
fn an_unknown_field_is_shown_with_its_line_and_what_was_meant() {
    assert_eq!(
        error(TYPO),
        "\
deploy.prototxt:5:23: unknown field `num_ouput` in convolution_param of layer `conv1`, did you mean `num_output`?
5 |   convolution_param { num_ouput: 64 kernel_size: 3 }
  |                       ^^^^^^^^^
  = `--lenient` skips unknown fields"
    );
}

#[test]
fn lenient_skips_it_and_says_the_same() {
    let (net, warnings) = read::<NetParameter>(TYPO.as_bytes(), true).unwrap();
    let convolution = net.layer[0].convolution_param.as_ref().unwrap();
    assert_eq!((convolution.num_output, convolution.kernel_size.as_slice()), (None, [3].as_slice()));
    assert_eq!(warnings.len(), 1);
    assert_eq!((warnings[0].line, warnings[0].column), (5, 23));
    assert_eq!(
        warnings[0].to_string(),
        "\
deploy.prototxt:5:23: unknown field `num_ouput` in convolution_param of layer `conv1`, did you mean `num_output`?
5 |   convolution_param { num_ouput: 64 kernel_size: 3 }
  |                       ^^^^^^^^^
  = skipped"
    );
}

#[test]
fn an_unknown_enum_value_is_shown_likewise() {
    let text = "layer {\n\tname: \"pool\"\n\tpooling_param { pool: MAXX kernel_size: 2 }\n}";
    assert_eq!(
        error(text),
        "\
deploy.prototxt:3:24: unknown value `MAXX` of `pool` in pooling_param of layer `pool`, did you mean `MAX`?
3 | \tpooling_param { pool: MAXX kernel_size: 2 }
  | \t                      ^^^^
  = `--lenient` skips unknown values"
    );
    let (net, warnings) = read::<NetParameter>(text.as_bytes(), true).unwrap();
    let pooling = net.layer[0].pooling_param.as_ref().unwrap();
    assert_eq!((pooling.pool, pooling.kernel_size), (None, Some(2)));
    assert_eq!(warnings[0].help, Some("skipped: the field keeps its default"));
}

#[test]
fn each_fault_has_its_words() {
    let cases = [
        ("name: \"a\" name: \"b\"", "1:11: `name` is given twice in the net"),
        ("layer { name: 'c' relu_param {} relu_param {} }", "1:33: `relu_param` is given twice in layer `c`"),
        ("name \"a\"", "1:6: expected `:` behind `name`, found `\"a\"`"),
        ("name: a", "1:7: `name` in the net takes a string in quotes, not `a`"),
        ("name:", "1:6: `name` in the net takes a string in quotes, not the end of the file"),
        (
            "input_dim: 1.5",
            "1:12: `input_dim` in the net takes a whole number from -2147483648 to 2147483647, not `1.5`",
        ),
        (
            "layer { pooling_param { pad: -1 } }",
            "1:30: `pad` in pooling_param of a layer takes a whole number from 0 to 4294967295, not `-1`",
        ),
        (
            "layer { relu_param { negative_slope: x } }",
            "1:38: `negative_slope` in relu_param of a layer takes a decimal number, not `x`",
        ),
        ("force_backward: yes", "1:17: `force_backward` in the net takes true or false, not `yes`"),
        (
            "layer { include { phase: \"TEST\" } }",
            "1:26: `phase` in include of a layer takes one of TRAIN, TEST, not `\"TEST\"`",
        ),
        ("layer: 3", "1:8: `layer` in the net takes a message in braces, not `3`"),
        ("layer { name: 'c' ", "1:7: the brace of layer `c` is never closed"),
        ("layer { name: 'c' >", "1:19: expected `}` to close what was opened, found `>`"),
        ("name: 'a' }", "1:11: a closing brace, and nothing is open"),
        (
            "input_dim: [1, 2",
            "1:17: expected `,` or `]` in the list of `input_dim`, found the end of the file",
        ),
        ("name: 'a',, name", "1:11: expected a field's name in the net, found `,`"),
        (
            "layer { name: 'c' layer { name: 'd' } }",
            "1:19: unknown field `layer` in layer `c`; is a closing brace missing in front of it?",
        ),
        (
            "layer { name: 'c' convolution_param { bottom: 'x' } }",
            "1:39: unknown field `bottom` in convolution_param of layer `c`; it belongs outside, beside `convolution_param`",
        ),
        ("layer { mat_read_param { } }", "1:26: `prefix` is missing in mat_read_param of a layer"),
        ("input_dim: 0x", "1:12: `0x` without hexadecimal digits"),
        ("input_dim: 09", "1:12: a number that starts with 0 is octal and has no digit above 7"),
        ("input_dim: 3x", "1:13: letters right behind a number: a space is missing, or a quote"),
        ("input_dim: 3e", "1:12: an exponent without digits"),
        ("input_dim: 3.1.4", "1:12: a number with a point too many"),
        ("name: 'a\nb'", "1:7: a string without its closing '"),
        ("name: 'a\\q'", "1:9: not an escape: a backslash in a string is written `\\\\`"),
        ("name: '\\xg'", "1:8: `\\x` needs one or two hexadecimal digits"),
        ("name: '\\u12'", "1:8: `\\u` needs 4 hexadecimal digits"),
        ("name: '\\ud800'", "1:8: this escape is no Unicode character"),
        ("näme: 'a'", "1:2: `ä` outside a string or comment"),
        ("# Größe\nname\u{1}: 'a'", "2:5: byte 0x01 outside a string or comment"),
    ];
    for (text, expected) in cases {
        assert_eq!(first_line(text), format!("deploy.prototxt:{expected}"), "of {text}");
    }
}

#[test]
fn bytes_that_are_not_utf8_are_an_error_in_strings_only() {
    let text = b"# Gr\xf6\xdfe\nname: \"Gr\xf6\xdfe\"";
    assert_eq!(
        error(text),
        "\
deploy.prototxt:2:7: the string of `name` in the net has byte 0xf6, which is not UTF-8
2 | name: \"Gr\u{fffd}\u{fffd}e\"
  |       ^^^^^^^
  = save the file as UTF-8; `--lenient` replaces such bytes"
    );
    let (net, warnings) = read::<NetParameter>(text, true).unwrap();
    assert_eq!(net.name(), "Gr\u{fffd}\u{fffd}e");
    assert_eq!(warnings.len(), 1);
}

#[test]
fn a_solver_is_called_a_solver() {
    let error = read::<SolverParameter>(b"base_lr: 0.1 wieght_decay: 1", false).unwrap_err().to_string();
    let expected =
        "deploy.prototxt:1:14: unknown field `wieght_decay` in the solver, did you mean `weight_decay`?";
    assert_eq!(error.lines().next(), Some(expected));
}

#[test]
fn a_long_line_is_cut_around_the_fault() {
    let text = format!("{} layer {{ naem: 'x' }} {}", "input: 'ä' ".repeat(1000), "input: 'b' ".repeat(1000));
    assert_eq!(
        error(text),
        "\
deploy.prototxt:1:11010: unknown field `naem` in a layer, did you mean `name`?
1 | …' input: 'ä' input: 'ä' input: 'ä' input: 'ä'  layer { naem: 'x' } input: 'b' input: 'b' input: 'b' input: 'b' inpu…
  |                                                         ^^^^
  = `--lenient` skips unknown fields"
    );
}

#[test]
fn what_is_no_prototxt_is_recognised() {
    let not_it = [
        ("", "expected a prototxt, but this is an empty file; was its download cut off?"),
        (
            "\n<!DOCTYPE html><html>",
            "expected a prototxt, but this is a web page; download the file itself (on GitHub: the `Raw` link)",
        ),
        (
            "version https://git-lfs.github.com/spec/v1\noid sha256:00",
            "expected a prototxt, but this is a Git LFS pointer; run `git lfs pull` where it came from, or download the \
             file itself",
        ),
        (
            "\n\u{7}LeNet-5\u{12}\u{6}\u{12}\u{4}data",
            "expected a prototxt, but this is a caffemodel; give it as the weights, not as the definition",
        ),
    ];
    for (text, expected) in not_it {
        assert_eq!(error(text), format!("deploy.prototxt: {expected}"));
    }
    assert!(error(b"\x89HDF\r\n\x1a\n\0\0").contains("HDF5"));
    assert!(error(b"\xff\xfen\0a\0m\0e\0").contains("UTF-16"));
    assert!(error(b"PK\x03\x04\x14\0\0\0").contains("archive"));
}

#[test]
fn lenient_skips_values_of_any_form() {
    let text = r#"
        a: 1, b: -inf; c: 'x' "y"
        d { e: [1, 2, [3]] f < g: h > i: {} }
        j: [ { k: 1 }, < > ] l [ { } ]
        [some.extension]: 5
        name: "n"
        layer { name: "c" m { convolution_param { num_output: 3 } } relu_param {} }
    "#;
    let (net, warnings) = read::<NetParameter>(text.as_bytes(), true).unwrap();
    assert_eq!((net.name(), net.layer[0].name()), ("n", "c"));
    assert!(net.layer[0].relu_param.is_some());
    assert_eq!(warnings.len(), 8);
    assert_eq!(warnings[7].what, "unknown field `m` in layer `c`");
}
