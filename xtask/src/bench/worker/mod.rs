//! A program that stays loaded and runs passes when told to, by lines on its standard input and output.
//!
//! To `load TAB word … TAB output` it answers `ok`, after it loaded what the words say, ran it, and wrote the result; to
//! `run TAB warm-up TAB seconds` the seconds of a pass, over as many passes as take that long after some that are not
//! counted; any answer that begins with `error` says what is wrong. It ends with its input. The arrays in files are bare
//! floats, of the byte order of the machine.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::venv::Program;
use crate::workspace::typed;

/// The frameworks that run forward passes.
pub(super) const FORWARD: &str =
    concat!(include_str!("pytorch.py"), include_str!("forward.py"), include_str!("answers.py"));
/// The frameworks that train.
pub(super) const TRAIN: &str =
    concat!(include_str!("pytorch.py"), include_str!("train.py"), include_str!("answers.py"));

/// A real task in PyTorch, and its data.
pub(super) const TASK: &str = concat!(include_str!("pytorch.py"), include_str!("task.py"));
pub(super) const TASK_DATA: &str = include_str!("task_data.py");

pub(super) struct Worker {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
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

    /// One of the frameworks of `script`, by its word there.
    pub(super) fn python(program: Program, script: &str, word: &str, threads: u16) -> Result<Self> {
        let threads = threads.to_string();
        let mut command = program.set_up()?.command();
        command.args(["-c", script, word, &threads]);
        for name in ["OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"] {
            command.env(name, &threads);
        }
        Self::start(&mut command)
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Loads a case, runs it and returns what it computed, by way of the file `output`.
    pub(super) fn load(&mut self, words: &[&OsStr], output: &Path) -> Result<Vec<f32>> {
        let words = words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>();
        self.ask(&format!("load\t{}\t{}", words.join("\t"), output.display()))?;
        let bytes = fs::read(output).context("the worker wrote no result")?;
        let floats =
            bytes.chunks_exact(4).map(|bytes| f32::from_ne_bytes(bytes.try_into().expect("four bytes")));
        Ok(floats.collect())
    }

    /// The seconds of a pass.
    pub(super) fn run(&mut self, warm_up: f64, seconds: f64) -> Result<f64> {
        let answer = self.ask(&format!("run\t{warm_up}\t{seconds}"))?;
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
