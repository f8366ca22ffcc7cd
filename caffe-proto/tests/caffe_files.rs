//! Files that real Caffe wrote, read and written again.

use std::path::PathBuf;
use std::sync::Arc;

use caffe_proto::{
    Blob, Generation, Model, Payload, SolverState, Storage, read_binaryproto, read_caffemodel,
    read_caffemodel_h5, write_binaryproto, write_caffemodel, write_caffemodel_h5,
};

/// A layer's name, and the shape and bits of each of its blobs.
type Contents = Vec<(String, Vec<(Vec<usize>, Vec<u32>)>)>;

#[test]
fn a_caffemodel_is_written_as_caffe_writes_it() {
    let storage = open("fashion/fashion.caffemodel");
    let model = read_caffemodel(&storage).unwrap();
    assert_eq!(model.generation, Generation::V2);
    let mut written = Vec::new();
    write_caffemodel(&model, &mut written).unwrap();
    assert!(written == storage[..], "the written file differs from Caffe's own");
}

#[test]
fn a_blob_in_a_caffemodel_stays_in_the_file() {
    let storage = open("fashion/fashion.caffemodel");
    let model = read_caffemodel(&storage).unwrap();
    let conv2 = model.layers.iter().find(|layer| layer.name == "conv2").unwrap();
    let Payload::Borrowed(slice) = conv2.blobs[0].values() else { panic!("copied") };
    assert!(Arc::ptr_eq(slice.storage(), &storage));
}

#[test]
fn the_hdf5_form_holds_the_same_blobs() {
    let binary = read_caffemodel(&open("fashion/fashion.caffemodel")).unwrap();
    let hdf5 = read_caffemodel_h5(&open("fashion/fashion.caffemodel.h5")).unwrap();
    assert_eq!(hdf5.generation, Generation::Hdf5);
    assert_eq!(contents(&hdf5), contents(&binary));

    let again = through_hdf5(&binary);
    assert_eq!(contents(&again), contents(&binary));
    // A group for every layer, those without blobs too.
    assert_eq!(again.layers.len(), binary.layers.len());
}

#[test]
fn a_layer_name_with_slashes_goes_through_hdf5() {
    let mut model = read_caffemodel(&open("fashion/fashion.caffemodel")).unwrap();
    for (layer, name) in
        model.layers.iter_mut().zip(["inception/3a/1x1", "inception/3a/relu_1x1", "inception"])
    {
        name.clone_into(&mut layer.name);
    }
    assert_eq!(contents(&through_hdf5(&model)), contents(&model));
}

#[test]
fn a_mean_image_is_written_as_caffe_writes_it() {
    let storage = open("fashion/mean.binaryproto");
    let mean = read_binaryproto(&storage).unwrap();
    assert_eq!(mean.shape(), [1, 1, 28, 28]);
    let mut written = Vec::new();
    write_binaryproto(&mean, &mut written).unwrap();
    assert!(written == storage[..]);
}

#[test]
fn a_solver_state_is_the_same_in_both_forms() {
    let storage = open("fashion/fashion.solverstate");
    let binary = SolverState::read(&storage).unwrap();
    let mut written = Vec::new();
    binary.write_binary(&mut written).unwrap();
    assert!(written == storage[..], "the written file differs from Caffe's own");

    let from_caffe = SolverState::read(&open("fashion/fashion.solverstate.h5")).unwrap();
    let file = binary.write_hdf5(std::io::Cursor::new(Vec::new()), &mut copy).unwrap().into_inner();
    let from_us = SolverState::read(&Storage::from_vec("again.solverstate.h5", file)).unwrap();
    for state in [&from_caffe, &from_us] {
        assert_eq!((state.iter, state.current_step), (binary.iter, binary.current_step));
        assert_eq!(state.history.len(), binary.history.len());
        for (a, b) in state.history.iter().zip(&binary.history) {
            assert_eq!((a.shape(), bits(a)), (b.shape(), bits(b)));
        }
    }
    assert_eq!(from_us.learned_net, binary.learned_net);
}

#[test]
fn three_generations_are_one_model() {
    let models = ["v0", "v1", "v2"]
        .map(|generation| read_caffemodel(&open(&format!("generations/{generation}.caffemodel"))).unwrap());
    assert_eq!(
        models.each_ref().map(|model| model.generation),
        [Generation::V0, Generation::V1, Generation::V2]
    );
    for model in &models[..2] {
        assert_eq!(without_leading_ones(model), without_leading_ones(&models[2]));
    }
}

#[test]
fn every_form_of_a_blob_gives_the_same_values() {
    let plain = values("v2");
    for form in [
        "packed",
        "data_first",
        "legacy_4d",
        "legacy_and_shape",
        "new_style_4d",
        "unpacked",
        "shape_unpacked",
        "split_runs",
        "double",
        "double_unpacked",
        "double_and_data",
        "diff",
        "diff_unpacked_first",
        "double_diff",
        "raw_float",
        "raw_double",
        "unknown_fields",
        "overlong_varints",
    ] {
        assert_eq!(values(&format!("variants/{form}")), plain, "{form}");
    }
}

#[test]
fn half_precision_is_widened() {
    let plain = values("v2");
    for (half, full) in values("variants/raw_fp16").iter().flatten().zip(plain.iter().flatten()) {
        let (half, full) = (f32::from_bits(*half), f32::from_bits(*full));
        assert!((half - full).abs() <= full.abs() / 1024.0, "{half} {full}");
    }
}

#[test]
fn values_too_few_or_too_many_are_refused_by_name() {
    for (form, found) in [("truncated_data", 107), ("excess_data", 109)] {
        let storage = open(&format!("generations/variants/{form}.caffemodel"));
        let error = read_caffemodel(&storage).unwrap_err().to_string();
        let expected = format!("layer `conv1`, blob 0: shape 6×2×3×3 needs 108 values, {found} are there");
        assert!(error.contains(&expected), "{error}");
    }
}

fn testdata(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../testdata").join(path)
}

fn open(path: &str) -> Arc<Storage> {
    Storage::open(testdata(path)).unwrap()
}

fn bits(blob: &Blob) -> Vec<u32> {
    blob.to_vec().unwrap().into_iter().map(f32::to_bits).collect()
}

/// Every layer that has blobs, in the order of names, which HDF5 has too.
fn contents(model: &Model) -> Contents {
    let layers = model.layers.iter().filter(|layer| !layer.blobs.is_empty());
    let mut contents = layers
        .map(|layer| {
            (layer.name.clone(), layer.blobs.iter().map(|blob| (blob.shape().to_vec(), bits(blob))).collect())
        })
        .collect::<Contents>();
    contents.sort();
    contents
}

/// As [`contents`], but shapes without their leading ones, which the legacy form adds.
fn without_leading_ones(model: &Model) -> Contents {
    let mut contents = contents(model);
    for (shape, _) in contents.iter_mut().flat_map(|(_, blobs)| blobs) {
        let ones = shape.iter().take_while(|&&extent| extent == 1).count();
        shape.drain(..ones);
    }
    contents
}

/// The bits of all blobs of a file of `generations/`.
fn values(name: &str) -> Vec<Vec<u32>> {
    let model = read_caffemodel(&open(&format!("generations/{name}.caffemodel")));
    let model = model.unwrap_or_else(|error| panic!("{name}: {error}"));
    model.layers.iter().flat_map(|layer| layer.blobs.iter().map(bits)).collect()
}

fn through_hdf5(model: &Model) -> Model {
    let out = std::io::Cursor::new(Vec::new());
    let file = write_caffemodel_h5(model, out, &mut copy).unwrap().into_inner();
    read_caffemodel_h5(&Storage::from_vec("again.caffemodel.h5", file)).unwrap()
}

fn copy(out: &mut std::io::Cursor<Vec<u8>>, payload: &Payload) -> Result<(), caffe_proto::Error> {
    payload.read(&mut |bytes| {
        std::io::Write::write_all(out, bytes).unwrap();
        Ok(())
    })
}
