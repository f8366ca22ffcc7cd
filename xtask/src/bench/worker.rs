//! A program that stays loaded and runs passes when told to, by lines on its standard input and output.
//!
//! To `load TAB definition TAB weights TAB shape TAB input TAB output` it answers `ok`, after it ran the net once and
//! wrote the result; to `run TAB seconds` the seconds of a pass, over as many passes as take that long after some that
//! are not counted; any answer that begins with `error` says what is wrong. It ends with its input. The arrays in files are
//! bare floats, of the byte order of the machine.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::workspace::typed;

pub(super) struct Worker {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// A net to load, and what to run it on.
pub(super) struct Load<'a> {
    pub(super) definition: &'a Path,
    pub(super) weights: &'a Path,
    pub(super) shape: [usize; 4],
    pub(super) input: &'a Path,
    pub(super) output: &'a Path,
}

impl Worker {
    pub(super) fn start(command: &mut Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run {}", typed(command)))?;
        let requests = child.stdin.take().context("no pipe to the worker")?;
        let answers = BufReader::new(child.stdout.take().context("no pipe from the worker")?);
        Ok(Self { child, requests, answers })
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Loads a net, runs it once and returns what it computed.
    pub(super) fn load(&mut self, load: &Load<'_>) -> Result<Vec<f32>> {
        let shape = load.shape.map(|extent| extent.to_string()).join(",");
        let request = format!(
            "load\t{}\t{}\t{shape}\t{}\t{}",
            load.definition.display(),
            load.weights.display(),
            load.input.display(),
            load.output.display()
        );
        self.ask(&request)?;
        let bytes = fs::read(load.output).context("the worker wrote no result")?;
        let floats =
            bytes.chunks_exact(4).map(|bytes| f32::from_ne_bytes(bytes.try_into().expect("four bytes")));
        Ok(floats.collect())
    }

    /// The seconds of a pass.
    pub(super) fn run(&mut self, seconds: f64) -> Result<f64> {
        let answer = self.ask(&format!("run\t{seconds}"))?;
        answer.parse().with_context(|| format!("the worker answered {answer}"))
    }

    fn ask(&mut self, request: &str) -> Result<String> {
        writeln!(self.requests, "{request}").context("the worker is gone")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        let answer = answer.trim_end();
        if answer.is_empty() {
            bail!("the worker ended");
        }
        match answer.strip_prefix("error ") {
            Some(error) => bail!("{error}"),
            None => Ok(answer.to_owned()),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
