//! The kernels' sources: CUDA C++ that includes nothing, in pieces that are put together here.

/// Kernels that are compiled together.
#[derive(Debug)]
pub(crate) struct Module {
    /// The file, without its ending.
    pub(crate) name: &'static str,
    /// What precedes it, by name; the device's words and the common helpers precede all.
    preludes: &'static [(&'static str, &'static str)],
    /// The one architecture that has what it needs, if others have not.
    only: Option<&'static str>,
    text: &'static str,
}

#[cfg_attr(not(feature = "cuda"), expect(dead_code, reason = "the emulator's are compiled by build.rs"))]
impl Module {
    /// One whose kernels the emulator knows, and nobody else.
    #[cfg(all(test, feature = "emulate"))]
    pub(super) const fn of_kernels_elsewhere(name: &'static str) -> Self {
        Self { name, preludes: &[], only: None, text: "" }
    }

    /// The file's name, for messages.
    pub(crate) fn file(&self) -> String {
        format!("{}.cu", self.name)
    }

    /// The whole text, each piece with its name for the compiler's messages.
    pub(crate) fn source(&self) -> String {
        let file = self.file();
        let first = [ON_DEVICE, COMMON, TILES];
        let pieces = first.iter().chain(self.preludes).copied().chain([(file.as_str(), self.text)]);
        pieces.flat_map(|(name, text)| ["#line 1 \"", name, "\"\n", text, "\n"]).collect()
    }

    /// Whether it can be compiled for an architecture.
    pub(crate) fn is_for(&self, architecture: &str) -> bool {
        self.only.is_none_or(|only| only == architecture)
    }

    /// The kernels in it, with the threads of their largest block.
    pub(crate) fn kernels(&self) -> impl Iterator<Item = (&'static str, u32)> {
        self.text.lines().filter_map(|line| {
            let (name, rest) = line.strip_prefix("KERNEL(")?.split_once(", ")?;
            Some((name, rest.split([',', ')']).next()?.parse().ok()?))
        })
    }
}

macro_rules! piece {
    ($file:literal) => {
        ($file, include_str!(concat!("../../cu/", $file)))
    };
}

const ON_DEVICE: (&str, &str) = piece!("on_device.cuh");
const COMMON: (&str, &str) = piece!("common.cuh");
const TILES: (&str, &str) = piece!("tiles.cuh");
const CONVOLUTION: &[(&str, &str)] = &[piece!("convolution.cuh")];
const RANDOM: &[(&str, &str)] = &[piece!("philox.cuh")];
const LOOK_UP: &[(&str, &str)] = &[piece!("faults.cuh")];
const LOSS: &[(&str, &str)] = &[piece!("faults.cuh"), piece!("losses.cuh")];
const UPDATES: &[(&str, &str)] = &[piece!("update.cuh")];
const GEMM_PARTS: &[(&str, &str)] = &[piece!("gemm.cuh")];

macro_rules! only {
    () => {
        None
    };
    ($architecture:literal) => {
        Some($architecture)
    };
}

macro_rules! modules {
    ($($constant:ident = $name:literal, $preludes:expr $(, only $only:literal)?;)*) => {
        $(pub(crate) static $constant: Module = Module {
            name: $name,
            preludes: $preludes,
            only: only!($($only)?),
            text: include_str!(concat!("../../cu/", $name, ".cu")),
        };)*

        /// All of them.
        #[cfg(feature = "cuda")]
        pub(crate) static MODULES: &[&Module] = &[$(&$constant),*];
    };
}

modules! {
    ACTIVATION = "activation", &[];
    ARGMAX = "argmax", &[];
    BATCH_NORMALIZATION = "batch_normalization", &[];
    CHANNELWISE = "channelwise", &[];
    CONVOLUTION_2D = "convolution_2d", CONVOLUTION;
    CONVOLUTION_3D = "convolution_3d", CONVOLUTION;
    CONVOLUTION_6D = "convolution_6d", CONVOLUTION;
    CONVOLUTION_TF32 = "convolution_tf32", CONVOLUTION;
    COPY = "copy", &[];
    DEPTHWISE = "depthwise", &[];
    DROPOUT = "dropout", RANDOM;
    ELTWISE = "eltwise", &[];
    EMBED = "embed", LOOK_UP;
    GEMM = "gemm", GEMM_PARTS;
    GEMM_1_NAIVE = "gemm_1_naive", &[];
    GEMM_2_TILES = "gemm_2_tiles", &[];
    GEMM_3_REGISTERS = "gemm_3_registers", &[];
    GEMM_WGMMA = "gemm_wgmma", GEMM_PARTS, only "sm_90a";
    IM2COL = "im2col", &[];
    LABEL_LOSS = "label_loss", LOSS;
    LOSS_TOTAL = "loss_total", LOSS;
    LRN = "lrn", &[];
    LSTM = "lstm", &[];
    NORMALIZE = "normalize", &[];
    PAIR_LOSS = "pair_loss", LOSS;
    POOLING = "pooling", RANDOM;
    RESIZE = "resize", &[];
    ROWS = "rows", &[];
    SOFTMAX = "softmax", &[];
    SUMS = "sums", &[];
    UPDATE = "update", UPDATES;
    UPDATE_GATE = "update_gate", UPDATES;
    UPDATE_NOISE = "update_noise", UPDATES;
    UPDATE_NORMS = "update_norms", UPDATES;
    VECTOR = "vector", &[];
    WINOGRAD = "winograd", &[];
}
