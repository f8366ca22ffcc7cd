//! Products and convolutions of the sizes that nets need, and what each costs.

use kernels::{Backend, Buffer, ConvGeometry, Epilogue, GemmGeometry, Result};

/// How large the cases are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// So small that an emulation computes them: to see that everything works, never to be quoted.
    Smoke,
    /// Batches of 16.
    Processor,
    /// Batches of 128.
    Gpu,
}

/// A pass of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// The output.
    Forward,
    /// The gradient with respect to the input.
    Data,
    /// The gradient with respect to the weights.
    Filter,
}

/// What is computed.
#[derive(Clone, Copy, Debug)]
pub enum Work {
    /// A product.
    Gemm(GemmGeometry),
    /// A pass of a convolution, without bias.
    Convolution(ConvGeometry, Pass),
}

/// Something to measure.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its name, which tells the sizes.
    pub name: String,
    /// What is computed.
    pub work: Work,
}

/// Products: square ones, and those of AlexNet's and VGG's inner products.
pub fn products(scale: Scale) -> Vec<Case> {
    let square = |size| Case {
        name: format!("gemm {size}×{size}×{size}"),
        work: Work::Gemm(GemmGeometry::new(size, size, size)),
    };
    // y = x · Wᵀ.
    let inner = |name: &str, [batch, outputs, inputs]: [u32; 3]| Case {
        name: format!("{name}, gemm {batch}×{outputs}×{inputs}"),
        work: Work::Gemm(GemmGeometry { transpose_b: true, ..GemmGeometry::new(batch, outputs, inputs) }),
    };
    if scale == Scale::Smoke {
        return vec![square(64), inner("alexnet fc8", [8, 10, 64])];
    }
    let mut cases: Vec<Case> = [1024, 2048, 4096, 8192].map(square).to_vec();
    for batch in [1, 128] {
        cases.push(inner("alexnet fc6", [batch, 4096, 9216]));
    }
    cases.push(inner("alexnet fc7", [128, 4096, 4096]));
    cases.push(inner("alexnet fc8", [128, 1000, 4096]));
    cases.push(inner("vgg fc6", [128, 4096, 25_088]));
    cases
}

/// The three passes of AlexNet's convolutions and of a ResNet's.
pub fn convolutions(scale: Scale) -> Vec<Case> {
    let batch = match scale {
        Scale::Smoke => 1,
        Scale::Processor => 16,
        Scale::Gpu => 128,
    };
    let square = |channels, size: u32, kernel: u32, stride: u32, pad: u32| {
        ConvGeometry::new(batch, channels, &[size; 2], &[kernel; 2])
            .with_stride(&[stride; 2])
            .with_pad(&[pad; 2])
    };
    let geometries = if scale == Scale::Smoke {
        vec![
            ("alexnet conv2", square([4, 8], 9, 5, 1, 2).with_group(2)),
            ("resnet 1×1", square([8, 8], 7, 1, 1, 0)),
        ]
    } else {
        vec![
            ("alexnet conv1", square([3, 96], 227, 11, 4, 0)),
            ("alexnet conv2", square([96, 256], 27, 5, 1, 2).with_group(2)),
            ("alexnet conv3", square([256, 384], 13, 3, 1, 1)),
            ("alexnet conv4", square([384, 384], 13, 3, 1, 1).with_group(2)),
            ("alexnet conv5", square([384, 256], 13, 3, 1, 1).with_group(2)),
            ("resnet 3×3 64, 56", square([64, 64], 56, 3, 1, 1)),
            ("resnet 3×3 128, 28", square([128, 128], 28, 3, 1, 1)),
            ("resnet 3×3 256, 14", square([256, 256], 14, 3, 1, 1)),
            ("resnet 3×3 512, 7", square([512, 512], 7, 3, 1, 1)),
            ("resnet 1×1 256→64, 56", square([256, 64], 56, 1, 1, 0)),
            ("resnet 1×1 64→256, 56", square([64, 256], 56, 1, 1, 0)),
            ("resnet 1×1 512→128, 28", square([512, 128], 28, 1, 1, 0)),
            ("resnet 1×1 1024→256, 14", square([1024, 256], 14, 1, 1, 0)),
            ("resnet 1×1 2048→512, 7", square([2048, 512], 7, 1, 1, 0)),
        ]
    };
    let passes = [(Pass::Forward, "forward"), (Pass::Data, "dx"), (Pass::Filter, "dw")];
    let cases = geometries.into_iter().flat_map(|(name, geometry)| {
        passes.map(|(pass, word)| Case {
            name: format!("{name}, {word}, batch {batch}"),
            work: Work::Convolution(geometry, pass),
        })
    });
    cases.collect()
}

impl Case {
    /// Floating-point operations, of the plain algorithm.
    pub fn flops(&self) -> f64 {
        match &self.work {
            Work::Gemm(GemmGeometry { m, n, k, .. }) => 2.0 * f64::from(*m) * f64::from(*n) * f64::from(*k),
            Work::Convolution(geometry, _) => geometry.flops() as f64,
        }
    }

    /// Bytes that must be moved at least: each operand once.
    pub fn bytes(&self) -> f64 {
        let floats = match &self.work {
            Work::Gemm(GemmGeometry { m, n, k, .. }) => {
                let [m, n, k] = [m, n, k].map(|extent| *extent as usize);
                m * k + k * n + m * n
            }
            Work::Convolution(geometry, _) => Floats::of(geometry).all(),
        };
        4.0 * floats as f64
    }

    /// Makes everything ready on a device; what is returned computes it once, on the same memory each time.
    ///
    /// # Errors
    /// Where there is not enough memory.
    pub fn prepare<'b>(&self, backend: &'b dyn Backend) -> Result<Box<dyn FnMut() -> Result<()> + 'b>> {
        match self.work {
            Work::Gemm(geometry) => product(backend, geometry),
            Work::Convolution(geometry, pass) => convolution(backend, geometry, pass),
        }
    }
}

fn product<'b>(
    backend: &'b dyn Backend,
    geometry: GemmGeometry,
) -> Result<Box<dyn FnMut() -> Result<()> + 'b>> {
    let [m, n, k] = [geometry.m, geometry.n, geometry.k].map(|extent| extent as usize);
    let (a, b, mut c) = (numbers(backend, m * k)?, numbers(backend, k * n)?, backend.allocate(m * n)?);
    let mut workspace = backend.allocate(backend.gemm_workspace_len(&geometry))?;
    Ok(Box::new(move || backend.gemm(&geometry, &a, &b, &mut c, &mut workspace)))
}

fn convolution<'b>(
    backend: &'b dyn Backend,
    geometry: ConvGeometry,
    pass: Pass,
) -> Result<Box<dyn FnMut() -> Result<()> + 'b>> {
    let floats = Floats::of(&geometry);
    let weights = numbers(backend, floats.weights)?;
    Ok(match pass {
        Pass::Forward => {
            let prepared = backend.convolution_prepare(&geometry, &weights)?;
            let (x, mut y) = (numbers(backend, floats.input)?, backend.allocate(floats.output)?);
            let mut workspace = backend.allocate(prepared.workspace_len())?;
            Box::new(move || {
                backend.convolution_forward(&prepared, &x, &Epilogue::default(), &mut y, &mut workspace)
            })
        }
        Pass::Data => {
            let prepared = backend.convolution_backward_data_prepare(&geometry, &weights)?;
            let (dy, mut dx) = (numbers(backend, floats.output)?, backend.allocate(floats.input)?);
            let mut workspace = backend.allocate(prepared.workspace_len())?;
            Box::new(move || {
                backend.convolution_backward_data(&prepared, &dy, false, &mut dx, &mut workspace)
            })
        }
        Pass::Filter => {
            let (x, dy) = (numbers(backend, floats.input)?, numbers(backend, floats.output)?);
            let mut dw = weights;
            let mut workspace =
                backend.allocate(backend.convolution_backward_filter_workspace_len(&geometry))?;
            Box::new(move || {
                backend.convolution_backward_filter(&geometry, &x, &dy, false, &mut dw, &mut workspace)
            })
        }
    })
}

/// Of a convolution's arrays.
struct Floats {
    input: usize,
    weights: usize,
    output: usize,
}

impl Floats {
    fn of(geometry: &ConvGeometry) -> Self {
        let extent = |extents: &[u32]| extents.iter().map(|&extent| extent as usize).product::<usize>();
        let inputs = (geometry.input_channels / geometry.group) as usize;
        Self {
            input: (geometry.batch * geometry.input_channels) as usize * extent(&geometry.input),
            weights: geometry.output_channels as usize * inputs * extent(&geometry.kernel),
            output: (geometry.batch * geometry.output_channels) as usize * extent(&geometry.output()),
        }
    }

    fn all(&self) -> usize {
        self.input + self.weights + self.output
    }
}

/// Numbers in [−0.5, 0.5), which processors multiply no slower than others.
fn numbers(backend: &dyn Backend, len: usize) -> Result<Buffer> {
    let values: Vec<f32> = (0..len).map(|at| (at * 7919 % 255) as f32 / 255.0 - 0.5).collect();
    let mut buffer = backend.allocate(len)?;
    backend.write(&mut buffer, 0, &values)?;
    Ok(buffer)
}
