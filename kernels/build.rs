//! Compiles the CUDA kernels for the emulator, where that is asked for: each file of `cu/` with the host's C++ compiler.

fn main() {
    println!("cargo::rustc-check-cfg=cfg(device)");
    if cfg!(any(feature = "cuda", feature = "emulate")) {
        println!("cargo::rustc-cfg=device");
    }
    #[cfg(feature = "emulate")]
    emulate::build();
}

#[cfg(feature = "emulate")]
mod emulate {
    use std::fmt::Write as _;
    use std::path::{Path, PathBuf};
    use std::{env, fs};

    /// What every kernel is preceded by.
    const COMMON: [&str; 2] = ["cu/common.cuh", "cu/tiles.cuh"];

    /// What a file's kernels are preceded by besides: as src/device/source.rs has it.
    fn preludes(name: &str) -> &'static [&'static str] {
        match name {
            "gemm" | "gemm_wgmma" => &["cu/gemm.cuh"],
            _ if name.starts_with("convolution") => &["cu/convolution.cuh"],
            "dropout" | "pooling" => &["cu/philox.cuh"],
            "embed" => &["cu/faults.cuh"],
            _ if name.starts_with("update") => &["cu/update.cuh"],
            _ if name.contains("loss") => &["cu/faults.cuh", "cu/losses.cuh"],
            _ => &[],
        }
    }

    pub(super) fn build() {
        let output = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
        let mut build = cc::Build::new();
        build.cpp(true).std("c++17").opt_level(2).debug(false).include("emulate").warnings(false);
        build.flag("-fno-exceptions").flag("-Wall").flag("-Wno-unknown-pragmas").flag("-Wno-unused-function");
        build.flag("-Wno-unused-variable").flag("-Wno-sign-compare").flag("-Wno-parentheses");
        // Multiplication and addition stay apart, as on the processor's own kernels.
        build.flag("-ffp-contract=off");
        let mut files: Vec<PathBuf> = kernels("cu").into_iter().chain(kernels("emulate/faults")).collect();
        files.sort();
        let mut modules = String::from("#include \"cuda_on_cpu.h\"\n\nnamespace emulated {\n\n");
        let mut names = Vec::new();
        for file in &files {
            let name = file.file_stem().and_then(|name| name.to_str()).expect("named in ASCII");
            let unit = output.join(format!("{name}.cpp"));
            fs::write(&unit, wrapped(name, file)).expect("the output folder can be written");
            build.file(unit);
            writeln!(modules, "extern const Kernel module_{name}[];").expect("into a string");
            names.push(format!("module_{name}, "));
        }
        write!(modules, "\nextern const Kernel* const modules[];\n").expect("into a string");
        let list = names.concat();
        write!(modules, "const Kernel* const modules[] = {{{list}nullptr}};\n\n}}\n").expect("into a string");
        let registry = output.join("modules.cpp");
        fs::write(&registry, modules).expect("the output folder can be written");
        build
            .file(registry)
            .file("emulate/cuda_on_cpu.cpp")
            .file("emulate/device_memory.cpp")
            .file("emulate/wgmma.cpp")
            .compile("emulated_kernels");
        for folder in ["cu", "emulate"] {
            println!("cargo::rerun-if-changed={folder}");
        }
    }

    fn kernels(folder: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder}: {error}"));
        let files = entries.map(|entry| entry.expect("the folder can be read").path());
        files.filter(|path| path.extension().is_some_and(|extension| extension == "cu")).collect()
    }

    /// A kernel file with what precedes it, in a namespace of its own, and a table of its kernels.
    fn wrapped(name: &str, file: &Path) -> String {
        let read = |path: &Path| {
            let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let here = fs::canonicalize(path).expect("it was just read");
            (text.clone(), format!("#line 1 \"{}\"\n{text}\n", here.display()))
        };
        let mut unit = String::from("#include \"cuda_on_cpu.h\"\n\nnamespace {\n\n");
        for prelude in COMMON.iter().chain(preludes(name)) {
            unit += &read(Path::new(prelude)).1;
        }
        let (text, placed) = read(file);
        unit += &placed;
        unit += "\n}\n\nnamespace emulated {\n\n";
        writeln!(unit, "extern const Kernel module_{name}[];\nconst Kernel module_{name}[] = {{")
            .expect("into a string");
        for line in text.lines().filter_map(|line| line.strip_prefix("KERNEL(")) {
            let kernel = line.split(',').next().unwrap_or_default();
            writeln!(unit, "    REGISTER({kernel}),").expect("into a string");
        }
        unit + "    {nullptr, nullptr, nullptr, 0},\n};\n\n}\n"
    }
}
