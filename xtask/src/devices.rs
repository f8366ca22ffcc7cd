//! `cargo xtask devices`: whole models on a device beside the processor, passes and fine-tuning.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::models::{self, Model};
use crate::workspace;

/// The most by which a value may differ, as a part of its array's largest.
const TOLERANCE: f64 = 1e-4;

/// Images are tried one after the other, the same ones with other factors of their pixels, until all that is learned is within
/// the tolerance: factors that make pixels about 0 to 1 (with larger ones the scores of some nets are so sure that nothing is left
/// to learn), each with its neighbours among floats.
const SCALES: [[&str; 3]; 8] = [
    ["0.00390625", "0.0039062505", "0.0039062498"],
    ["0.0041", "0.0041000005", "0.0040999996"],
    ["0.0037", "0.0037000002", "0.0036999998"],
    ["0.0043", "0.0043000006", "0.0042999997"],
    ["0.0035", "0.0035000003", "0.0034999999"],
    ["0.0045", "0.0045000003", "0.0044999993"],
    ["0.0033", "0.0033000002", "0.0032999997"],
    ["0.0047", "0.0047000004", "0.0046999995"],
];

/// Images of the size of which a net makes one row of scores, where its own makes several: by a part of the net's name.
const CROPS: [(&str, &str); 2] = [("bn_zero", "1,1"), ("yoloface", "8,8")];

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A folder of folders of models, beside the bundled ones
    #[arg(long)]
    models: Option<PathBuf>,
    /// Only the models whose path contains this text
    #[arg(long)]
    only: Vec<String>,
    /// What is compared with the processor, as `rebrew --device` takes it: emulate, cuda or cuda:N
    #[arg(long, default_value = "emulate")]
    device: String,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let mut models = models::find(arguments.models.as_deref(), &arguments.only)?;
    if arguments.only.is_empty() {
        models.extend(models::without_weights(arguments.models.as_deref())?);
    }
    let rebrew = workspace::build_rebrew_with(&["rebrew/cuda", "rebrew/emulate"], false)?;
    let folder = workspace::cache()?.join(format!("devices/live-{}", std::process::id()));
    let side_by_side = SideBySide { rebrew, device: arguments.device.clone(), folder };
    let outcome = side_by_side.run_all(&models);
    let _ = fs::remove_dir_all(&side_by_side.folder);
    Ok(if outcome? == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A program, the device that it is to use, and a folder for what it makes.
struct SideBySide {
    rebrew: PathBuf,
    device: String,
    folder: PathBuf,
}

/// How a device's results compare with the processor's.
#[derive(Debug, PartialEq)]
enum Cell {
    /// How many arrays, and the worst difference as a part of an array's largest value; that of the images before, with which some
    /// differed by more, but by no more than the processor's own do when the images change in their last bit.
    Close {
        arrays: usize,
        worst: f64,
        before: Option<f64>,
    },
    /// The processor cannot do it either, and why.
    Aside(String),
    Different(String),
}

/// What a run of the program said: nothing, or why it failed.
type Said = std::result::Result<(), String>;

/// Of each array the largest difference, as a part of its largest value.
type Differences = BTreeMap<String, f64>;

impl SideBySide {
    /// Compares the models one by one, and prints a table; returns how many results differ.
    fn run_all(&self, models: &[Model]) -> Result<usize> {
        let images = self.folder.join("images");
        for (class, image) in [("one", "scene.png"), ("other", "boot.png")] {
            let class = images.join(class);
            fs::create_dir_all(&class).with_context(|| format!("cannot make {}", class.display()))?;
            fs::copy(workspace::root().join("testdata/classify").join(image), class.join(image))?;
        }
        let mut rows = Vec::new();
        for model in models {
            let own = [model.weights.clone()];
            let definitions = if model.definitions.is_empty() { &own[..] } else { &model.definitions };
            for definition in definitions {
                let mut name = model.name.clone();
                if definitions.len() > 1 {
                    name = format!("{name}, {}", definition.file_name().unwrap_or_default().display());
                }
                let weights = (model.weights != *definition).then_some(&*model.weights);
                let passes = self.passes(definition, weights)?;
                let crop = CROPS.iter().find(|(part, _)| name.contains(part)).map(|(_, crop)| *crop);
                let steps = self.steps(definition, weights, &images, crop)?;
                eprintln!("{name}: {passes}; fine-tuned: {steps}");
                rows.push((name, passes, steps));
            }
        }
        Ok(print(&self.device, &rows))
    }

    /// Passes of the net as it runs, and with nothing fused, which keeps every blob.
    fn passes(&self, definition: &Path, weights: Option<&Path>) -> Result<Cell> {
        let mut cells = Vec::new();
        for keep in [None, Some("--all-blobs")] {
            let outputs = ["cpu.npz", "device.npz"].map(|name| self.folder.join(name));
            let pass = |device: &str, output: &Path| -> Result<Said> {
                let mut command = self.command("run", definition, weights, device);
                command.args(["--random-input", "--force"]).args(keep).arg("-o").arg(output);
                said(&mut command)
            };
            cells.push(match self.beside(&outputs, &outputs, pass)? {
                Ok(differences) => judged(&differences, &Differences::new()),
                Err(cell) => cell,
            });
        }
        Ok(together(cells))
    }

    /// Fine-tuning, by one step on two images, all layers learning; what is compared are the parameters.
    ///
    /// A gradient jumps where the input of a ReLU is so near 0 that rounding decides about its sign, which some pair of images comes
    /// upon in any deep net. Where the device is further off than it may be, it may be no further than the processor is from itself,
    /// and other images come next: with some of them, all must be near.
    fn steps(
        &self,
        definition: &Path,
        weights: Option<&Path>,
        images: &Path,
        crop: Option<&str>,
    ) -> Result<Cell> {
        let tune = |device: &str, scale: &str, run: &Path| -> Result<Said> {
            let mut command = self.command("finetune", definition, weights, device);
            command.arg("--data").arg(images).arg("--val-data").arg(images).arg("-o").arg(run);
            command.args(["--optimizer", "sgd", "--lr", "0.01", "--batch-size", "2", "--epochs", "1"]);
            command.args(crop.iter().flat_map(|crop| ["--crop", crop]));
            said(command.args(["--input-scale", scale, "--cache-features", "off", "--force"]))
        };
        let runs = ["cpu", "device", "neighbour"].map(|name| self.folder.join(name));
        let [cpu, device, neighbour] = runs.each_ref().map(|run| run.join("last.caffemodel"));
        let mut before: Option<f64> = None;
        for [scale, neighbours @ ..] in SCALES {
            let outputs = [runs[0].clone(), runs[1].clone()];
            let files = [cpu.clone(), device.clone()];
            let differences = match self.beside(&outputs, &files, |device, run| tune(device, scale, run))? {
                Ok(differences) => differences,
                Err(cell) => return Ok(cell),
            };
            let mut own = Differences::new();
            if differences.values().any(|part| is_over(*part)) {
                for scale in neighbours {
                    if let Err(reason) = tune("cpu", scale, &runs[2])? {
                        bail!("{reason}");
                    }
                    for (name, part) in self.differences(&neighbour, &cpu)? {
                        let most = own.entry(name).or_insert(0.0);
                        *most = most.max(part);
                    }
                }
            }
            match judged(&differences, &own) {
                Cell::Close { before: Some(far), .. } => before = Some(far.max(before.unwrap_or(0.0))),
                Cell::Close { arrays, worst, before: None } => {
                    return Ok(Cell::Close { arrays, worst, before });
                }
                other => return Ok(other),
            }
        }
        Ok(Cell::Different(format!("with none of {} pairs of images all arrays are near", SCALES.len())))
    }

    /// `work` on the processor and on the device, each with an output of its own, and how the files that come of it differ.
    fn beside(
        &self,
        outputs: &[PathBuf; 2],
        files: &[PathBuf; 2],
        work: impl Fn(&str, &Path) -> Result<Said>,
    ) -> Result<std::result::Result<Differences, Cell>> {
        if let Err(reason) = work("cpu", &outputs[0])? {
            let reason = reason.replace(&format!("{}/", self.folder.display()), "");
            return Ok(Err(Cell::Aside(reason)));
        }
        if let Err(reason) = work(&self.device, &outputs[1])? {
            if reason.starts_with("--device ") {
                bail!("{reason}");
            }
            return Ok(Err(Cell::Different(reason)));
        }
        self.differences(&files[1], &files[0]).map(Ok)
    }

    fn differences(&self, found: &Path, expected: &Path) -> Result<Differences> {
        let mut command = Command::new(&self.rebrew);
        command.arg("diff").arg(found).arg(expected).args(["--json", "-q"]);
        let output = command.stdin(Stdio::null()).output().context("cannot run rebrew diff")?;
        // Exit code 1 says that they differ, which they may.
        if !matches!(output.status.code(), Some(0 | 1)) {
            bail!("rebrew diff failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        differences(&serde_json::from_slice(&output.stdout).context("rebrew diff printed no JSON")?)
    }

    fn command(&self, task: &str, definition: &Path, weights: Option<&Path>, device: &str) -> Command {
        let mut command = Command::new(&self.rebrew);
        command.arg(task).arg(definition).args(["--device", device, "--seed", "1", "-q"]);
        command.env("REBREW_CACHE", self.folder.join("cache"));
        match weights {
            Some(weights) => command.arg("-w").arg(weights),
            // What a definition has beside it is taken; a net that has nothing is filled.
            None if task == "run" => command.arg("--fill"),
            None => &mut command,
        };
        command
    }
}

/// Runs the program, and gives what it complained of.
fn said(command: &mut Command) -> Result<Said> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("cannot run {}", workspace::typed(command)))?;
    if output.status.success() {
        return Ok(Ok(()));
    }
    let told = String::from_utf8_lossy(&output.stderr);
    let last = told.lines().rfind(|line| line.starts_with("rebrew: "));
    let reason = last.and_then(|line| line.strip_prefix("rebrew: ")).map(str::to_owned);
    Ok(Err(reason.unwrap_or_else(|| format!("{}: {}", output.status, told.trim()))))
}

/// What `rebrew diff --json` says: the largest difference of each array as a part of its largest value, infinite where only one
/// has numbers or the array itself.
fn differences(told: &Value) -> Result<Differences> {
    let mut differences = Differences::new();
    for array in told["compared"].as_array().context("rebrew diff names no arrays")? {
        // What is not finite is told as text.
        let difference = array["max_abs"].as_f64().unwrap_or(f64::INFINITY);
        let largest = array["largest"].as_f64().context("rebrew diff names no largest value")?;
        let name = array["name"].as_str().context("rebrew diff names no array")?;
        differences.insert(name.to_owned(), if difference == 0.0 { 0.0 } else { difference / largest });
    }
    for list in ["only_first", "only_second", "shapes"] {
        for lonely in told[list].as_array().into_iter().flatten() {
            differences.insert(lonely.to_string(), f64::INFINITY);
        }
    }
    Ok(differences)
}

fn is_over(part: f64) -> bool {
    part.is_nan() || part > TOLERANCE
}

/// Differences in one figure; `own` are those of the processor from itself, which those beyond the tolerance are held against:
/// `before` is the worst of them.
fn judged(differences: &Differences, own: &Differences) -> Cell {
    let (mut worst, mut before) = (0.0_f64, None);
    for (name, &part) in differences {
        if !is_over(part) {
            worst = worst.max(part);
        } else if own.get(name).is_some_and(|own| part <= 2.0 * own) {
            before = Some(part.max(before.unwrap_or(0.0)));
        } else {
            return Cell::Different(format!("`{name}`: {part:.1e} of its largest value"));
        }
    }
    if differences.is_empty() {
        return Cell::Aside("there is nothing to compare".to_owned());
    }
    Cell::Close { arrays: differences.len(), worst, before }
}

/// Several comparisons of one net in one.
fn together(cells: Vec<Cell>) -> Cell {
    cells
        .into_iter()
        .reduce(|all, next| match (all, next) {
            (Cell::Close { arrays, worst, .. }, Cell::Close { arrays: more, worst: other, .. }) => {
                Cell::Close { arrays: arrays + more, worst: worst.max(other), before: None }
            }
            (Cell::Close { .. }, other) | (other, _) => other,
        })
        .unwrap_or_else(|| Cell::Aside("nothing to compare".to_owned()))
}

impl fmt::Display for Cell {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Close { arrays, worst, before: None } => write!(formatter, "{worst:.1e} ({arrays} arrays)"),
            Self::Close { arrays, worst, before: Some(before) } => write!(
                formatter,
                "{worst:.1e} ({arrays} arrays; other images before: {before:.1e}, as the processor from itself)"
            ),
            Self::Aside(reason) => formatter.write_str(&reason.replace('|', "\\|")),
            Self::Different(what) => write!(formatter, "**DIFFERENT** {}", what.replace('|', "\\|")),
        }
    }
}

/// Prints the table, and under it the reasons why something was not compared; returns how many results differ.
fn print(device: &str, rows: &[(String, Cell, Cell)]) -> usize {
    println!("\n| net | passes, worst | one step of fine-tuning, worst |\n| --- | --- | --- |");
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    let short = |cell: &Cell| match cell {
        Cell::Aside(_) => "not on the processor either".to_owned(),
        other => other.to_string(),
    };
    for (name, passes, steps) in rows {
        println!("| {name} | {} | {} |", short(passes), short(steps));
    }
    println!();
    for (name, passes, steps) in rows {
        for (what, cell) in [("passes", passes), ("fine-tuning", steps)] {
            if let Cell::Aside(reason) = cell {
                println!("* {name}, {what}: {reason}");
                *reasons.entry(what).or_default() += 1;
            }
        }
    }
    let cells = || rows.iter().flat_map(|(_, passes, steps)| [passes, steps]);
    let differences = cells().filter(|cell| matches!(cell, Cell::Different(_))).count();
    let worst = cells().filter_map(|cell| match cell {
        Cell::Close { worst, .. } => Some(*worst),
        _ => None,
    });
    let worst = worst.fold(0.0, f64::max);
    let before = cells().filter(|cell| matches!(cell, Cell::Close { before: Some(_), .. })).count();
    let of = |what| rows.len() - reasons.get(what).copied().unwrap_or(0);
    println!(
        "\n{device} beside cpu, {} nets: {} passed through and {} fine-tuned, worst {worst:.1e}, {differences} differences of more than {TOLERANCE:e}; in {before} cases not with the first images, where the processor is as far from itself",
        rows.len(),
        of("passes"),
        of("fine-tuning"),
    );
    differences
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn close(arrays: usize, worst: f64) -> Cell {
        Cell::Close { arrays, worst, before: None }
    }

    #[test]
    fn differences_are_parts_of_the_largest_value() {
        let array = |difference: Value| json!({ "name": "prob", "max_abs": difference, "largest": 0.5 });
        let told = |difference, only: &[&str]| json!({ "compared": [array(difference)], "only_first": only, "only_second": [], "shapes": [] });
        let cell = |told: &Value| judged(&differences(told).unwrap(), &Differences::new());
        assert_eq!(cell(&told(json!(1e-6), &[])), close(1, 2e-6));
        assert!(matches!(cell(&told(json!(1e-4), &[])), Cell::Different(_)));
        assert!(matches!(cell(&told(json!("NaN"), &[])), Cell::Different(_)));
        assert!(matches!(cell(&told(json!(0.0), &["x"])), Cell::Different(_)));
    }

    #[test]
    fn a_device_may_be_as_far_off_as_the_processor_from_itself_before_other_images_are_tried() {
        let of = |part| Differences::from([("a".to_owned(), part), ("b".to_owned(), 1e-6)]);
        let far = Cell::Close { arrays: 2, worst: 1e-6, before: Some(3e-4) };
        assert_eq!(judged(&of(3e-4), &of(2e-4)), far);
        assert!(matches!(judged(&of(3e-4), &of(1e-4)), Cell::Different(_)));
        assert!(matches!(judged(&of(3e-4), &Differences::new()), Cell::Different(_)));
    }

    #[test]
    fn the_worst_of_several_comparisons_stays() {
        assert_eq!(together(vec![close(2, 1e-6), close(2, 3e-6)]), close(4, 3e-6));
        let different = || Cell::Different("`a`".to_owned());
        assert_eq!(together(vec![close(2, 1e-6), different()]), different());
        assert_eq!(together(vec![different(), close(2, 1e-6)]), different());
    }

    #[test]
    fn neighbours_are_the_next_floats_or_nearly() {
        for [scale, neighbours @ ..] in SCALES {
            let scale: f32 = scale.parse().unwrap();
            for neighbour in neighbours {
                let steps = neighbour.parse::<f32>().unwrap().to_bits().abs_diff(scale.to_bits());
                assert!((1..=2).contains(&steps), "{neighbour} is {steps} floats from {scale}");
            }
        }
    }
}
