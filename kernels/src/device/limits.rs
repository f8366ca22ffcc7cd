//! What a GPU can do at most: the measure that a kernel's speed is a share of.

/// A device's limits, worked out from its clocks and widths. What it does for long is less: clocks fall when it is warm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Floating-point operations a second in f32, outside of tensor cores; a multiply-add counts twice.
    pub flops: f64,
    /// Bytes a second between the device and its memory.
    pub bytes: f64,
}

/// What a GPU says of itself.
#[cfg(any(feature = "cuda", test))]
pub(crate) struct Attributes {
    /// Its compute capability.
    pub(crate) capability: [u32; 2],
    pub(crate) multiprocessors: u32,
    /// Of the multiprocessors and of the memory, in kilohertz.
    pub(crate) clock: u32,
    pub(crate) memory_clock: u32,
    /// Of the memory's bus, in bits.
    pub(crate) bus: u32,
}

#[cfg(any(feature = "cuda", test))]
impl Limits {
    /// None where a driver does not tell the clocks, or the capability is not known here.
    pub(crate) fn of(attributes: &Attributes) -> Option<Self> {
        let Attributes { capability, multiprocessors, clock, memory_clock, bus } = *attributes;
        if clock == 0 || memory_clock == 0 {
            return None;
        }
        let lanes = f64::from(multiprocessors) * f64::from(lanes(capability)?);
        // Memory is transferred on both edges of its clock.
        let bytes = 2.0 * 1e3 * f64::from(memory_clock) * f64::from(bus) / 8.0;
        Some(Self { flops: 2.0 * lanes * 1e3 * f64::from(clock), bytes })
    }
}

/// Multiply-adds in f32 that a multiprocessor starts in a cycle (CUDA C++ Programming Guide, "Throughput of Native Arithmetic
/// Instructions").
#[cfg(any(feature = "cuda", test))]
fn lanes(capability: [u32; 2]) -> Option<u32> {
    match capability {
        [7, 5] | [8, 0] => Some(64),
        [8, 6 | 7 | 9] | [9, 0] | [10, 0 | 3] | [12, 0 | 1] => Some(128),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What NVIDIA's data sheets give: A100 SXM4 40 GB, 19.5 TFLOP/s and 1555 GB/s.
    #[test]
    fn limits_are_those_of_the_data_sheet() {
        let ampere = Attributes {
            capability: [8, 0],
            multiprocessors: 108,
            clock: 1_410_000,
            memory_clock: 1_215_000,
            bus: 5120,
        };
        let limits = Limits::of(&ampere).unwrap();
        assert!((limits.flops / 19.5e12 - 1.0).abs() < 0.01, "{limits:?}");
        assert!((limits.bytes / 1555e9 - 1.0).abs() < 0.01, "{limits:?}");
        assert_eq!(Limits::of(&Attributes { clock: 0, ..ampere }), None);
        assert_eq!(Limits::of(&Attributes { capability: [99, 0], ..ampere }), None);
    }
}
