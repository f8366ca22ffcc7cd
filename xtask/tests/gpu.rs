//! The script of the folder that `cargo xtask gpu` makes, with small scripts in the place of its programs.

#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A folder as the task makes it, whose `gpu_report` first does `probe` when it is asked for the device.
fn folder(name: &str, probe: &str, conformance: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("gpu/run.sh");
    fs::copy(script, folder.join("run.sh")).unwrap();
    let report = format!(
        "case \"$*\" in *--probe*) {probe};; esac\necho \"$*\" >\"$(dirname \"$0\")/asked\"\n\
         while [ $# -gt 0 ]; do [ \"$1\" = --out ] && cp \"$2/outcomes.tsv\" \"$2/report.md\"; shift; done\nexit 0"
    );
    for (program, body) in [("gpu_report", &*report), ("conformance", conformance), ("rebrew", "exit 0")] {
        let path = folder.join(program);
        fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    folder
}

fn run(folder: &Path, device: Option<&str>) -> (Output, String) {
    let mut command = Command::new("sh");
    command
        .arg(folder.join("run.sh"))
        .env_remove("REBREW_GPU_DEVICE")
        .env("REBREW_PYTHON3", "no-such-python");
    command.env("PATH", "/usr/bin:/bin");
    if let Some(device) = device {
        command.env("REBREW_GPU_DEVICE", device);
    }
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, told)
}

#[test]
fn without_a_gpu_it_says_what_is_missing() {
    let folder = folder("none", "echo 'there is no libcuda' >&2; exit 2", "exit 0");
    let (output, told) = run(&folder, None);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.starts_with("there is no libcuda\nrun.sh: this machine cannot be measured."), "{told}");
    assert!(told.contains("nvidia-cuda-nvrtc-cu12==12.9.86"), "{told}");
    assert!(!folder.join("results/report.md").exists());
}

#[test]
fn what_was_checked_is_reported() {
    let records = "printf 'axpy\\tNVIDIA T4, sm_75\\t1e-7\\n' >\"$KERNELS_ERRORS\"";
    let folder = folder("all", "echo 'a GPU'; exit 0", records);
    let (output, told) = run(&folder, None);
    assert_eq!(output.status.code(), Some(0), "{told}");
    let report = fs::read_to_string(folder.join("results/report.md")).unwrap();
    assert!(report.starts_with("conformance\tpassed\n"), "{report}");
    assert!(report.ends_with("same net\tpassed\n"), "{report}");
    assert!(!fs::read_to_string(folder.join("asked")).unwrap().contains("--smoke"));
}

#[test]
fn a_gpu_that_the_checks_did_not_use_fails() {
    let folder = folder(
        "unused",
        "echo 'a GPU'; exit 0",
        "printf 'axpy\\tx86_64, Avx2\\t1e-7\\n' >\"$KERNELS_ERRORS\"",
    );
    let (output, told) = run(&folder, None);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("conformance: FAILED"), "{told}");
}

#[test]
fn the_processor_serves_for_a_smoke_test_only() {
    let folder = folder("smoke", "echo 'CPU'; exit 0", ": >\"$KERNELS_ERRORS\"");
    let (output, told) = run(&folder, Some("cpu"));
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(fs::read_to_string(folder.join("asked")).unwrap().contains("--device cpu --smoke"));
}
