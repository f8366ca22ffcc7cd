//! `rebrew plot filters`: the pictures it makes, and what it says when there is nothing to draw.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

#[test]
fn one_channel_is_a_square_of_grey_tiles() {
    let scratch = Scratch::new();
    let model = testdata("fashion/fashion.caffemodel");
    let output = scratch.run(&["plot", "filters", &model, "conv1", "-o", "conv1.png"]);
    // 4×4 tiles of 5×5 and three gaps: 23 values, 35 pixels each.
    let told = text(&output.stdout);
    assert_eq!(told, "conv1/W 16×1×5×5 → conv1.png (805×805 pixels)\n", "{output:?}");
    let (color, width, pixels) = scratch.png("conv1.png");
    assert_eq!((color, width), (png::ColorType::Grayscale, 805));
    let values = weight_io::Weights::open(&model).unwrap().get("conv1/W").unwrap().to_f32().unwrap();
    let largest = values.iter().fold(0.0, |most: f32, value| most.max(value.abs()));
    for (index, value) in values.iter().enumerate() {
        let (filter, row, column) = (index / 25, index % 25 / 5, index % 5);
        let (row, column) = (filter / 4 * 6 + row, filter % 4 * 6 + column);
        let found = f32::from(pixels[row * 35 * 805 + column * 35]);
        assert!((found - (value / largest + 1.0) * 127.5).abs() <= 0.51, "{index}: {value} is {found}");
    }
    // Between the first tile and the second.
    assert_eq!(pixels[5 * 35..6 * 35], [255; 35]);
}

#[test]
fn three_channels_are_colours_and_bgr_unless_told() {
    let scratch = Scratch::new();
    let model = testdata("classify/colors.caffemodel");
    assert!(
        scratch.run(&["plot", "filters", &model, "conv", "-o", "bgr.png", "--scale", "1"]).status.success()
    );
    let arguments = ["plot", "filters", &model, "conv", "-o", "rgb.png", "--scale", "1", "--rgb", "-q"];
    let quiet = scratch.run(&arguments);
    assert!(quiet.status.success() && quiet.stdout.is_empty());
    let (color, width, bgr) = scratch.png("bgr.png");
    // 8 filters of 5×5: 3 by 3 tiles.
    assert_eq!((color, width, bgr.len()), (png::ColorType::Rgb, 17, 17 * 17 * 3));
    let (_, _, rgb) = scratch.png("rgb.png");
    assert_ne!(bgr, rgb);
    let swapped = rgb.chunks_exact(3).flat_map(|pixel| [pixel[2], pixel[1], pixel[0]]).collect::<Vec<_>>();
    assert_eq!(bgr, swapped);
}

#[test]
fn other_weights_are_rows_of_tiles_or_a_matrix() {
    let scratch = Scratch::new();
    let model = testdata("fashion/fashion.caffemodel");
    for (layer, told) in [
        ("conv2", "conv2/W 32×8×5×5 → conv2.png (188×764 pixels)\n"),
        ("fc5", "fc5/W 10×64 → fc5.png (832×130 pixels)\n"),
    ] {
        let output = scratch.run(&["plot", "filters", &model, layer, "-o", &format!("{layer}.png")]);
        assert_eq!(text(&output.stdout), told, "{output:?}");
    }
}

#[test]
fn a_file_without_a_definition_has_numbered_parameters() {
    let scratch = Scratch::new();
    let model = testdata("fashion/fashion.caffemodel.h5");
    let output = scratch.run(&["plot", "filters", &model, "conv1", "-o", "conv1.png", "--scale", "2"]);
    assert!(output.status.success(), "{output:?}");
    assert!(text(&output.stdout).ends_with(" 16×1×5×5 → conv1.png (46×46 pixels)\n"), "{output:?}");
}

#[test]
fn what_cannot_be_drawn_says_why() {
    let scratch = Scratch::new();
    let model = testdata("fashion/fashion.caffemodel");
    fs::write(scratch.path("there.png"), "mine").unwrap();
    for (arguments, expected) in [
        (
            &["conv9", "-o", "x.png"][..],
            format!(
                "{model}: no layer `conv9` has parameters; there is `conv1`, `conv2`, `conv3`, `fc4`, `fc5`"
            ),
        ),
        (
            &["fc4", "-o", "x.png", "--index", "2"],
            format!("{model}: layer `fc4` has no parameter 2; counted from 0 it has `fc4/W`, `fc4/b`"),
        ),
        (
            &["conv1", "-o", "x.png", "--index", "1"],
            format!(
                "{model}: `conv1/b` has shape 16: kernels have 4 axes, the weights of an inner product 2"
            ),
        ),
        (&["conv1", "-o", "x.jpg"], "a PNG is written: end x.jpg in .png".to_owned()),
        (&["conv1", "-o", "there.png"], "there.png exists already (--force replaces it)".to_owned()),
        (
            &["conv1", "-o", "x.png", "--scale", "1000"],
            "--scale 1000 makes 23000×23000 pixels, more than 268435456: give a smaller one".to_owned(),
        ),
        (
            &["conv1", "-o", "none/x.png"],
            "cannot write none/x.png: No such file or directory (os error 2)".to_owned(),
        ),
    ] {
        let files = scratch.files();
        let output = scratch.run(&[&["plot", "filters", &model][..], arguments].concat());
        assert_eq!(text(&output.stderr), format!("rebrew: {expected}\n"));
        assert_eq!(output.status.code(), Some(2));
        assert!(output.stdout.is_empty());
        assert_eq!(scratch.files(), files);
    }
    assert_eq!(fs::read(scratch.path("there.png")).unwrap(), b"mine");
    let forced = scratch.run(&["plot", "filters", &model, "conv1", "-o", "there.png", "--force"]);
    assert!(forced.status.success());
    scratch.png("there.png");
}

/// A folder of the test's own, which the program runs in.
struct Scratch(tempfile::TempDir);

impl Scratch {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut program = Command::new(env!("CARGO_BIN_EXE_rebrew"));
        program.args(arguments).current_dir(self.0.path()).output().unwrap()
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.0.path()).unwrap();
        let mut files = entries.map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
        files.sort();
        files
    }

    fn png(&self, name: &str) -> (png::ColorType, u32, Vec<u8>) {
        let file = std::io::BufReader::new(fs::File::open(self.path(name)).unwrap());
        let mut reader = png::Decoder::new(file).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let frame = reader.next_frame(&mut pixels).unwrap();
        (frame.color_type, frame.width, pixels)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn testdata(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata").join(path);
    path.canonicalize().unwrap().to_str().unwrap().to_owned()
}
