//! `rebrew classify` against pycaffe's Classifier, and what it says when something is wrong.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

#[test]
fn scores_are_pycaffes() {
    let cases: Vec<Value> =
        serde_json::from_slice(&fs::read(testdata("classify/classify.json")).unwrap()).unwrap();
    assert_eq!(cases.len(), 12);
    for case in &cases {
        let names = case["images"].as_array().unwrap().iter().map(|name| name.as_str().unwrap());
        let images = names.map(|name| testdata(&format!("classify/{name}"))).collect::<Vec<_>>();
        let within = if images[0].contains(".jpg") { JPEG_WITHIN } else { 1e-5 };
        for batch in [None, Some("1"), Some("7")] {
            let mut words = options(case);
            words.extend(images.iter().cloned());
            words.extend(batch.into_iter().flat_map(|batch| ["--batch".to_owned(), batch.to_owned()]));
            let output = run(Path::new("."), &words);
            assert_eq!(output.status.code(), Some(0), "{output:?}");
            let found: Value = serde_json::from_slice(&output.stdout).unwrap();
            for (index, expected) in case["scores"].as_array().unwrap().iter().enumerate() {
                let found = &found["images"][index];
                assert_eq!(found["image"], images[index]);
                let expected = expected.as_array().unwrap();
                let classes = found["classes"].as_array().unwrap();
                assert_eq!(classes.len(), expected.len());
                for class in classes {
                    let (at, score) = (class["class"].as_u64().unwrap(), class["score"].as_f64().unwrap());
                    let away = (score - expected[at as usize].as_f64().unwrap()).abs();
                    assert!(away < within, "{} class {at} is {away:e} away: {words:?}", found["image"]);
                }
            }
        }
    }
}

#[test]
fn a_table_names_the_classes() {
    let scratch = tempfile::tempdir().unwrap();
    fs::copy(testdata("classify/scene.png"), scratch.path().join("scene.png")).unwrap();
    fs::write(scratch.path().join("names.txt"), "n01 a cat\nn02 a dog\nn03 a hat, a cap\n\n").unwrap();
    let mut words = net("colors");
    words.extend(["scene.png", "--labels", "names.txt", "--top", "2"].map(str::to_owned));
    let output = run(scratch.path(), &words);
    assert_eq!(
        text(&output.stdout),
        "scene.png\nrank   score  class  label\n   1  0.3843      2  n03 a hat, a cap\n   2  0.2595      4\n"
    );
    assert_eq!(text(&output.stderr), "note: names.txt has 3 lines, the net has 6 classes\n");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_folder_is_its_images_by_name_and_broken_ones_are_counted() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("images");
    fs::create_dir(&folder).unwrap();
    let scene = fs::read(testdata("classify/scene.png")).unwrap();
    fs::write(folder.join("b.PNG"), &scene).unwrap();
    fs::write(folder.join("c.png"), &scene[..700]).unwrap();
    fs::copy(testdata("classify/photo.jpg"), folder.join("a.jpeg")).unwrap();
    fs::write(folder.join("notes.txt"), "none").unwrap();
    let mut words = net("colors");
    words.extend(["images", "page.png", "gone.png", "--json", "--top", "1"].map(str::to_owned));
    fs::write(scratch.path().join("page.png"), "<!DOCTYPE html><html>").unwrap();
    let output = run(scratch.path(), &words);
    assert_eq!(output.status.code(), Some(1));
    let lines = text(&output.stderr).lines().map(str::to_owned).collect::<Vec<_>>();
    assert!(lines[0].starts_with("rebrew: images/c.png: this PNG cannot be decoded: "), "{lines:?}");
    assert_eq!(
        lines[1..],
        [
            "rebrew: page.png: expected a JPEG or PNG image, but this is a web page; download the file itself (on GitHub: the \
             `Raw` link)",
            "rebrew: cannot open gone.png: No such file or directory (os error 2)",
            "rebrew: 3 of 5 images could not be read",
        ]
    );
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let images = found["images"].as_array().unwrap();
    let names = images.iter().map(|image| image["image"].as_str().unwrap()).collect::<Vec<_>>();
    assert_eq!(names, ["images/a.jpeg", "images/b.PNG", "images/c.png", "page.png", "gone.png"]);
    assert_eq!(images[0]["classes"][0]["class"], 2);
    assert_eq!(images[1]["classes"][0]["class"], 2);
    assert_eq!(images[4]["error"], "cannot open gone.png: No such file or directory (os error 2)");
}

#[test]
fn what_cannot_run_says_why() {
    let scene = testdata("classify/scene.png");
    let mean = testdata("classify/colors_mean.npy");
    let prototxt = testdata("classify/colors.prototxt");
    let labels = "none.txt";
    for (net_name, options, expected) in [
        ("colors", &["none.png"][..], "cannot open none.png: No such file or directory (os error 2)".to_owned()),
        (
            "colors",
            &[&prototxt],
            format!(
                "{prototxt}: expected a JPEG or PNG image, but this is a definition in text form (a prototxt)"
            ),
        ),
        ("colors", &["none.png", "gone.png"], "none of the 2 images could be read".to_owned()),
        (
            "colors",
            &[&scene, "--image-dims", "31,40"],
            "images of 31×40 (height×width) are smaller than the net's input, 32×32: resize them to that or more"
                .to_owned(),
        ),
        (
            "colors",
            &[&scene, "--channel-swap", "0,1"],
            "the channel order 0,1 does not fit 3 channels: expected each of 0 to 2 once".to_owned(),
        ),
        ("colors", &[&scene, "--mean", "104,117"], "the mean has 2 channels, the net's input has 3".to_owned()),
        (
            "colors",
            &[&scene, "--mean", "104,117,x"],
            "the mean `104,117,x` is neither a file nor numbers with commas, as in 104,117,123".to_owned(),
        ),
        ("colors", &[&scene, "--mean", "mean.npy"], "cannot open mean.npy: No such file or directory (os error 2)".to_owned()),
        (
            "fashion",
            &[&scene, "--mean", &mean],
            "the mean has 3 channels, the net's input has 1: is this a net for grey images?".to_owned(),
        ),
        (
            "colors",
            &[&scene, "--labels", labels],
            "cannot open none.txt: No such file or directory (os error 2)".to_owned(),
        ),
        (
            "colors",
            &[&scene, "--output", "conv", "--batch", "1"],
            format!(
                "{prototxt}: `conv` has shape 1×8×10×10, expected a score for each class of each of 1 images, 1×C: name \
                 another blob with --output"
            ),
        ),
    ] {
        let mut words = net(net_name);
        words.extend(options.iter().map(|&word| word.to_owned()));
        let output = run(Path::new("/"), &words);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert_eq!(text(&output.stderr).lines().last(), Some(format!("rebrew: {expected}").as_str()));
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn a_net_for_training_is_refused() {
    let train = testdata("fashion/train_val.prototxt");
    let words =
        ["classify", &train, "-w", &testdata("fashion/fashion.caffemodel"), "x.png"].map(str::to_owned);
    let output = run(Path::new("."), &words);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        text(&output.stderr),
        format!(
            "rebrew: {train}: layer `data` (HDF5Data) reads data of its own, as nets for training do: give the deploy \
             prototxt, which has an Input layer\n"
        )
    );
}

#[test]
fn of_several_outputs_the_softmaxs_is_taken_and_logits_are_printed_as_they_are() {
    let scratch = tempfile::tempdir().unwrap();
    let definition = fs::read_to_string(testdata("classify/colors.prototxt")).unwrap();
    let more =
        "layer { name: 'mean' type: 'Reduction' bottom: 'fc' top: 'mean' reduction_param { axis: 1 } }";
    let more_again = "layer { name: 'most' type: 'ArgMax' bottom: 'fc' top: 'most' }";
    let path = scratch.path().join("more.prototxt");
    fs::write(&path, format!("{definition}{more}\n{more_again}\n")).unwrap();
    let score = |output: &[&str]| {
        let model = testdata("classify/colors.caffemodel");
        let scene = testdata("classify/scene.png");
        let mut words = vec!["classify", path.to_str().unwrap(), "-w", &model, &scene, "--json"];
        words.extend(output);
        let output = run(scratch.path(), &words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>());
        let found: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
        found["images"][0]["classes"][0]["score"].as_f64().unwrap()
    };
    assert!((score(&[]) - 0.384_322).abs() < 1e-5);
    assert!((score(&["--output", "fc"]) - 0.384_322).abs() > 0.01);
    let bare = definition.lines().filter(|line| !line.contains("Softmax"));
    let bare = bare.collect::<Vec<_>>().join("\n");
    fs::write(&path, format!("{bare}\n{more}\n{more_again}\n")).unwrap();
    let words = ["classify", "more.prototxt", "-w", &testdata("classify/colors.caffemodel"), "x.png"];
    let output = run(scratch.path(), &words.map(str::to_owned));
    assert_eq!(
        text(&output.stderr),
        "rebrew: more.prototxt: the net has 2 outputs, `mean`, `most`: name the one with the scores with --output\n"
    );
}

#[test]
fn a_net_whose_batch_is_fixed_keeps_it() {
    let scratch = tempfile::tempdir().unwrap();
    let definition = fs::read_to_string(testdata("classify/colors.prototxt")).unwrap();
    let flat = "layer { name: 'flat' type: 'Reshape' bottom: 'conv' top: 'flat' reshape_param { shape { dim: 2 dim: 800 } } }";
    let product = "layer { name: \"fc\" type: \"InnerProduct\" bottom: \"conv\"";
    let fixed = definition.replace(product, &format!("{flat}\n{}", product.replace("conv", "flat")));
    assert_ne!(fixed, definition);
    fs::write(scratch.path().join("fixed.prototxt"), fixed).unwrap();
    let mut words = net("colors");
    words.extend(["scene", "small", "grey"].map(|name| testdata(&format!("classify/{name}.png"))));
    let expected = run(scratch.path(), &words);
    words[1] = "fixed.prototxt".to_owned();
    let found = run(scratch.path(), &words);
    assert_eq!(found.status.code(), Some(0), "{found:?}");
    assert_eq!(text(&found.stdout), text(&expected.stdout));
}

#[test]
fn detections_are_no_scores() {
    let scratch = tempfile::tempdir().unwrap();
    let layers = "layer { name: 'data' type: 'Input' top: 'data' input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }
        layer { name: 'loc' type: 'InnerProduct' bottom: 'data' top: 'loc' inner_product_param { num_output: 4 } }
        layer { name: 'conf' type: 'InnerProduct' bottom: 'data' top: 'conf' inner_product_param { num_output: 2 } }
        layer { name: 'prior' type: 'PriorBox' bottom: 'data' bottom: 'data' top: 'prior' prior_box_param { min_size: 4 } }
        layer { name: 'found' type: 'DetectionOutput' bottom: 'loc' bottom: 'conf' bottom: 'prior' top: 'found'
          detection_output_param { num_classes: 2 nms_param { nms_threshold: 0.5 } } }";
    fs::write(scratch.path().join("ssd.prototxt"), layers).unwrap();
    let words = ["classify", "ssd.prototxt", "-w", "x.caffemodel", "x.png"].map(str::to_owned);
    let output = run(scratch.path(), &words);
    assert_eq!(
        text(&output.stderr),
        "rebrew: ssd.prototxt: `found` lists what is where in an image, and no scores of classes\n"
    );
}

#[test]
fn weights_that_lack_a_layer_are_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let definition = fs::read_to_string(testdata("classify/colors.prototxt")).unwrap();
    fs::write(scratch.path().join("other.prototxt"), definition.replace("name: \"fc\"", "name: \"fc_new\""))
        .unwrap();
    let model = testdata("classify/colors.caffemodel");
    let words = ["classify", "other.prototxt", "-w", &model, &testdata("classify/scene.png")];
    let output = run(scratch.path(), &words.map(str::to_owned));
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("`fc_new`"), "{output:?}");
    assert!(output.stdout.is_empty());
}

/// How far scores of JPEGs may be from pycaffe's: the format leaves the decoder a level or two of 255.
const JPEG_WITHIN: f64 = 2e-3;

fn options(case: &Value) -> Vec<String> {
    let mut words = net(case["net"].as_str().unwrap());
    words.extend(["--json", "--top", "10"].map(str::to_owned));
    let object = case.as_object().unwrap();
    for (name, value) in object {
        let value = match (name.as_str(), value) {
            ("net" | "images" | "scores", _) => continue,
            (_, Value::Bool(_)) => None,
            ("mean", Value::String(text)) if text == "mean.binaryproto" => {
                Some(testdata("fashion/mean.binaryproto"))
            }
            ("mean", Value::String(text)) if text.contains("_mean.") => {
                Some(testdata(&format!("classify/{text}")))
            }
            (_, Value::String(text)) => Some(text.clone()),
            (_, Value::Array(dims)) => Some(format!("{},{}", dims[0], dims[1])),
            (_, number) => Some(number.to_string()),
        };
        words.push(format!("--{name}"));
        words.extend(value);
    }
    words
}

fn net(name: &str) -> Vec<String> {
    let (definition, weights) = match name {
        "colors" => ("classify/colors.prototxt", "classify/colors.caffemodel"),
        _ => ("fashion/deploy.prototxt", "fashion/fashion.caffemodel"),
    };
    vec!["classify".to_owned(), testdata(definition), "--weights".to_owned(), testdata(weights)]
}

fn run(folder: &Path, words: &[String]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rebrew")).args(words).current_dir(folder).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn testdata(path: &str) -> String {
    let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata");
    folder.canonicalize().unwrap().join(path).to_str().unwrap().to_owned()
}
