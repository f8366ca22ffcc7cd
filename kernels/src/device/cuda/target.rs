//! What kernels are compiled to for a device: its machine code, or PTX of an older architecture.

use std::fmt;

/// Of compute capability 9.0 also what later ones do not have, since CUDA 12.
const HOPPER: u32 = 90;

/// What NVRTC is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target {
    form: Form,
    /// 86 for sm_86.
    number: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Machine code.
    Code,
    /// Machine code with what this architecture alone has.
    OwnCode,
    /// What the driver compiles for its device, which may be newer.
    Ptx,
}

impl Target {
    /// For a device of this compute capability (86 for 8.6), with an NVRTC of this version that compiles for these architectures: the
    /// device's own, else PTX of the newest before it.
    ///
    /// # Errors
    /// In words, where all are newer than the device.
    pub(super) fn choose(capability: u32, architectures: &[u32], version: [u32; 2]) -> Result<Self, String> {
        let not_above = architectures.iter().copied().filter(|&number| number <= capability);
        let number = not_above.max().ok_or_else(|| {
            let oldest = architectures.iter().min().map_or_else(String::new, |oldest| format!(" sm_{oldest} is its oldest."));
            let [major, minor] = version;
            format!(
                "NVRTC {major}.{minor} does not compile for sm_{capability}.{oldest} That of an older CUDA does: CUDA 12's for sm_50 \
                 and later (pip install nvidia-cuda-nvrtc-cu12), CUDA 11's for sm_35 and later"
            )
        })?;
        let form = match number {
            _ if number != capability => Form::Ptx,
            HOPPER if version[0] >= 12 => Form::OwnCode,
            _ => Form::Code,
        };
        Ok(Self { form, number })
    }

    /// Whether it is a device's own machine code.
    pub(super) fn is_for(self, capability: u32) -> bool {
        self.number == capability && self.form != Form::Ptx
    }

    /// Whether there is TF32 in it.
    pub(super) fn has_tf32(self) -> bool {
        self.number >= 80
    }

    /// Whether there is `wgmma` in it.
    pub(super) fn has_wgmma(self) -> bool {
        self.number == HOPPER && self.form == Form::OwnCode
    }
}

/// As NVRTC's option has it.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.number;
        match self.form {
            Form::Code => write!(f, "sm_{number}"),
            Form::OwnCode => write!(f, "sm_{number}a"),
            Form::Ptx => write!(f, "compute_{number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `nvrtcGetSupportedArchs` of these versions lists them.
    const OF_13_5: &[u32] = &[75, 80, 86, 87, 88, 89, 90, 100, 103, 107, 110, 120, 121];
    const OF_12_9: &[u32] =
        &[50, 52, 53, 60, 61, 62, 70, 72, 75, 80, 86, 87, 89, 90, 100, 101, 103, 120, 121];
    const OF_11_8: &[u32] = &[35, 37, 50, 52, 53, 60, 61, 62, 70, 72, 75, 80, 86, 87, 89, 90];

    #[test]
    fn a_device_gets_its_own_code_or_ptx_of_the_newest_before_it() {
        for (capability, architectures, version, expected, tf32, wgmma) in [
            (75, OF_12_9, [12, 9], "sm_75", false, false),
            (86, OF_13_5, [13, 5], "sm_86", true, false),
            (90, OF_12_9, [12, 9], "sm_90a", true, true),
            (90, OF_13_5, [13, 5], "sm_90a", true, true),
            // CUDA 11 knows no sm_90a.
            (90, OF_11_8, [11, 8], "sm_90", true, false),
            (120, OF_12_9, [12, 9], "sm_120", true, false),
            // Newer than NVRTC. What only sm_90 has is not in its PTX.
            (100, OF_11_8, [11, 8], "compute_90", true, false),
            (120, OF_11_8, [11, 8], "compute_90", true, false),
            (130, OF_12_9, [12, 9], "compute_121", true, false),
            (110, OF_12_9, [12, 9], "compute_103", true, false),
            (88, OF_12_9, [12, 9], "compute_87", true, false),
            (89, &[75, 80, 86][..], [11, 2], "compute_86", true, false),
            (80, &[75][..], [10, 2], "compute_75", false, false),
        ] {
            let target = Target::choose(capability, architectures, version).unwrap();
            assert_eq!(target.to_string(), expected, "sm_{capability}, NVRTC {version:?}");
            assert_eq!((target.has_tf32(), target.has_wgmma()), (tf32, wgmma), "{expected}");
        }
    }

    #[test]
    fn a_device_older_than_all_is_told_which_nvrtc_serves() {
        assert_eq!(
            Target::choose(70, OF_13_5, [13, 5]).unwrap_err(),
            "NVRTC 13.5 does not compile for sm_70. sm_75 is its oldest. That of an older CUDA does: CUDA 12's for sm_50 and later \
             (pip install nvidia-cuda-nvrtc-cu12), CUDA 11's for sm_35 and later"
        );
    }
}
