//! The programs to compare with, of pinned versions, each in a virtual environment in the cache folder.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::workspace;

/// A program that runs in a virtual environment of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Program {
    Caffe,
    Chainer,
    OpenCv,
    OnnxRuntime,
    PyTorch,
}

impl Program {
    /// Installs the program unless it is, and returns how to start its Python.
    pub(crate) fn set_up(self) -> Result<Python> {
        let folder = workspace::cache()?.join("peers");
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(Python { program: self, interpreter: install(&folder, self.recipe())? })
    }

    fn recipe(self) -> &'static Recipe {
        match self {
            Self::Caffe => &CAFFE,
            Self::Chainer => &CHAINER,
            Self::OpenCv => &OPENCV,
            Self::OnnxRuntime => &ONNX_RUNTIME,
            Self::PyTorch => &PYTORCH,
        }
    }
}

/// The Python that has an installed program.
pub(crate) struct Python {
    program: Program,
    interpreter: PathBuf,
}

impl Python {
    /// A command to add a script to.
    pub(crate) fn command(&self) -> Command {
        let mut command = python(&self.interpreter);
        if self.program == Program::Caffe {
            // Caffe's extension brings a protobuf of its own that the C++ one of Python would clash with.
            command.env("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", "python").env("GLOG_minloglevel", "2");
        }
        command
    }
}

/// What goes into a virtual environment; its text is also the stamp that says it is complete.
struct Recipe {
    name: &'static str,
    base: Base,
    /// One run of `pip install` each.
    installs: &'static [&'static [&'static str]],
    /// GiB that it takes on the disk, where that is much.
    size: u64,
    /// A program that fails unless these versions are installed and work.
    proof: &'static str,
}

/// The CPython that a virtual environment is made from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Base {
    /// 3.8, the newest that real Caffe and Chainer run on.
    Old,
    /// 3.11 or later.
    New,
}

const CAFFE: Recipe = Recipe {
    name: "caffe",
    base: Base::Old,
    installs: &[&["kendryte-caffe==1.0.0.20210829", "protobuf==3.20.3", "numpy<1.24", "h5py"]],
    size: 0,
    proof: "from importlib.metadata import version as v\n\
            assert v('kendryte-caffe') == '1.0.0.20210829' and v('protobuf') == '3.20.3'\n\
            import caffe, h5py; caffe.Net",
};

const CHAINER: Recipe = Recipe {
    name: "chainer",
    base: Base::Old,
    installs: &[
        &["setuptools<60"],
        &["--no-build-isolation", "chainer==7.8.1", "numpy<1.24", "protobuf==3.20.3", "h5py", "safetensors"],
    ],
    size: 0,
    proof: "from importlib.metadata import version as v\n\
            assert v('chainer') == '7.8.1' and v('protobuf') == '3.20.3'\n\
            import chainer, h5py, safetensors; from chainer.links.caffe import CaffeFunction",
};

/// Later versions of OpenCV read no Caffe models.
const OPENCV: Recipe = Recipe {
    name: "opencv",
    base: Base::New,
    installs: &[&["opencv-python-headless==4.12.0.88"]],
    size: 0,
    proof: "import cv2; assert cv2.__version__ == '4.12.0'; cv2.dnn.readNetFromCaffe",
};

const ONNX_RUNTIME: Recipe = Recipe {
    name: "onnxruntime",
    base: Base::New,
    installs: &[&["onnx==1.23.2", "onnxruntime==1.32.0", "numpy==2.4.6"]],
    size: 0,
    proof: "import onnx, onnxruntime\n\
            assert onnx.__version__ == '1.23.2' and onnxruntime.__version__ == '1.32.0'",
};

/// The package index has PyTorch for Linux with CUDA only; it runs without.
const PYTORCH: Recipe = Recipe {
    name: "pytorch",
    base: Base::New,
    installs: &[&["torch==2.13.0", "numpy==2.4.6"]],
    size: 8,
    proof: "import numpy, torch; assert torch.__version__.startswith('2.13.0')",
};

const ASK_VERSION: &str =
    "import platform, sys, venv; print(platform.python_implementation(), *sys.version_info[:2])";

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
        require_space(&folder, recipe)?;
        let base = find_python(recipe.base)?;
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

fn require_space(folder: &Path, recipe: &Recipe) -> Result<()> {
    let parent = folder.parent().unwrap_or(folder);
    let output = Command::new("df").args(["--output=avail", "-B1G"]).arg(parent).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    match text.lines().last().and_then(|line| line.trim().parse::<u64>().ok()) {
        Some(free) if free < 2 * recipe.size => {
            bail!(
                "{} takes {} GiB, and only {free} are free in {}",
                recipe.name,
                recipe.size,
                parent.display()
            )
        }
        _ => Ok(()),
    }
}

/// A CPython that really runs: a version manager's `python3.8` may be there and refuse.
fn find_python(base: Base) -> Result<PathBuf> {
    let mut tried = Vec::new();
    for candidate in candidates(base) {
        match ask_version(&candidate) {
            Ok(answer) if serves(base, &answer) => return Ok(candidate),
            Ok(answer) => tried.push(format!("{}: is {answer}", candidate.display())),
            Err(error) => tried.push(format!("{}: {error:#}", candidate.display())),
        }
    }
    let tried = tried.join("\n  ");
    match base {
        Base::Old => bail!(
            "no CPython 3.8 answers, and real Caffe and Chainer run on no newer one; tried:\n  {tried}\n\
             install one (pyenv install 3.8, uv python install 3.8, conda create -n py38 python=3.8), \
             or name it in REBREW_PYTHON38"
        ),
        Base::New => bail!(
            "no CPython 3.11 or later answers; tried:\n  {tried}\ninstall one, or name it in REBREW_PYTHON3"
        ),
    }
}

/// Whether what `ASK_VERSION` prints names a Python of this kind.
fn serves(base: Base, answer: &str) -> bool {
    let Some((major, minor)) = answer.strip_prefix("CPython ").and_then(|version| version.split_once(' '))
    else {
        return false;
    };
    match base {
        Base::Old => (major, minor) == ("3", "8"),
        Base::New => major == "3" && minor.parse::<u32>().is_ok_and(|minor| minor >= 11),
    }
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
fn candidates(base: Base) -> Vec<PathBuf> {
    if base == Base::New {
        let names = ["python3", "python3.14", "python3.13", "python3.12", "python3.11", "/usr/bin/python3"];
        let named = env::var_os("REBREW_PYTHON3").map(PathBuf::from);
        return named.map_or_else(|| names.map(PathBuf::from).to_vec(), |path| vec![path]);
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_python_is_chosen_by_its_version() {
        assert!(serves(Base::Old, "CPython 3 8"));
        assert!(!serves(Base::Old, "CPython 3 11"));
        assert!(!serves(Base::Old, "PyPy 3 8"));
        assert!(serves(Base::New, "CPython 3 11"));
        assert!(!serves(Base::New, "CPython 3 9"));
        assert!(!serves(Base::New, ""));
    }
}
