//! What is printed, read again: the same message.

use std::fs;
use std::path::{Path, PathBuf};

use caffe_proto::proto::{NetParameter, SolverParameter};
use caffe_proto::text::{self, Options, Root};
use caffe_proto::{FileKind, Storage, open_model};

fn prototxts(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            prototxts(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "prototxt") {
            found.push(path);
        }
    }
}

fn again<M: Root>(message: &M, path: &Path) {
    let printed = text::print(message);
    let storage = Storage::from_vec(path, printed.clone().into_bytes());
    match text::parse::<M>(&storage, Options::default()) {
        Ok((read, warnings)) => {
            assert!(warnings.is_empty(), "{}", path.display());
            assert_eq!(read.encode_to_vec(), message.encode_to_vec(), "{}\n{printed}", path.display());
        }
        // An empty message prints nothing, which is no prototxt.
        Err(error) => assert!(printed.is_empty(), "{error}\n{printed}"),
    }
}

#[test]
fn every_prototxt_comes_back_from_its_print() {
    let mut paths = Vec::new();
    prototxts(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata"), &mut paths);
    let mut nets = 0;
    for path in &paths {
        let text = Storage::open(path).unwrap();
        let options = Options { lenient: true };
        if let Ok((net, _)) = text::parse::<NetParameter>(&text, options)
            && FileKind::of(&text) == FileKind::Text
        {
            again(&net, path);
            nets += 1;
        }
        if let Ok((solver, _)) = text::parse::<SolverParameter>(&text, options) {
            again(&solver, path);
        }
    }
    assert!(nets > 100, "{nets} of {}", paths.len());
}

#[test]
fn definitions_within_models_are_printed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata");
    for name in ["fashion/fashion.caffemodel", "generations/v0.caffemodel", "generations/v1.caffemodel"] {
        let path = folder.join(name);
        again(&open_model(&path).unwrap().definition.unwrap(), &path);
    }
}

#[test]
fn short_messages_stay_on_a_line() {
    let source = concat!(
        "name: \"a\\\"b\\\\c\\n\\001ü\"\n",
        "layer {\n",
        "  name: \"ip\"\n",
        "  type: \"InnerProduct\"\n",
        "  param { lr_mult: 1 decay_mult: 1e-10 }\n",
        "  inner_product_param {\n",
        "    num_output: 10\n",
        "    weight_filler { type: \"gaussian\" std: 0.01 }\n",
        "  }\n",
        "}\n",
    );
    let text = Storage::from_vec("net", source.as_bytes().to_vec());
    let (net, _) = text::parse_net(&text, Options::default()).unwrap();
    assert_eq!(text::print(&net), source);
}
