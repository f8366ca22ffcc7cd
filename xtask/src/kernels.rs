//! `cargo xtask kernels`: compiles every CUDA kernel for every architecture, without a GPU, and compares what each takes with
//! what `kernels/cu/budget.txt` allows.

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use crate::workspace;

/// The compiler, as the package index has it.
const WHEEL: &str = "nvidia-cuda-nvrtc-cu12==12.9.86";
const WHEEL_HASH: &str = "sha256:210cf05005a447e29214e9ce50851e83fc5f4358df8b453155d5e1918094dcb4";

const BUDGET: &str = "kernels/cu/budget.txt";

/// In place of a cost, where an architecture does not have what the kernel needs.
const NOT_COMPILED: &str = "-";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Write what the kernels take into the budget, instead of comparing
    #[arg(long)]
    write: bool,
}

/// What a multiprocessor has.
struct Architecture {
    name: &'static str,
    threads: u32,
    blocks: u32,
    /// Bytes of shared memory, and those that each block takes beside its own.
    shared: u32,
    reserved: u32,
}

/// The architectures that are tested (CUDA C++ Programming Guide, "Technical Specifications per Compute Capability").
const ARCHITECTURES: [Architecture; 9] = [
    Architecture { name: "sm_75", threads: 1024, blocks: 16, shared: 64 << 10, reserved: 0 },
    Architecture { name: "sm_80", threads: 2048, blocks: 32, shared: 164 << 10, reserved: 1 << 10 },
    Architecture { name: "sm_86", threads: 1536, blocks: 16, shared: 100 << 10, reserved: 1 << 10 },
    Architecture { name: "sm_89", threads: 1536, blocks: 24, shared: 100 << 10, reserved: 1 << 10 },
    Architecture { name: "sm_90", threads: 2048, blocks: 32, shared: 228 << 10, reserved: 1 << 10 },
    Architecture { name: "sm_90a", threads: 2048, blocks: 32, shared: 228 << 10, reserved: 1 << 10 },
    Architecture { name: "sm_100", threads: 2048, blocks: 32, shared: 228 << 10, reserved: 1 << 10 },
    Architecture { name: "sm_103", threads: 2048, blocks: 32, shared: 228 << 10, reserved: 1 << 10 },
    Architecture { name: "sm_120", threads: 1536, blocks: 24, shared: 100 << 10, reserved: 1 << 10 },
];

/// A compute capability that the compiler does not know: what a GPU of tomorrow is given must compile too.
const UNKNOWN: &str = "13.0";

/// Of every architecture.
const REGISTERS: u32 = 64 << 10;

/// What a kernel takes on one architecture.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Cost {
    registers: u32,
    shared: u32,
    /// Threads that a multiprocessor can hold, in percent of what it has room for.
    occupancy: u32,
}

/// A kernel's costs, in the order of the architectures; none where it cannot be compiled.
type Table = BTreeMap<String, Vec<Option<Cost>>>;

/// Whether the compiler is there, or could be fetched.
pub(crate) fn compiler() -> Result<PathBuf> {
    let folder = workspace::cache()?.join("nvrtc").join(WHEEL.rsplit('=').next().unwrap_or_default());
    let library = folder.join("nvidia/cuda_nvrtc/lib");
    if library.join("libnvrtc.so.12").exists() {
        return Ok(library);
    }
    ensure!(
        cfg!(all(target_os = "linux", target_arch = "x86_64")),
        "the compiler's wheel is for Linux on x86-64"
    );
    eprintln!("Fetching {WHEEL} into {} …", folder.display());
    let unfinished = folder.with_extension("part");
    let _ = fs::remove_dir_all(&unfinished);
    fs::create_dir_all(&unfinished).with_context(|| format!("cannot make {}", unfinished.display()))?;
    let pinned = unfinished.join("requirements.txt");
    fs::write(&pinned, format!("{WHEEL} --hash={WHEEL_HASH}\n"))?;
    let python = env::var_os("REBREW_PYTHON3").unwrap_or_else(|| "python3".into());
    let mut fetch = Command::new(&python);
    fetch.args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes"]);
    finish(fetch.arg("-d").arg(&unfinished).arg("-r").arg(&pinned))?;
    let wheel = fs::read_dir(&unfinished)?.filter_map(Result::ok).map(|entry| entry.path());
    let wheel = wheel.into_iter().find(|path| path.extension().is_some_and(|extension| extension == "whl"));
    let wheel = wheel.context("pip fetched no wheel")?;
    finish(Command::new(&python).args(["-m", "zipfile", "-e"]).arg(&wheel).arg(&unfinished))?;
    fs::remove_file(wheel)?;
    fs::rename(&unfinished, &folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(library)
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let library = compiler()?;
    let reports = reports(&library)?;
    let (ahead, reports) = reports.split_once('\n').context("compile_kernels says nothing")?;
    let ahead = read_ahead(ahead)?;
    let table = read_reports(reports)?;
    print!("{}", written(&table));
    let file = workspace::root().join(BUDGET);
    if arguments.write {
        fs::write(&file, written(&table)).with_context(|| format!("cannot write {}", file.display()))?;
        return Ok(ExitCode::SUCCESS);
    }
    let budget = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let excesses = excesses(&table, &read_budget(&budget)?);
    for excess in &excesses {
        eprintln!("{excess}");
    }
    if excesses.is_empty() {
        println!(
            "{} kernels on {} architectures: no spills, all in budget",
            table.len(),
            ARCHITECTURES.len()
        );
        println!("{ahead}");
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("{BUDGET} allows less; if that is meant, `cargo xtask kernels --write` changes it");
    Ok(ExitCode::FAILURE)
}

/// What the kernels take, a line for each on each architecture: kept until a source changes.
fn reports(library: &Path) -> Result<String> {
    let mut hasher = DefaultHasher::new();
    (WHEEL, UNKNOWN, ARCHITECTURES.map(|architecture| architecture.name)).hash(&mut hasher);
    for folder in ["kernels/cu", "kernels/src/device", "kernels/src/device/cuda"] {
        let entries =
            fs::read_dir(workspace::root().join(folder)).with_context(|| format!("cannot read {folder}"))?;
        let mut files: Vec<_> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
        files.sort_unstable();
        for file in files.iter().filter(|file| file.is_file() && !file.ends_with("budget.txt")) {
            fs::read(file).with_context(|| format!("cannot read {}", file.display()))?.hash(&mut hasher);
        }
    }
    let kept = workspace::cache()?.join("nvrtc").join(format!("reports-{:016x}.txt", hasher.finish()));
    if let Ok(reports) = fs::read_to_string(&kept) {
        return Ok(reports);
    }
    let mut compile = Command::new(workspace::cargo());
    compile.args([
        "run",
        "--quiet",
        "--package=kernels",
        "--features=cuda",
        "--example=compile_kernels",
        "--",
    ]);
    compile.arg(UNKNOWN).args(ARCHITECTURES.map(|architecture| architecture.name));
    compile.current_dir(workspace::root());
    let output = compile.env("LD_LIBRARY_PATH", library).stderr(Stdio::inherit()).output();
    let output = output.context("cannot run cargo")?;
    ensure!(output.status.success(), "the kernels do not compile");
    let reports = String::from_utf8(output.stdout)?;
    fs::write(&kept, &reports).with_context(|| format!("cannot write {}", kept.display()))?;
    Ok(reports)
}

/// The line of what is unknown to the compiler, in words: it must be PTX.
fn read_ahead(line: &str) -> Result<String> {
    let words: Vec<&str> = line.split('\t').collect();
    let [capability, target, bytes] = words.as_slice() else { bail!("compile_kernels says `{line}`") };
    let bytes: usize = bytes.parse().with_context(|| format!("compile_kernels says `{line}`"))?;
    ensure!(
        *capability == UNKNOWN && target.starts_with("compute_") && bytes > 0,
        "a GPU of compute capability {UNKNOWN} would be given {target}, {bytes} bytes: not PTX"
    );
    Ok(format!(
        "a GPU that the compiler does not know, of compute capability {capability}, is given PTX of {target}"
    ))
}

/// Takes what `compile_kernels` prints apart. A spill is an error.
fn read_reports(reports: &str) -> Result<Table> {
    let mut table = Table::new();
    for line in reports.lines() {
        let words: Vec<&str> = line.split('\t').collect();
        let [name, _, kernel, numbers @ ..] = words.as_slice() else {
            bail!("compile_kernels says `{line}`")
        };
        let numbers = numbers.iter().map(|number| number.parse()).collect::<Result<Vec<u32>, _>>()?;
        let [threads, registers, shared, stored, loaded] = numbers[..] else {
            bail!("compile_kernels says `{line}`")
        };
        ensure!(
            stored == 0 && loaded == 0,
            "{kernel} on {name}: {stored} bytes of registers are spilled, and {loaded} loaded again"
        );
        let place = ARCHITECTURES.iter().position(|architecture| architecture.name == *name);
        let place = place.with_context(|| format!("no architecture `{name}`"))?;
        let occupancy = occupancy(&ARCHITECTURES[place], threads, registers, shared);
        let costs = table.entry((*kernel).to_owned()).or_insert_with(|| vec![None; ARCHITECTURES.len()]);
        costs[place] = Some(Cost { registers, shared, occupancy });
    }
    Ok(table)
}

/// How many threads a multiprocessor holds, in percent of the most: blocks by threads, registers and shared memory.
fn occupancy(architecture: &Architecture, threads: u32, registers: u32, shared: u32) -> u32 {
    let warps = threads.div_ceil(32);
    // Registers are given out to warps, 256 at a time.
    let for_a_warp = (registers * 32).next_multiple_of(256).max(256);
    let by_registers = REGISTERS / (for_a_warp * warps);
    let by_shared = architecture.shared / (shared + architecture.reserved).max(1);
    let blocks = [architecture.blocks, architecture.threads / threads, by_registers, by_shared];
    let blocks = blocks.into_iter().min().unwrap_or(0);
    100 * blocks * threads / architecture.threads
}

/// What takes more than the budget has for it, in words.
fn excesses(table: &Table, budget: &Table) -> Vec<String> {
    let mut found = Vec::new();
    for (kernel, costs) in table {
        let Some(allowed) = budget.get(kernel) else {
            found.push(format!("{kernel}: has no budget"));
            continue;
        };
        for ((cost, allowed), architecture) in costs.iter().zip(allowed).zip(&ARCHITECTURES) {
            let (cost, allowed) = match (cost, allowed) {
                (Some(cost), Some(allowed)) => (cost, allowed),
                (None, None) => continue,
                (Some(_), None) => {
                    found.push(format!("{kernel} on {}: has no budget", architecture.name));
                    continue;
                }
                (None, Some(_)) => {
                    found.push(format!(
                        "{kernel} on {}: has a budget, and is not compiled",
                        architecture.name
                    ));
                    continue;
                }
            };
            let mut over = |what: &str, takes: u32, has: u32, worse: bool| {
                if worse {
                    found.push(format!("{kernel} on {}: {what} {takes}, budget {has}", architecture.name));
                }
            };
            over("registers", cost.registers, allowed.registers, cost.registers > allowed.registers);
            over("shared memory", cost.shared, allowed.shared, cost.shared > allowed.shared);
            over("occupancy %", cost.occupancy, allowed.occupancy, cost.occupancy < allowed.occupancy);
        }
    }
    found.extend(
        budget
            .keys()
            .filter(|kernel| !table.contains_key(*kernel))
            .map(|kernel| format!("{kernel}: has a budget, and is no kernel")),
    );
    found
}

/// The budget as it is committed, and printed.
fn written(table: &Table) -> String {
    let width = table.keys().map(String::len).max().unwrap_or(0);
    let mut text = String::from(
        "# Registers a thread / bytes of shared memory a block / occupancy in percent. Written by `cargo xtask kernels --write`.\n",
    );
    let mut line = |first: &str, rest: &mut dyn Iterator<Item = String>| {
        write!(text, "{first:<width$}").expect("into a string");
        for cell in rest {
            write!(text, "  {cell:>13}").expect("into a string");
        }
        text.push('\n');
    };
    line("# kernel", &mut ARCHITECTURES.iter().map(|architecture| architecture.name.to_owned()));
    for (kernel, costs) in table {
        let cell = |cost: &Option<Cost>| match cost {
            Some(cost) => format!("{}/{}/{}", cost.registers, cost.shared, cost.occupancy),
            None => NOT_COMPILED.to_owned(),
        };
        line(kernel, &mut costs.iter().map(cell));
    }
    text
}

fn read_budget(text: &str) -> Result<Table> {
    let mut table = Table::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split_whitespace();
        let Some(kernel) = words.next() else { continue };
        let costs = words.map(|cell| {
            if cell == NOT_COMPILED {
                return Ok(None);
            }
            let numbers = cell.split('/').map(str::parse).collect::<Result<Vec<u32>, _>>();
            match numbers.as_deref() {
                Ok(&[registers, shared, occupancy]) => Ok(Some(Cost { registers, shared, occupancy })),
                _ => bail!("{BUDGET}: `{cell}` is no registers/shared/occupancy"),
            }
        });
        let costs = costs.collect::<Result<Vec<Option<Cost>>>>()?;
        ensure!(costs.len() == ARCHITECTURES.len(), "{BUDGET}: {kernel} has {} columns", costs.len());
        table.insert(kernel.to_owned(), costs);
    }
    Ok(table)
}

fn finish(command: &mut Command) -> Result<()> {
    let typed = workspace::typed(command);
    let status = command.stdout(Stdio::null()).status().with_context(|| format!("cannot run `{typed}`"))?;
    ensure!(status.success(), "`{typed}` failed ({status})");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(architecture: &str, registers: u32, spilled: u32) -> String {
        format!("{architecture}\tgemm.cu\tgemm_128\t256\t{registers}\t16896\t{spilled}\t0\n")
    }

    fn table(registers: u32) -> Table {
        let lines: String = ARCHITECTURES.iter().map(|each| line(each.name, registers, 0)).collect();
        read_reports(&lines).unwrap()
    }

    #[test]
    fn occupancy_is_what_the_scarcest_allows() {
        let [turing, ampere, ..] = &ARCHITECTURES;
        // 128 registers × 256 threads: two blocks have all 65536.
        assert_eq!(occupancy(turing, 256, 128, 16_896), 50);
        assert_eq!(occupancy(ampere, 256, 128, 16_896), 25);
        assert_eq!(occupancy(ampere, 256, 32, 0), 100);
        // 48 KiB and one beside: three blocks.
        assert_eq!(occupancy(ampere, 256, 32, 48 << 10), 37);
    }

    #[test]
    fn a_budget_is_read_as_it_is_written() {
        let table = table(127);
        assert_eq!(read_budget(&written(&table)).unwrap(), table);
        assert!(excesses(&table, &table).is_empty());
    }

    #[test]
    fn what_exceeds_the_budget_is_named() {
        let excesses = excesses(&table(129), &table(127));
        assert_eq!(excesses[0], "gemm_128 on sm_75: registers 129, budget 127");
        assert_eq!(excesses[1], "gemm_128 on sm_75: occupancy % 25, budget 50");
        assert_eq!(super::excesses(&table(127), &Table::new()), ["gemm_128: has no budget"]);
        assert_eq!(super::excesses(&Table::new(), &table(127)), ["gemm_128: has a budget, and is no kernel"]);
    }

    #[test]
    fn a_kernel_of_one_architecture_has_one_cost() {
        let table = read_reports(&line("sm_90a", 127, 0)).unwrap();
        let costs = &table["gemm_128"];
        let compiled = costs.iter().zip(&ARCHITECTURES).filter(|(cost, _)| cost.is_some());
        assert_eq!(compiled.map(|(_, architecture)| architecture.name).collect::<Vec<_>>(), ["sm_90a"]);
        assert_eq!(read_budget(&written(&table)).unwrap(), table);
        let everywhere = super::tests::table(127);
        assert_eq!(excesses(&everywhere, &table)[0], "gemm_128 on sm_75: has no budget");
        assert_eq!(excesses(&table, &everywhere)[0], "gemm_128 on sm_75: has a budget, and is not compiled");
    }

    #[test]
    fn a_spill_is_an_error() {
        let message = read_reports(&line("sm_80", 255, 16)).unwrap_err().to_string();
        assert_eq!(message, "gemm_128 on sm_80: 16 bytes of registers are spilled, and 0 loaded again");
    }

    #[test]
    fn what_is_given_to_an_unknown_gpu_must_be_ptx() {
        let said = read_ahead("13.0\tcompute_121\t1000").unwrap();
        assert!(said.ends_with("of compute capability 13.0, is given PTX of compute_121"), "{said}");
        assert!(read_ahead("13.0\tsm_121\t1000").is_err());
        assert!(read_ahead(&line("sm_75", 1, 0)).is_err());
    }
}
