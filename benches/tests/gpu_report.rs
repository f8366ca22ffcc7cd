//! The program that measures a GPU, on what is here: it runs through, and says that it is a smoke test.

use std::fs;
use std::process::{Command, Output};

use serde_json::Value;

fn report(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gpu_report")).args(arguments).output().unwrap()
}

fn check(device: &str, name: &str, rows: usize) {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("errors.tsv"), "axpy, fill\tNVIDIA T4, sm_75\t1.0e-7\naxpy\tx86_64, Avx2\t1.0e0\n")
        .unwrap();
    fs::write(path("outcomes.tsv"), "conformance\tpassed\n").unwrap();
    let files = ["--errors", &path("errors.tsv"), "--outcomes", &path("outcomes.tsv"), "--out", &path("out")];
    let torch = ["--torch", "no such file.py"];
    let output = report(&[&["--device", device, "--smoke"][..], &files, &torch].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = fs::read_to_string(path("out/report.md")).unwrap();
    assert!(text.contains("A smoke test: tiny shapes"), "{text}");
    assert!(text.contains("| conformance | passed |\n"), "{text}");
    assert!(text.contains("| `fill` | 1.0e-7 |\n"), "{text}");
    let json: Value = serde_json::from_slice(&fs::read(path("out/report.json")).unwrap()).unwrap();
    assert_eq!(json["smoke"], true);
    assert!(json["used"]["device"].as_str().unwrap().starts_with(name), "{json}");
    assert!(json["used"]["PyTorch"].as_str().unwrap().starts_with("not compared: "), "{json}");
    assert_eq!(json["errors"]["axpy"], 1e-7);
    let measured = json["measured"].as_array().unwrap();
    assert_eq!(measured.len(), rows, "{json}");
    assert!(
        measured.iter().all(|row| row["seconds"].as_f64().is_some_and(|seconds| seconds > 0.0)),
        "{json}"
    );
}

#[test]
fn the_processor_is_measured() {
    check("cpu", "CPU, ", 10);
}

/// In f32 and in TF32.
#[cfg(feature = "emulate")]
#[test]
fn the_emulated_gpu_is_measured() {
    check("emulate", "emulated GPU", 20);
}

#[test]
fn a_device_that_is_not_there_is_an_error() {
    for (arguments, expected) in [
        (&["--device", "cuda:77", "--probe"][..], "gpu_report: cannot use "),
        (&["--device", "tpu"], "gpu_report: cannot use `tpu`: no such device"),
        (&["--smok"], "gpu_report: --smok: not understood"),
        (&["--out"], "gpu_report: --out needs a value"),
    ] {
        let output = report(arguments);
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.starts_with(expected), "{told}");
    }
}
