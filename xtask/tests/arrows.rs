//! Which crate may use which: the arrows of ARCHITECTURE.md, checked against `cargo metadata`.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// What each package may depend on inside the workspace, in builds, tests and build scripts alike.
const ARROWS: [(&str, &[&str]); 7] = [
    ("caffe-proto", &[]),
    ("kernels", &[]),
    ("weight-io", &["caffe-proto"]),
    ("train-core", &["caffe-proto", "kernels", "weight-io"]),
    ("rebrew", &["caffe-proto", "kernels", "train-core", "weight-io"]),
    ("benches", &["caffe-proto", "kernels", "train-core", "weight-io"]),
    ("xtask", &[]),
];

fn packages() -> Vec<Value> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["metadata", "--format-version=1", "--no-deps"])
        .current_dir(root)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    match metadata["packages"].take() {
        Value::Array(packages) => packages,
        other => panic!("packages: {other}"),
    }
}

fn name(value: &Value) -> &str {
    value["name"].as_str().unwrap()
}

#[test]
fn crates_use_only_what_the_design_lets_them() {
    let arrows = BTreeMap::from(ARROWS);
    for package in packages() {
        let user = name(&package);
        let allowed =
            arrows.get(user).unwrap_or_else(|| panic!("the package `{user}` has no place in the design"));
        for dependency in package["dependencies"].as_array().unwrap() {
            let ours = dependency["path"].is_string();
            assert!(
                !ours || allowed.contains(&name(dependency)),
                "`{user}` uses `{}`; it may use {allowed:?}",
                name(dependency)
            );
        }
    }
}

#[test]
fn every_crate_of_the_design_is_there() {
    let packages = packages();
    for (expected, _) in ARROWS {
        assert!(packages.iter().any(|package| name(package) == expected), "no package `{expected}`");
    }
}

#[test]
fn only_kernels_names_cudarc() {
    for package in packages() {
        let names_it =
            package["dependencies"].as_array().unwrap().iter().any(|dependency| name(dependency) == "cudarc");
        assert!(!names_it || name(&package) == "kernels", "`{}` uses cudarc", name(&package));
    }
}
