//! Measures a device's kernels and training steps, beside PyTorch where that is there, and writes `report.md` and `report.json`:
//! the heart of the folder that `cargo xtask gpu` makes.
//!
//! `gpu_report --device cuda --out FOLDER [--torch WORKER.py] [--errors FILE] [--outcomes FILE] [--smoke]`; with `--probe`
//! alone beside `--device`, it only says what the device is, or why it cannot be used.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use benches::cases::{Case, Pass, Scale, Work, convolutions, products};
use benches::device::{Device, Means};
use benches::report::{Report, Row};
use benches::steps::{PREFIX, Step};
use benches::timing;
use kernels::Choice;
use serde_json::{Value, json};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let outcome = Arguments::read().and_then(|arguments| run(&arguments));
    outcome.map_or_else(
        |error| {
            eprintln!("gpu_report: {error}");
            ExitCode::from(2)
        },
        |()| ExitCode::SUCCESS,
    )
}

#[derive(Default)]
struct Arguments {
    device: String,
    out: PathBuf,
    torch: Option<PathBuf>,
    errors: Option<PathBuf>,
    outcomes: Option<PathBuf>,
    smoke: bool,
    probe: bool,
}

impl Arguments {
    fn read() -> Result<Self> {
        let mut arguments = Self { device: "cuda".to_owned(), out: PathBuf::from("."), ..Self::default() };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
            match word.as_str() {
                "--device" => arguments.device = value()?,
                "--out" => arguments.out = value()?.into(),
                "--torch" => arguments.torch = Some(value()?.into()),
                "--errors" => arguments.errors = Some(value()?.into()),
                "--outcomes" => arguments.outcomes = Some(value()?.into()),
                "--smoke" => arguments.smoke = true,
                "--probe" => arguments.probe = true,
                _ => return Err(format!("{word}: not understood; see the head of gpu_report.rs").into()),
            }
        }
        Ok(arguments)
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let device = Device::open(&arguments.device, Means::OURS)?;
    let (name, arithmetic) = (device.backend.name(), device.backend.arithmetic());
    if arguments.probe {
        println!("{name}");
        return Ok(());
    }
    let scale = match (arguments.smoke, device.is_gpu) {
        (true, _) => Scale::Smoke,
        (false, true) => Scale::Gpu,
        (false, false) => Scale::Processor,
    };
    let mut used = vec![("device".to_owned(), name)];
    used.extend(device.cublas.iter().map(|version| ("cuBLAS".to_owned(), version.clone())));
    drop(device);
    let in_tf32 = Means { tf32: true, ..Means::OURS };
    let has_tf32 = Device::open(&arguments.device, in_tf32)?.backend.arithmetic() != arithmetic;
    let mut measured = Vec::new();
    for tf32 in if has_tf32 { &[false, true][..] } else { &[false] } {
        measure(&arguments.device, *tf32, scale, &mut measured)?;
    }
    used.extend(versions());

    let asked: Vec<Value> = measured.iter().map(|one| one.asked.clone()).collect();
    let peer = match arguments.torch.as_deref().map(|worker| ask_torch(worker, &asked, &arguments.device)) {
        Some(Ok(peer)) => {
            used.push(("PyTorch".to_owned(), peer.name));
            peer.seconds
        }
        Some(Err(reason)) => {
            used.push(("PyTorch".to_owned(), format!("not compared: {reason}")));
            Vec::new()
        }
        None => Vec::new(),
    };
    let rows = measured
        .into_iter()
        .enumerate()
        .map(|(at, one)| Row { peer: peer.get(at).copied().flatten(), ..one.row });
    let report = Report {
        smoke: arguments.smoke,
        used,
        outcomes: arguments.outcomes.as_deref().map(pairs).transpose()?.unwrap_or_default(),
        errors: arguments.errors.as_deref().map(errors).transpose()?.unwrap_or_default(),
        rows: rows.collect(),
    };
    fs::create_dir_all(&arguments.out)?;
    fs::write(arguments.out.join("report.md"), report.markdown())?;
    fs::write(arguments.out.join("report.json"), format!("{:#}\n", report.json()))?;
    Ok(())
}

/// What was measured, and how PyTorch is asked for the same.
struct Measured {
    row: Row,
    asked: Value,
}

fn measure(name: &str, tf32: bool, scale: Scale, measured: &mut Vec<Measured>) -> Result<()> {
    let arithmetic = if tf32 { "TF32" } else { "f32" };
    let open = |choice| Device::open(name, Means { tf32, choice });
    let ours = open(Choice::Deterministic)?;
    let cublas = ours.cublas.is_some().then(|| open(Choice::Cublas)).transpose()?;
    for case in products(scale).into_iter().chain(convolutions(scale)) {
        eprintln!("{arithmetic}: {}", case.name);
        let seconds_on = |device: &Device| -> Result<f64> {
            let backend = &*device.backend;
            Ok(timing::seconds(backend, &mut *case.prepare(backend)?)?)
        };
        let seconds = seconds_on(&ours)?;
        let (bar, of_cublas) = match case.work {
            Work::Gemm(_) => (0.9, cublas.as_ref().map(seconds_on).transpose()?),
            Work::Convolution(..) => (1.0, None),
        };
        let (flops, bytes) = (case.flops(), case.bytes());
        // What tensor cores can do is not in the roof.
        let share = if tf32 { None } else { ours.share(flops, bytes, seconds) };
        let asked = question(&case, tf32);
        let row = Row {
            name: case.name,
            arithmetic,
            seconds,
            flops: Some(flops),
            share,
            cublas: of_cublas,
            peer: None,
            bar: Some(if tf32 { 0.8 } else { bar }),
        };
        measured.push(Measured { row, asked });
    }
    drop((ours, cublas));
    // As a user has it: the fastest way for each shape.
    let device = open(Choice::Measured)?;
    for (what, frozen, bar) in [("all layers learn", &[][..], 1.0), ("conv1 to conv5 frozen", &PREFIX, 1.5)] {
        let step = Step::of(scale);
        let name = format!("alexnet training step, {what}, batch {}", step.batch);
        eprintln!("{arithmetic}: {name}");
        let smoke = scale == Scale::Smoke;
        let asked =
            json!({ "kind": "step", "batch": step.batch, "smoke": smoke, "frozen": frozen, "tf32": tf32 });
        let row = Row {
            name,
            arithmetic,
            seconds: step.seconds(&*device.backend, frozen)?,
            flops: None,
            share: None,
            cublas: None,
            peer: None,
            bar: (!tf32).then_some(bar),
        };
        measured.push(Measured { row, asked });
    }
    Ok(())
}

fn question(case: &Case, tf32: bool) -> Value {
    match &case.work {
        Work::Gemm(gemm) => json!({
            "kind": "gemm",
            "m": gemm.m,
            "n": gemm.n,
            "k": gemm.k,
            "transpose_b": gemm.transpose_b,
            "tf32": tf32,
        }),
        Work::Convolution(shape, pass) => json!({
            "kind": "convolution",
            "pass": match pass {
                Pass::Forward => "forward",
                Pass::Data => "data",
                Pass::Filter => "filter",
            },
            "batch": shape.batch,
            "channels": [shape.input_channels, shape.output_channels],
            "size": shape.input[0],
            "kernel": shape.kernel[0],
            "stride": shape.stride[0],
            "pad": shape.pad[0],
            "groups": shape.group,
            "tf32": tf32,
        }),
    }
}

struct Peer {
    name: String,
    seconds: Vec<Option<f64>>,
}

/// Has the same measured by PyTorch, in a program of its own: a list of questions goes in, and comes back with times.
fn ask_torch(worker: &Path, asked: &[Value], device: &str) -> std::result::Result<Peer, String> {
    let python = std::env::var_os("REBREW_PYTHON3").unwrap_or_else(|| "python3".into());
    let mut command = Command::new(python);
    command.arg(worker).arg(if device.starts_with("cuda") { device } else { "cpu" });
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("there is no python3: {error}"))?;
    let sent = child.stdin.take().map(|mut input| input.write_all(json!(asked).to_string().as_bytes()));
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    let told = String::from_utf8_lossy(&output.stderr);
    let last = || told.lines().last().unwrap_or("it says nothing").to_owned();
    if !output.status.success() || !matches!(sent, Some(Ok(()))) {
        return Err(last());
    }
    let answer: Value = serde_json::from_slice(&output.stdout).map_err(|_| last())?;
    let seconds = answer["seconds"].as_array().ok_or_else(last)?;
    Ok(Peer {
        name: answer["name"].as_str().unwrap_or_default().to_owned(),
        seconds: seconds.iter().map(Value::as_f64).collect(),
    })
}

/// Of NVIDIA's libraries, as far as they tell.
fn versions() -> Vec<(String, String)> {
    let mut versions = Vec::new();
    let driver = fs::read_to_string("/proc/driver/nvidia/version").unwrap_or_default();
    if let Some(line) = driver.lines().next() {
        versions.push(("driver".to_owned(), line.trim_start_matches("NVRM version: ").trim().to_owned()));
    }
    #[cfg(feature = "cuda")]
    if let Ok(version) = kernels::nvrtc_version() {
        versions.push(("NVRTC".to_owned(), version));
    }
    versions.push(("benchmarks".to_owned(), format!("rebrew {}", env!("CARGO_PKG_VERSION"))));
    versions
}

/// Reads lines of two columns, separated by a tab.
fn pairs(path: &Path) -> Result<Vec<(String, String)>> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let pair = |line: &str| line.split_once('\t').map(|(name, value)| (name.to_owned(), value.to_owned()));
    Ok(text.lines().filter_map(pair).collect())
}

/// Reads what the conformance suite leaves under the name in KERNELS_ERRORS, of GPUs.
fn errors(path: &Path) -> Result<Vec<(String, f64)>> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut worst = BTreeMap::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split('\t').collect();
        if let [operations, backend, error] = words[..]
            && backend.contains("sm_")
        {
            for operation in operations.split(", ") {
                let most = worst.entry(operation.to_owned()).or_insert(0.0_f64);
                *most = most.max(error.parse()?);
            }
        }
    }
    Ok(worst.into_iter().collect())
}
