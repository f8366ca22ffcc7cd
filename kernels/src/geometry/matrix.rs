/// Sizes of `C = α · op(A) · op(B) + β · C`, all row after row: op(A) is m×k, op(B) is k×n, C is m×n.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GemmGeometry {
    /// Rows of C.
    pub m: u32,
    /// Columns of C.
    pub n: u32,
    /// Length of the sums.
    pub k: u32,
    /// Whether A is stored k×m.
    pub transpose_a: bool,
    /// Whether B is stored n×k.
    pub transpose_b: bool,
    /// α.
    pub alpha: f32,
    /// β. With 0, C's old value is not even read.
    pub beta: f32,
}

impl GemmGeometry {
    /// `C = A · B`.
    pub fn new(m: u32, n: u32, k: u32) -> Self {
        Self { m, n, k, transpose_a: false, transpose_b: false, alpha: 1.0, beta: 0.0 }
    }

    /// Floats of A, B and C.
    pub(crate) fn lens(&self) -> [usize; 3] {
        let [m, n, k] = [self.m, self.n, self.k].map(|extent| extent as usize);
        [m * k, k * n, m * n]
    }
}

/// Sizes of `y = x · Wᵀ + b`: x is batch×inputs, y is batch×outputs.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct InnerProductGeometry {
    /// Rows of x.
    pub batch: u32,
    /// Columns of x.
    pub inputs: u32,
    /// Columns of y.
    pub outputs: u32,
    /// Whether W is stored inputs×outputs instead of outputs×inputs.
    pub transpose: bool,
}

impl InnerProductGeometry {
    pub(crate) fn input_len(&self) -> usize {
        self.batch as usize * self.inputs as usize
    }

    pub(crate) fn weight_len(&self) -> usize {
        self.inputs as usize * self.outputs as usize
    }

    pub(crate) fn output_len(&self) -> usize {
        self.batch as usize * self.outputs as usize
    }

    /// The product that takes dy to dx: inputs and outputs exchanged.
    pub(crate) fn mirrored(&self) -> Self {
        let Self { batch, inputs, outputs, transpose } = *self;
        Self { batch, inputs: outputs, outputs: inputs, transpose: !transpose }
    }
}

/// Sizes of a look-up of rows in a table.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EmbedGeometry {
    /// Rows looked up.
    pub count: u32,
    /// Rows of the table.
    pub rows: u32,
    /// Floats in a row.
    pub length: u32,
}

impl EmbedGeometry {
    pub(crate) fn table_len(&self) -> usize {
        self.rows as usize * self.length as usize
    }

    pub(crate) fn output_len(&self) -> usize {
        self.count as usize * self.length as usize
    }
}

/// Sizes of one step of an LSTM.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LstmGeometry {
    /// Sequences that step side by side.
    pub batch: u32,
    /// Width of the state.
    pub hidden: u32,
}

impl LstmGeometry {
    pub(crate) fn state_len(self) -> usize {
        self.batch as usize * self.hidden as usize
    }

    pub(crate) fn gates_len(self) -> usize {
        4 * self.state_len()
    }
}
