//! Real Caffe 1.0 and real Chainer 7.8.1, each in a virtual environment of CPython 3.8 in the cache folder.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::workspace;

/// What goes into a virtual environment; its text is also the stamp that says it is complete.
struct Recipe {
    name: &'static str,
    /// One run of `pip install` each.
    installs: &'static [&'static [&'static str]],
    /// A program that fails unless these versions are installed and work.
    proof: &'static str,
}

const CAFFE: Recipe = Recipe {
    name: "caffe",
    installs: &[&["kendryte-caffe==1.0.0.20210829", "protobuf==3.20.3", "numpy<1.24", "h5py"]],
    proof: "from importlib.metadata import version as v\n\
            assert v('kendryte-caffe') == '1.0.0.20210829' and v('protobuf') == '3.20.3'\n\
            import caffe, h5py; caffe.Net",
};

const CHAINER: Recipe = Recipe {
    name: "chainer",
    installs: &[
        &["setuptools<60"],
        &["--no-build-isolation", "chainer==7.8.1", "numpy<1.24", "protobuf==3.20.3", "h5py", "safetensors"],
    ],
    proof: "from importlib.metadata import version as v\n\
            assert v('chainer') == '7.8.1' and v('protobuf') == '3.20.3'\n\
            import chainer, h5py, safetensors; from chainer.links.caffe import CaffeFunction",
};

const ASK_VERSION: &str =
    "import platform, sys, venv; print(platform.python_implementation(), *sys.version_info[:2])";

/// The two installed programs.
pub(crate) struct Peers {
    caffe: PathBuf,
    chainer: PathBuf,
}

impl Peers {
    /// Installs what is not installed yet.
    pub(crate) fn set_up() -> Result<Self> {
        let folder = workspace::cache()?.join("peers");
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(Self { caffe: install(&folder, &CAFFE)?, chainer: install(&folder, &CHAINER)? })
    }

    /// The Python that has Caffe, whose extension brings a protobuf of its own that the C++ one of Python would clash
    /// with.
    pub(crate) fn caffe(&self) -> Command {
        let mut command = python(&self.caffe);
        command.env("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", "python").env("GLOG_minloglevel", "2");
        command
    }

    /// The Python that has Chainer, h5py and safetensors, with protobuf's C++ implementation, the faster by far.
    pub(crate) fn chainer(&self) -> Command {
        python(&self.chainer)
    }
}

/// A Python that is quiet and away from the caller's own settings.
fn python(interpreter: &Path) -> Command {
    let mut command = Command::new(interpreter);
    command
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("PYTHONWARNINGS", "ignore")
        .env_remove("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION")
        .env_remove("PYTHONPATH")
        .env_remove("PYTHONHOME");
    command
}

/// Makes the virtual environment, unless its stamp says that this very recipe is installed, and returns its Python.
fn install(folder: &Path, recipe: &Recipe) -> Result<PathBuf> {
    let folder = folder.join(recipe.name);
    let interpreter = folder.join("bin/python");
    let stamp = folder.join("rebrew-stamp");
    let text = recipe.installs.iter().map(|words| words.join(" ") + "\n").collect::<String>();
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == text) {
        return Ok(interpreter);
    }

    let mut proof = python(&interpreter);
    proof.args(["-c", recipe.proof]).env("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", "python");
    let by_hand =
        proof.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success());
    if !by_hand {
        let base = find_python()?;
        eprintln!("Setting up {} in {} …", recipe.name, folder.display());
        finish(Command::new(&base).args(["-m", "venv", "--clear"]).arg(&folder))?;
        for words in recipe.installs {
            finish(python(&interpreter).args(["-m", "pip", "install", "--quiet"]).args(*words))?;
        }
        finish(proof.stderr(Stdio::inherit()))?;
    }
    fs::write(&stamp, text).with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok(interpreter)
}

fn finish(command: &mut Command) -> Result<()> {
    let typed = workspace::typed(command);
    let status = command.stdout(Stdio::null()).status().with_context(|| format!("cannot run `{typed}`"))?;
    if !status.success() {
        bail!("`{typed}` failed ({status})");
    }
    Ok(())
}

/// A CPython 3.8 that really runs: a version manager's `python3.8` may be there and refuse.
fn find_python() -> Result<PathBuf> {
    let mut tried = Vec::new();
    for candidate in candidates() {
        match ask_version(&candidate) {
            Ok(answer) if answer == "CPython 3 8" => return Ok(candidate),
            Ok(answer) => tried.push(format!("{}: is {answer}", candidate.display())),
            Err(error) => tried.push(format!("{}: {error:#}", candidate.display())),
        }
    }
    bail!(
        "no CPython 3.8 answers, and real Caffe and Chainer run on no newer one; tried:\n  {}\n\
         install one (pyenv install 3.8, uv python install 3.8, conda create -n py38 python=3.8), \
         or name it in REBREW_PYTHON38",
        tried.join("\n  ")
    )
}

fn ask_version(python: &Path) -> Result<String> {
    let output = Command::new(python).args(["-c", ASK_VERSION]).stdin(Stdio::null()).output()?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        let last = complaint.lines().find(|line| !line.trim().is_empty()).unwrap_or("it says nothing");
        bail!("refuses ({}): {last}", output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Where a CPython 3.8 may be, in the order of trying.
fn candidates() -> Vec<PathBuf> {
    if let Some(named) = env::var_os("REBREW_PYTHON38") {
        return vec![named.into()];
    }
    let mut found = vec![PathBuf::from("python3.8")];
    let home = env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let pyenv = env::var_os("PYENV_ROOT").map_or_else(|| home.join(".pyenv"), PathBuf::from);
    let data = env::var_os("XDG_DATA_HOME").map_or_else(|| home.join(".local/share"), PathBuf::from);
    let folders = [
        (pyenv.join("versions"), "3.8"),
        (data.join("uv/python"), "cpython-3.8"),
        (data.join("mise/installs/python"), "3.8"),
        (home.join(".asdf/installs/python"), "3.8"),
        (home.join("miniconda3/envs"), ""),
        (home.join("miniforge3/envs"), ""),
        (home.join("anaconda3/envs"), ""),
        (home.join(".conda/envs"), ""),
        (PathBuf::from("/opt"), ""),
        (PathBuf::from("/opt/conda/envs"), ""),
        (PathBuf::from("/opt/python"), "cp38"),
    ];
    for (folder, prefix) in folders {
        found.extend(pythons_under(&folder, prefix));
    }
    for fixed in ["/usr/bin/python3.8", "/usr/local/bin/python3.8", "/opt/homebrew/bin/python3.8"] {
        found.extend(Some(PathBuf::from(fixed)).filter(|path| path.exists()));
    }
    found
}

/// `FOLDER/PREFIX*/bin/python3.8`, the newest name first.
fn pythons_under(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut pythons = entries
        .filter(|entry| {
            entry.file_name().as_encoded_bytes().starts_with(OsStr::new(prefix).as_encoded_bytes())
        })
        .map(|entry| entry.path().join("bin/python3.8"))
        .filter(|python| python.exists())
        .collect::<Vec<_>>();
    pythons.sort_unstable();
    pythons.reverse();
    pythons
}
