//! Reading and converting the bundled model: what a small file costs. `cargo xtask bench convert` measures large ones.

#![allow(missing_docs)]

use std::path::PathBuf;

use caffe_proto::{Storage, open_definition, read_caffemodel, text};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use weight_io::chainer::{Conv, Options};
use weight_io::{Conversion, Format, Opened, WriteOptions};

fn testdata(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../testdata/fashion").join(path)
}

fn reading(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("read");
    for name in ["deploy.prototxt", "fashion.caffemodel", "fashion.caffemodel.h5"] {
        let size = std::fs::metadata(testdata(name)).unwrap().len();
        group.throughput(Throughput::Bytes(size));
        group.bench_function(name, |bencher| match name {
            "deploy.prototxt" => {
                bencher.iter(|| open_definition(testdata(name), text::Options::default()).unwrap());
            }
            "fashion.caffemodel" => {
                bencher.iter(|| read_caffemodel(&Storage::open(testdata(name)).unwrap()).unwrap());
            }
            _ => bencher.iter(|| Opened::open(testdata(name)).unwrap()),
        });
    }
    group.finish();
}

fn converting(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let input = Opened::open(testdata("fashion.caffemodel")).unwrap();
    let dense = Options { conv: Conv::Dense, ..Options::default() };
    let mut group = criterion.benchmark_group("convert");
    group.throughput(Throughput::Bytes(std::fs::metadata(testdata("fashion.caffemodel")).unwrap().len()));
    for (name, format, layout) in [
        ("npz", Format::Npz, Options::default()),
        ("npz, dense", Format::Npz, dense),
        ("h5", Format::ChainerHdf5, Options::default()),
        ("safetensors", Format::Safetensors, Options::default()),
        ("caffemodel", Format::Caffemodel, Options::default()),
        ("caffemodel.h5", Format::CaffemodelHdf5, Options::default()),
    ] {
        let write = WriteOptions { force: true, sync: false };
        let conversion = Conversion { layout, write, ..Conversion::to(format) };
        let output = folder.path().join("out");
        group.bench_function(name, |bencher| {
            bencher.iter(|| conversion.run(&input, &output, &mut |_, _| ()).unwrap());
        });
    }
    group.finish();
}

criterion_group!(benches, reading, converting);
criterion_main!(benches);
