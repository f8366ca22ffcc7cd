//! `cargo xtask gpu`: a folder with all that checks and measures a GPU on a machine that has one, but no Rust.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, ensure};

use crate::workspace;

/// What the folder may hold at most, in bytes.
const MOST: u64 = 60 << 20;

/// The glibc that machines must have at least, `2.MINOR`.
const GLIBC_MINOR: u32 = 36;

/// What goes along as it is: from the repository, and where to.
const FILES: [(&str, &str); 7] = [
    ("xtask/gpu/run.sh", "run.sh"),
    ("xtask/gpu/README.md", "README.md"),
    ("xtask/gpu/torch_worker.py", "torch_worker.py"),
    ("testdata/fashion/deploy.prototxt", "testdata/fashion/deploy.prototxt"),
    ("testdata/fashion/fashion.caffemodel", "testdata/fashion/fashion.caffemodel"),
    (
        "testdata/fashion/t10k-sample-images-idx3-ubyte.gz",
        "testdata/fashion/t10k-sample-images-idx3-ubyte.gz",
    ),
    (
        "testdata/fashion/t10k-sample-labels-idx1-ubyte.gz",
        "testdata/fashion/t10k-sample-labels-idx1-ubyte.gz",
    ),
];

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The folder to make; one that is there is replaced if an earlier run made it
    #[arg(short, long, default_value = "target/gpu")]
    output: PathBuf,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    ensure!(
        cfg!(all(target_os = "linux", target_arch = "x86_64")),
        "the folder is for Linux on x86-64, and is made there"
    );
    let folder = &arguments.output;
    if folder.exists() {
        ensure!(
            folder.join("gpu_report").exists() || fs::read_dir(folder)?.next().is_none(),
            "{} is there, and holds something else: name another folder with --output",
            folder.display()
        );
        fs::remove_dir_all(folder).with_context(|| format!("cannot replace {}", folder.display()))?;
    }
    let programs = [
        ("gpu_report", workspace::build_with("benches", "--bin", "gpu_report", &["benches/cuda"], false)?),
        ("conformance", workspace::build_with("kernels", "--test", "conformance", &["kernels/cuda"], false)?),
        ("rebrew", workspace::build_with("rebrew", "--bin", "rebrew", &["rebrew/cuda"], false)?),
    ];
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for (name, program) in &programs {
        let target = folder.join(name);
        copy(program, &target)?;
        strip(&target)?;
        let bytes = fs::read(&target)?;
        let minor = newest_glibc(&bytes);
        ensure!(
            minor <= GLIBC_MINOR,
            "{name} needs glibc 2.{minor}; make the folder on a system that has 2.{GLIBC_MINOR} or an older one"
        );
    }
    for (from, to) in FILES {
        copy(&workspace::root().join(from), &folder.join(to))?;
    }
    let size = size(folder)?;
    ensure!(size <= MOST, "{} has {size} bytes, more than {MOST}", folder.display());
    println!(
        "{}: {:.1} MiB, for glibc 2.{GLIBC_MINOR} and later. Copy it to the machine with the GPU, and there: sh run.sh",
        folder.display(),
        size as f64 / f64::from(1 << 20)
    );
    Ok(ExitCode::SUCCESS)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    fs::copy(from, to).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    Ok(())
}

/// Takes out what only debuggers read. Binutils have the program, as they have the linker.
fn strip(program: &Path) -> Result<()> {
    workspace::printed(Command::new("strip").arg(program)).map(drop)
}

/// The newest `GLIBC_2.N` among the versions of symbols that a program asks for: their names lie in it as text.
fn newest_glibc(program: &[u8]) -> u32 {
    const NAME: &[u8] = b"GLIBC_2.";
    let starts = program.windows(NAME.len()).enumerate().filter(|(_, window)| *window == NAME);
    let minors = starts.map(|(start, _)| {
        let digits = program[start + NAME.len()..].iter().take(4).take_while(|byte| byte.is_ascii_digit());
        digits.fold(0, |number, digit| 10 * number + u32::from(digit - b'0'))
    });
    minors.max().unwrap_or(0)
}

fn size(folder: &Path) -> Result<u64> {
    let mut size = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        size += if metadata.is_dir() { self::size(&entry.path())? } else { metadata.len() };
    }
    Ok(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_of_a_symbol_is_found() {
        assert_eq!(newest_glibc(b"\0GLIBC_2.2.5\0GLIBC_2.34\0GLIBC_2.9\0GLIBC_PRIVATE\0"), 34);
        assert_eq!(newest_glibc(b"GLIBC_2."), 0);
    }

    #[test]
    fn what_goes_along_is_there() {
        for (from, _) in FILES {
            assert!(workspace::root().join(from).is_file(), "{from}");
        }
    }
}
