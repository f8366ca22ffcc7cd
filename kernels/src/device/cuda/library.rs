//! NVRTC and cuBLAS, loaded when they are first asked for: under which names, and in which folders.
//!
//! cudarc has bindings for both, but looks neither for CUDA 13's names nor for NVRTC's of CUDA 11, reads what a library answers as
//! an enum, which a newer library's answer need not be in, and ends the program where a function is missing.

use std::ffi::OsString;
use std::path::PathBuf;
use std::{env, fs};

use cudarc::driver::sys;
use libloading::Library;

/// A library's names, in the order of trying.
pub(super) struct Wanted(&'static [&'static str]);

/// From 11.2 on, those of CUDA 11 are called alike.
pub(super) const NVRTC: Wanted = Wanted(if cfg!(windows) {
    &["nvrtc64_130_0.dll", "nvrtc64_120_0.dll", "nvrtc64_112_0.dll"]
} else {
    &["libnvrtc.so", "libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so.11.2"]
});

pub(super) const CUBLAS: Wanted = Wanted(if cfg!(windows) {
    &["cublas64_13.dll", "cublas64_12.dll", "cublas64_11.dll"]
} else {
    &["libcublas.so", "libcublas.so.13", "libcublas.so.12", "libcublas.so.11"]
});

impl Wanted {
    /// Each that there is, one after the other: where the system looks for libraries, then in [`folders`]. One may come twice.
    pub(super) fn open(&self) -> impl Iterator<Item = Library> {
        let bare = self.0.iter().map(PathBuf::from);
        let folders = folders(|name| env::var_os(name));
        let paths = folders.into_iter().flat_map(|folder| self.0.iter().map(move |name| folder.join(name)));
        // SAFETY: NVIDIA's libraries run nothing but their own start-up code when they are loaded.
        bare.chain(paths).filter_map(|path| unsafe { Library::new(&path) }.ok())
    }

    /// That there is none, in words.
    pub(super) fn absent(&self) -> String {
        let mut places =
            vec!["where the system looks for libraries (LD_LIBRARY_PATH says where else)".to_owned()];
        places.extend(
            folders(|name| env::var_os(name)).iter().map(|folder| format!("in {}", folder.display())),
        );
        format!("found none of {}, looked {}", self.0.join(", "), places.join(", "))
    }
}

/// The CUDA that the driver here is for, if there is one.
pub(super) fn driver_major() -> Option<u32> {
    let mut version = 0;
    // SAFETY: looking for a library runs nothing but its own start-up code. The pointer is to an integer; every driver has the call,
    // and needs nothing before it.
    let told =
        unsafe { sys::is_culib_present() && sys::cuDriverGetVersion(&raw mut version).result().is_ok() };
    told.then_some(version as u32 / 1000)
}

/// Functions of a library, looked up when it is loaded.
macro_rules! functions {
    ($(#[$words:meta])* $table:ident { $($field:ident = $symbol:literal ($($argument:ty),*) -> $result:ty;)* }) => {
        $(#[$words])*
        #[derive(Clone, Copy)]
        struct $table {
            $($field: unsafe extern "C" fn($($argument),*) -> $result,)*
        }

        impl $table {
            /// To be called as long as the library is loaded.
            ///
            /// # Errors
            /// The function that it lacks.
            fn of(library: &libloading::Library) -> std::result::Result<Self, &'static str> {
                // SAFETY: the type is that of the library's manual.
                Ok(Self { $($field: *unsafe { library.get($symbol) }.map_err(|_| $symbol)?,)* })
            }
        }
    };
}
pub(super) use functions;

/// The folders there are into which toolkits and Python's packages put their libraries, where the system does not look by itself.
fn folders(variable: impl Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let set = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let toolkits = [set("CUDA_PATH"), set("CUDA_HOME"), Some(PathBuf::from("/usr/local/cuda"))];
    let mut found: Vec<PathBuf> =
        toolkits.into_iter().flatten().map(|toolkit| toolkit.join("lib64")).collect();
    let user = set("HOME").map(|home| home.join(".local"));
    for environment in [set("VIRTUAL_ENV"), set("CONDA_PREFIX"), user].into_iter().flatten() {
        let library = environment.join("lib");
        let packages = inside(&library)
            .into_iter()
            .filter(|folder| {
                folder.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"python3"))
            })
            .flat_map(|python| inside(&python.join("site-packages/nvidia")));
        found.extend(packages.map(|package| package.join("lib")));
        found.push(library);
    }
    found.retain(|folder| folder.is_dir());
    found.dedup();
    found
}

/// What is in a folder, in order.
fn inside(folder: &PathBuf) -> Vec<PathBuf> {
    let mut entries: Vec<_> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    entries.sort_unstable();
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_of_python_and_toolkits_are_found() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        for folder in [
            "venv/lib/python3.12/site-packages/nvidia/cu13/lib",
            "venv/lib/python3.12/site-packages/nvidia/cuda_nvrtc/lib",
            "venv/lib/python3.12/site-packages/nvidia/empty",
            "venv/lib/ruby/site-packages/nvidia/cuda_nvrtc/lib",
            "toolkit/lib64",
        ] {
            fs::create_dir_all(at(folder)).unwrap();
        }
        let found = folders(|name| match name {
            "VIRTUAL_ENV" => Some(at("venv").into()),
            "CUDA_HOME" => Some(at("toolkit").into()),
            "CUDA_PATH" => Some(at("absent").into()),
            "CONDA_PREFIX" => Some(OsString::new()),
            _ => None,
        });
        let found: Vec<_> = found.iter().filter(|folder| folder.starts_with(root.path())).collect();
        let packages = "venv/lib/python3.12/site-packages/nvidia";
        let cu13 = at(packages).join("cu13/lib");
        assert_eq!(
            found,
            [&at("toolkit/lib64"), &cu13, &at(packages).join("cuda_nvrtc/lib"), &at("venv/lib")]
        );
    }

    #[test]
    fn what_was_looked_for_is_named() {
        let absent = Wanted(&["libno_such.so", "libno_such.so.13"]);
        assert_eq!(absent.open().count(), 0);
        let said = absent.absent();
        let start = "found none of libno_such.so, libno_such.so.13, looked where the system looks for libraries (LD_LIBRARY_PATH";
        assert!(said.starts_with(start), "{said}");
    }

    #[test]
    fn a_library_that_lacks_a_function_is_told_by_it() {
        functions!(Table { length = "strlen" (*const std::ffi::c_char) -> usize; });
        functions!(Other { absent = "no_such_function" () -> (); });
        let library = Wanted(&["libc.so.6", "libSystem.dylib", "msvcrt.dll"]);
        let library = library.open().next().unwrap();
        let table = Table::of(&library).unwrap();
        // SAFETY: text that ends with a 0.
        assert_eq!(unsafe { (table.length)(c"four".as_ptr()) }, 4);
        // SAFETY: never called.
        let called = Other::of(&library).map(|other| unsafe { (other.absent)() });
        assert_eq!(called, Err("no_such_function"));
    }
}
