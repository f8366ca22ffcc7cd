//! The exact text of each error that a user can meet, and its exit code.

mod scratch;

use std::fs;

use scratch::{Scratch, testdata};

#[test]
fn what_is_no_model_is_named() {
    let scratch = Scratch::new();
    for (content, what) in [
        (&b""[..], "an empty file; was its download cut off?"),
        (b"\n\n<!DOCTYPE html><html>", "a web page; download the file itself (on GitHub: the `Raw` link)"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n",
            "a Git LFS pointer; run `git lfs pull` where it came from, or download the file itself",
        ),
        (b"\x1f\x8b\x08\x00", "a compressed archive; unpack it first"),
        (
            b"\x80\x02}q\x00.",
            "a Python pickle; a pickle runs code when it is opened: save it as .npz or .safetensors where it was made",
        ),
        (b"\x93NUMPY\x01\x00", "a single numpy array; numpy.savez makes a set of arrays"),
        (
            b"name: \"LeNet\"\n",
            "a definition in text form (a prototxt); it holds no weights: give it with --definition",
        ),
        (b"\x00\x01\x02\x03", "in no format that is known here"),
    ] {
        scratch.write("x.caffemodel", content);
        let expected = format!("rebrew: x.caffemodel: expected a file of weights, but this is {what}\n");
        scratch.fails(&["convert", "x.caffemodel", "-o", "x.npz"], &expected);
    }
}

#[test]
fn a_missing_input_is_named() {
    Scratch::new().fails(
        &["convert", "none.caffemodel", "-o", "x.npz"],
        "rebrew: cannot open none.caffemodel: No such file or directory (os error 2)\n",
    );
}

#[test]
fn a_cut_model_names_the_layer() {
    let scratch = Scratch::new();
    let whole = fs::read(testdata("fashion/fashion.caffemodel")).unwrap();
    scratch.write("cut.caffemodel", &whole[..60_000]);
    scratch.fails(
        &["convert", "cut.caffemodel", "-o", "x.npz"],
        "rebrew: cut.caffemodel: layer `conv3`: a field of 37113 bytes where 32085 are left: the file is cut short or \
         damaged (at byte 27915)\n",
    );
}

#[test]
fn an_existing_output_needs_force() {
    let scratch = Scratch::new();
    scratch.write("x.npz", b"mine");
    let model = testdata("fashion/fashion.caffemodel");
    scratch
        .fails(&["convert", &model, "-o", "x.npz"], "rebrew: x.npz exists already (--force replaces it)\n");
    assert_eq!(fs::read(scratch.path("x.npz")).unwrap(), b"mine");
    assert!(scratch.run(&["convert", &model, "-o", "x.npz", "--force"]).status.success());
}

#[test]
fn an_output_without_a_format_is_refused() {
    let model = testdata("fashion/fashion.caffemodel");
    Scratch::new().fails(
        &["convert", &model, "-o", "x.bin"],
        "rebrew: x.bin does not say which format to write: end it in .npz, .h5, .safetensors, .onnx, .caffemodel \
         or .caffemodel.h5, or give --to\n",
    );
}

#[test]
fn tensors_need_a_definition_to_become_blobs() {
    let scratch = Scratch::new();
    let model = testdata("fashion/fashion.caffemodel");
    assert!(scratch.run(&["convert", &model, "-o", "x.npz"]).status.success());
    scratch.fails(
        &["convert", "x.npz", "-o", "y.caffemodel"],
        "rebrew: x.npz: giving tensors to the layers of a net needs the net's definition: give it with --definition\n",
    );
    let hdf5 = testdata("fashion/fashion.caffemodel.h5");
    scratch.fails(
        &["convert", &hdf5, "-o", "y.caffemodel"],
        &format!("rebrew: {hdf5}: a .caffemodel needs the net's definition: give it with --definition\n"),
    );
    scratch.fails(
        &["convert", &hdf5, "-o", "y.npz", "--conv", "dense"],
        &format!("rebrew: {hdf5}: making a .caffemodel.h5 dense needs the net's definition: give it with --definition\n"),
    );
}

#[test]
fn an_unknown_field_shows_its_place() {
    let scratch = Scratch::new();
    scratch.write(
        "deploy.prototxt",
        b"layer {\n  name: 'conv1'\n  type: 'Convolution'\n  convolution_param { num_ouput: 64 kernel_size: 3 }\n}\n",
    );
    scratch.fails(
        &["inspect", "deploy.prototxt"],
        "rebrew: deploy.prototxt:4:23: unknown field `num_ouput` in convolution_param of layer `conv1`, did you mean \
         `num_output`?\n\
         4 |   convolution_param { num_ouput: 64 kernel_size: 3 }\n  \
           |                       ^^^^^^^^^\n  \
           = `--lenient` skips unknown fields\n",
    );
}

#[test]
fn a_shape_that_does_not_fit_names_layer_and_numbers() {
    let scratch = Scratch::new();
    let deploy = fs::read_to_string(testdata("fashion/deploy.prototxt")).unwrap();
    scratch.write("ungrouped.prototxt", deploy.replace("    group: 2\n", "    group: 4\n").as_bytes());
    let model = testdata("fashion/fashion.caffemodel");
    let output = scratch.run(&["convert", &model, "-o", "dense.npz", "--conv", "dense"]);
    assert!(output.status.success());
    scratch.fails(
        &["convert", "dense.npz", "-o", "x.caffemodel", "--definition", "ungrouped.prototxt"],
        "rebrew: dense.npz: layer `conv2` (Convolution): `conv2/W` is dense, and 3200 of its values between the 4 groups \
         are not zero, the largest 5.53955e-1: it has no grouped form\n",
    );
}

#[test]
fn a_tolerance_below_zero_is_refused() {
    let model = testdata("fashion/fashion.caffemodel");
    Scratch::new()
        .fails(&["diff", &model, &model, "--rtol=-1"], "rebrew: --rtol is -1, expected 0 or more\n");
}

#[test]
fn differences_are_an_answer_and_not_an_error() {
    let scratch = Scratch::new();
    let model = testdata("fashion/fashion.caffemodel");
    let mut bytes = fs::read(&model).unwrap();
    // The last byte of the last float of fc5's bias, which a shape of four bytes follows.
    let at = bytes.windows(4).rposition(|window| window == b"loss").unwrap();
    let at = bytes[..at].windows(5).rposition(|window| window == [0x3a, 0x03, 0x0a, 0x01, 0x0a]).unwrap();
    bytes[at - 1] ^= 0x80;
    scratch.write("other.caffemodel", &bytes);
    let output = scratch.run(&["diff", &model, "other.caffemodel"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stderr.is_empty());
    assert!(String::from_utf8_lossy(&output.stdout).contains("fc5/b"), "{output:?}");
}
