//! Forward passes: `rebrew run` on the inputs of real Caffe, OpenCV and ONNX Runtime.

use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::thread;

use anyhow::{Context as _, Result};

use super::{Answer, Comparison, answer};
use crate::models::{Model, is_hdf5};
use crate::venv::Python;

/// The programs to compare with, beside real Caffe.
pub(super) struct Forward<'a> {
    pub(super) comparison: &'a Comparison,
    pub(super) opencv: Python,
    pub(super) onnx_runtime: Python,
}

/// One net beside the three programs.
struct Row {
    name: String,
    caffe: Cell,
    opencv: Cell,
    onnx_runtime: Cell,
}

/// How one program's results compare.
#[derive(Debug, PartialEq)]
enum Cell {
    /// As close as they must be: how many blobs, and the worst difference relative to a blob's largest value.
    Close {
        blobs: usize,
        worst: f64,
    },
    /// There is nothing to compare, or the other program is at fault, and why.
    Aside(String),
    Different(String),
}

impl Forward<'_> {
    /// Compares the models on all cores and prints a table; returns how many results differ.
    pub(super) fn run_all(&self, models: &[Model]) -> Result<usize> {
        let nets = models
            .iter()
            .flat_map(|model| model.definitions.iter().map(move |definition| (model, definition.as_path())));
        let left = Mutex::new(nets.enumerate());
        let rows = Mutex::new(Vec::new());
        let work = || -> Result<()> {
            loop {
                let Some((index, (model, definition))) = left.lock().expect("no worker panics").next() else {
                    return Ok(());
                };
                let folder = self.comparison.folder.join(format!("forward-{index}"));
                fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
                let row = self.run_one(model, definition, &folder)?;
                fs::remove_dir_all(&folder)?;
                eprintln!(
                    "{}: {}, OpenCV {}, ONNX Runtime {}",
                    row.name, row.caffe, row.opencv, row.onnx_runtime
                );
                rows.lock().expect("no worker panics").push((index, row));
            }
        };
        thread::scope(|scope| {
            let count = thread::available_parallelism().map_or(1, usize::from);
            let workers = (0..count).map(|_| scope.spawn(work)).collect::<Vec<_>>();
            workers.into_iter().try_for_each(|worker| worker.join().expect("no worker panics"))
        })?;
        let mut rows = rows.into_inner().expect("no worker panics");
        rows.sort_unstable_by_key(|(index, _)| *index);
        Ok(print(rows.into_iter().map(|(_, row)| row).collect()))
    }

    fn run_one(&self, model: &Model, definition: &Path, folder: &Path) -> Result<Row> {
        let Comparison { caffe, rebrew, scripts, .. } = self.comparison;
        let mut name = model.name.clone();
        if model.definitions.len() > 1 {
            name = format!("{name}, {}", definition.file_name().unwrap_or_default().display());
        }
        let (forward, ours) = (folder.join("forward.npz"), folder.join("ours.npz"));

        let mut command = caffe.command();
        command.arg(scripts.join("live_forward_caffe.py")).arg(definition).arg(&model.weights).arg(&forward);
        let recorded = answer(&mut command)?;
        let mut command = self.onnx_runtime.command();
        command.arg(scripts.join("live_forward_rebrew.py")).arg(rebrew).arg(definition).arg(&model.weights);
        let ran = answer(command.arg(&forward).arg(&ours))?;
        let caffe = match (&recorded, ran) {
            (Ok(_), ran) => cell(ran),
            (Err(refusal), Ok(_)) => Cell::Aside(refusal.clone()),
            (Err(_), Err(refusal)) => Cell::Aside(format!("real Caffe cannot run it, and {refusal}")),
        };
        let mut row = Row {
            name,
            caffe,
            opencv: Cell::Aside("not run".to_owned()),
            onnx_runtime: Cell::Aside("not run".to_owned()),
        };
        if ours.exists() {
            row.opencv = self.beside_opencv(model, definition, &forward, &ours)?;
            row.onnx_runtime =
                self.beside_onnx_runtime(model, definition, &forward, &ours, recorded.is_ok())?;
        }
        Ok(row)
    }

    fn beside_opencv(&self, model: &Model, definition: &Path, forward: &Path, ours: &Path) -> Result<Cell> {
        if is_hdf5(&model.weights) {
            return Ok(Cell::Aside("OpenCV reads no HDF5".to_owned()));
        }
        let mut command = self.opencv.command();
        command.arg(self.comparison.scripts.join("live_forward_opencv.py"));
        command.arg(definition).arg(&model.weights).arg(forward).arg(ours);
        Ok(cell(answer(&mut command)?))
    }

    fn beside_onnx_runtime(
        &self,
        model: &Model,
        definition: &Path,
        forward: &Path,
        ours: &Path,
        recorded: bool,
    ) -> Result<Cell> {
        let onnx = ours.with_extension("onnx");
        if let Err(refusal) = self.comparison.convert(&model.weights, &onnx, &[], Some(definition))? {
            let reason = refusal.rsplit_once(&format!("{}: ", model.weights.display()));
            let reason = reason.map_or(&*refusal, |(_, reason)| reason);
            return Ok(Cell::Aside(format!("{NOT_IN_ONNX}: {reason}")));
        }
        let script = self.comparison.scripts.join("live_onnx.py");
        if recorded {
            let mut command = self.onnx_runtime.command();
            if let Err(difference) = answer(command.arg(&script).arg(&onnx).arg(forward))? {
                return Ok(Cell::Different(format!("the .onnx and real Caffe: {difference}")));
            }
        }
        let mut command = self.onnx_runtime.command();
        Ok(cell(answer(command.arg(&script).arg("--ours").arg(ours).arg(&onnx).arg(forward))?))
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Close { worst, .. } => write!(formatter, "{worst:.1e}"),
            Self::Aside(reason) => formatter.write_str(&reason.replace('|', "\\|")),
            Self::Different(what) => write!(formatter, "**DIFFERENT** {}", what.replace('|', "\\|")),
        }
    }
}

const NOT_IN_ONNX: &str = "not in ONNX";

/// Reads `N blobs, worst X`, the last line of the scripts; anything else that succeeds is a reason, and a refusal of the
/// other program is none of our faults.
fn cell(answer: Answer) -> Cell {
    match answer {
        Ok(line) => {
            let figures = line.split_once(" blobs, worst ");
            match figures.and_then(|(blobs, worst)| Some((blobs.parse().ok()?, worst.parse().ok()?))) {
                Some((blobs, worst)) => Cell::Close { blobs, worst },
                None => Cell::Aside(line),
            }
        }
        Err(line) if line.starts_with("cannot") => Cell::Aside(line),
        Err(line) => Cell::Different(line),
    }
}

fn print(rows: Vec<Row>) -> usize {
    println!(
        "\n| net | blobs | worst beside real Caffe | OpenCV | ONNX Runtime |\n| --- | ---: | --- | --- | --- |"
    );
    let (mut differences, mut not_in_onnx) = (0, 0);
    let count = rows.len();
    for Row { name, caffe, opencv, onnx_runtime } in rows {
        let blobs = match caffe {
            Cell::Close { blobs, .. } => blobs.to_string(),
            _ => String::new(),
        };
        println!("| {name} | {blobs} | {caffe} | {opencv} | {onnx_runtime} |");
        differences += [&caffe, &opencv, &onnx_runtime]
            .map(|cell| matches!(cell, Cell::Different(_)) as usize)
            .iter()
            .sum::<usize>();
        not_in_onnx +=
            matches!(&onnx_runtime, Cell::Aside(reason) if reason.starts_with(NOT_IN_ONNX)) as usize;
    }
    println!("\n{count} nets, {not_in_onnx} of them {NOT_IN_ONNX}, {differences} differences");
    differences
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_of_a_script_is_read() {
        assert_eq!(cell(Ok("3 blobs, worst 1.2e-07".to_owned())), Cell::Close { blobs: 3, worst: 1.2e-7 });
        assert_eq!(cell(Ok("known: a fault".to_owned())), Cell::Aside("known: a fault".to_owned()));
        assert_eq!(cell(Err("cannot load: no".to_owned())), Cell::Aside("cannot load: no".to_owned()));
        let different = "DIFFERENT: `a`: 1 of at most 1e-5".to_owned();
        assert_eq!(cell(Err(different.clone())), Cell::Different(different));
    }
}
