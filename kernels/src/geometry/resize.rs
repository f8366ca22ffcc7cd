/// Sizes of a bilinear resize of planes, corners on corners.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct InterpGeometry {
    /// N·C.
    pub planes: u32,
    /// Height, width.
    pub input: [u32; 2],
    /// Height, width.
    pub output: [u32; 2],
}
