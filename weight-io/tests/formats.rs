//! Every format of named tensors: what is written reads back, here and in other programs' readers.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;

use caffe_proto::{Payload, Storage};
use proptest::prelude::*;
use weight_io::{Conversion, Dtype, Format, Opened, Tensor, Weights};

const ALL: [(Format, bool); 5] = [
    (Format::Npz, false),
    (Format::Npz, true),
    (Format::Safetensors, false),
    (Format::ChainerHdf5, false),
    (Format::ChainerHdf5, true),
];

fn save(weights: &Weights, format: Format, compress: bool, path: &Path) {
    let conversion = Conversion { compress, ..Conversion::to(format) };
    conversion.save_weights(weights, path, &mut |_, _| ()).unwrap();
}

fn bytes(tensor: &Tensor) -> Vec<u8> {
    let mut bytes = Vec::new();
    tensor
        .values()
        .read(&mut |piece| {
            assert!(piece.len().is_multiple_of(tensor.dtype().size()), "an element is cut");
            bytes.extend_from_slice(piece);
            Ok(())
        })
        .unwrap();
    bytes
}

fn contents(weights: &Weights) -> BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)> {
    let entry = |(name, tensor): (&str, &Tensor)| {
        (name.to_owned(), (tensor.dtype(), tensor.shape().to_vec(), bytes(tensor)))
    };
    weights.iter().map(entry).collect()
}

fn tensors() -> impl Strategy<Value = Weights> {
    let dtypes = [
        Dtype::I8,
        Dtype::I16,
        Dtype::I32,
        Dtype::I64,
        Dtype::U8,
        Dtype::U16,
        Dtype::U32,
        Dtype::U64,
        Dtype::F16,
        Dtype::F32,
        Dtype::F64,
    ];
    let tensor = (prop::sample::select(dtypes.to_vec()), prop::collection::vec(0usize..7, 0..4), any::<u8>());
    let tensor = tensor.prop_map(|(dtype, shape, seed)| {
        let len = shape.iter().product::<usize>() * dtype.size();
        let values = (0..len).map(|at| (at as u8).wrapping_mul(31) ^ seed).collect();
        Tensor::new(dtype, shape, Payload::from_bytes(values)).unwrap()
    });
    // A link's name never is the beginning of another's path here: HDF5 has no place for both.
    prop::collection::btree_map("[a-zé_ ]{1,6}/[W-Z]", tensor, 0..6).prop_map(|tensors| {
        let mut weights = Weights::new();
        for (name, tensor) in tensors {
            weights.insert(name, tensor).unwrap();
        }
        weights
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_written_reads_back(weights in tensors()) {
        let folder = tempfile::tempdir().unwrap();
        for (format, compress) in ALL {
            // An empty archive has nothing to tell it by.
            if weights.is_empty() && format == Format::Npz {
                continue;
            }
            let path = folder.path().join("a");
            save(&weights, format, compress, &path);
            let opened = Opened::open(&path).unwrap();
            prop_assert_eq!(opened.format(), format);
            let read = Weights::open(&path).unwrap();
            prop_assert_eq!(contents(&read), contents(&weights), "{}", format);
            let again = folder.path().join("b");
            save(&weights, format, compress, &again);
            prop_assert!(fs::read(&path).unwrap() == fs::read(&again).unwrap(), "{} differs", format);
            fs::remove_file(path).unwrap();
            fs::remove_file(again).unwrap();
        }
    }
}

/// Large enough that its pieces, a second thread and deflated bands all come into play.
fn large() -> Weights {
    let mut weights = Weights::new();
    let values = (0..600_000).map(|value| (value % 1013) as f32).collect::<Vec<_>>();
    weights.insert("fc/W", Tensor::from_f32(vec![600, 1000], &values).unwrap()).unwrap();
    weights.insert("fc/b", Tensor::from_f32(vec![600], &values[..600]).unwrap()).unwrap();
    let zero = Payload::from_bytes(vec![0; 8]);
    weights.insert("bn/N", Tensor::new(Dtype::I64, vec![], zero).unwrap()).unwrap();
    weights
}

#[test]
fn large_tensors_go_through_every_format() {
    let folder = tempfile::tempdir().unwrap();
    let mut before = large();
    // From each format to the next: values come from a map, from an inflater, from chunks.
    for (index, (format, compress)) in ALL.into_iter().cycle().take(6).enumerate() {
        let path = folder.path().join(index.to_string());
        save(&before, format, compress, &path);
        before = Weights::open(&path).unwrap();
        assert!(contents(&before) == contents(&large()), "{format}");
    }
}

#[test]
fn another_zip_reader_agrees() {
    let folder = tempfile::tempdir().unwrap();
    for compress in [false, true] {
        let path = folder.path().join(format!("{compress}.npz"));
        save(&large(), Format::Npz, compress, &path);
        let mut archive = zip::ZipArchive::new(fs::File::open(&path).unwrap()).unwrap();
        for (name, tensor) in large().iter() {
            let mut member = archive.by_name(&format!("{name}.npy")).unwrap();
            let mut read = Vec::new();
            member.read_to_end(&mut read).unwrap();
            assert!(read.ends_with(&bytes(tensor)) && read.starts_with(b"\x93NUMPY"));
        }
    }
}

#[test]
fn another_zip_writers_archive_is_read() {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, method) in [("a/W", zip::CompressionMethod::Stored), ("a/b", zip::CompressionMethod::Deflated)]
    {
        let options = zip::write::SimpleFileOptions::default().compression_method(method).large_file(true);
        archive.start_file(format!("{name}.npy"), options).unwrap();
        let dict = "{'descr': '>f4', 'fortran_order': True, 'shape': (2, 3), }\n";
        archive.write_all(b"\x93NUMPY\x01\x00").unwrap();
        archive.write_all(&(dict.len() as u16).to_le_bytes()).unwrap();
        archive.write_all(dict.as_bytes()).unwrap();
        for value in [1.0_f32, 4.0, 2.0, 5.0, 3.0, 6.0] {
            archive.write_all(&value.to_be_bytes()).unwrap();
        }
    }
    let bytes = archive.finish().unwrap().into_inner();
    let opened = Opened::read(&Storage::from_vec("big.npz", bytes)).unwrap();
    let (weights, _) = opened.weights(weight_io::chainer::Options::default()).unwrap();
    for name in ["a/W", "a/b"] {
        let tensor = weights.get(name).unwrap();
        assert_eq!(
            (tensor.shape(), tensor.to_f32().unwrap()),
            (&[2, 3][..], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
        );
    }
}

#[test]
fn the_safetensors_crate_agrees() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    let mut weights = large();
    weights.set_metadata(BTreeMap::from([("format".to_owned(), "np".to_owned())]));
    save(&weights, Format::Safetensors, false, &path);
    let file = fs::read(&path).unwrap();
    let read = safetensors::SafeTensors::deserialize(&file).unwrap();
    for (name, tensor) in weights.iter() {
        let view = read.tensor(name).unwrap();
        assert_eq!(view.shape(), tensor.shape());
        assert!(view.data() == bytes(tensor));
        assert!(
            (view.data().as_ptr() as usize - file.as_ptr() as usize).is_multiple_of(tensor.dtype().size())
        );
    }
    let read = Weights::open(&path).unwrap();
    assert_eq!(read.metadata(), weights.metadata());
    assert!(read.iter().map(|(name, _)| name).eq(weights.iter().map(|(name, _)| name)), "the order is lost");
}

#[test]
fn what_has_no_place_in_a_format_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |name: &str, tensor: Tensor, format| {
        let mut weights = Weights::new();
        weights.insert(name, tensor).unwrap();
        let path = folder.path().join("refused");
        let error = Conversion::to(format).save_weights(&weights, &path, &mut |_, _| ()).unwrap_err();
        assert!(fs::read_dir(folder.path()).unwrap().next().is_none(), "something is left behind");
        error.to_string()
    };
    let scalar = || Tensor::from_f32(vec![], &[1.0]).unwrap();
    let truth = Tensor::new(Dtype::Bool, vec![1], Payload::from_bytes(vec![1])).unwrap();
    assert_eq!(
        refused("a/W", truth, Format::ChainerHdf5),
        "tensor `a/W`: type bool has no place in Chainer's HDF5 files"
    );
    assert!(refused("__metadata__", scalar(), Format::Safetensors).contains("keeps this name for itself"));
    assert!(
        refused(&"x".repeat(70_000), scalar(), Format::Npz).contains("is longer than a zip archive takes")
    );
    assert!(refused("a/W", scalar(), Format::Caffemodel).contains("give it with --definition"));
}
