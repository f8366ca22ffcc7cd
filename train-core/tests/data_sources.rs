//! Where samples come from, and what is said when they do not.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use caffe_proto::net::{Layer, Net};
use caffe_proto::proto::Phase;
use caffe_proto::{Storage, text};
use train_core::data::{
    ClassFolders, DataLayer, Feed, Hdf5Rows, Idx, ImageList, Loader, LoaderOptions, MemoryImages, Picture,
    Position, Source,
};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata");

#[test]
fn a_folder_for_each_class() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for class in ["dog", "cat", "cat/kittens", ".cache"] {
        fs::create_dir(path(class)).unwrap();
    }
    for name in [
        "dog/b.PNG",
        "dog/a b.jpeg",
        "cat/10.jpg",
        "cat/9.jpg",
        "cat/kittens/1.jpg",
        "cat/notes.txt",
        ".cache/x.jpg",
        "README",
    ] {
        fs::write(path(name), name).unwrap();
    }
    let images = ClassFolders::open(folder.path()).unwrap();
    assert_eq!(images.classes(), ["cat", "dog"]);
    assert_eq!(images.ignored(), 2);
    let read = (0..images.len()).map(|index| {
        let sample = images.read(index).unwrap();
        let Picture::Encoded(bytes) = sample.picture else { panic!() };
        (String::from_utf8(bytes.into_owned()).unwrap(), sample.label)
    });
    let read = read.collect::<Vec<_>>();
    let read = read.iter().map(|(name, label)| (&name[..], *label)).collect::<Vec<_>>();
    let expected = [
        ("cat/10.jpg", 0),
        ("cat/9.jpg", 0),
        ("cat/kittens/1.jpg", 0),
        ("dog/a b.jpeg", 1),
        ("dog/b.PNG", 1),
    ];
    assert_eq!(read, expected);
    assert!(images.name(4).ends_with("b.PNG"));

    fs::create_dir(path("empty")).unwrap();
    let error = ClassFolders::open(folder.path()).unwrap_err().to_string();
    assert!(
        error.ends_with(
            "empty: this class has no images (.jpg, .jpeg or .png): remove its folder, or fill it"
        ),
        "{error}"
    );
    let error = ClassFolders::open(path("dog")).unwrap_err().to_string();
    assert!(error.ends_with("dog: expected a folder for each class in it, with images in each"), "{error}");
}

#[test]
fn a_list_says_which_line_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("list.txt");
    let error = |text: &str| {
        fs::write(&list, text).unwrap();
        ImageList::open(&list, "")
            .map(|list| list.len())
            .map_err(|error| error.to_string().split_once(": ").unwrap().1.to_owned())
    };
    assert_eq!(error("a b.jpg 1\r\n\nc.jpg\t-2  \n"), Ok(2));
    let expected = "expected a path, a space and a label, as in `cat.jpg 3`";
    assert_eq!(error("a.jpg 1\nb.jpg\n"), Err(format!("line 2, `b.jpg`: {expected}")));
    assert_eq!(error("a.jpg x"), Err(format!("line 1, `a.jpg x`: {expected}")));
    assert_eq!(error("3"), Err(format!("line 1, `3`: {expected}")));
    assert_eq!(error("\n"), Err("this list has no images".to_owned()));
}

#[test]
fn mnists_files_are_read_gzipped_or_not() {
    let images = format!("{FOLDER}/fashion/t10k-sample-images-idx3-ubyte.gz");
    let idx = Idx::beside(&images).unwrap();
    assert_eq!(idx.len(), 256);
    let sample = idx.read(0).unwrap();
    let Picture::Pixels(pixels) = &sample.picture else { panic!() };
    // An ankle boot, which testdata/classify has as a picture too.
    assert_eq!((pixels.shape, sample.label), ([1, 28, 28], 9));
    let boot = fs::read(format!("{FOLDER}/classify/boot.png")).unwrap();
    let boot = train_core::data::Pixels::decode(&boot, train_core::data::Decode::AsIs).unwrap();
    assert_eq!(boot.bytes, pixels.bytes);

    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, header: &[u8], count: usize| {
        let path = folder.path().join(name);
        fs::write(&path, [header, &vec![7; count]].concat()).unwrap();
        path
    };
    let images = write("images", &[0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 1], 6);
    write("labels", &[0, 0, 8, 1, 0, 0, 0, 2], 2);
    let idx = Idx::beside(&images).unwrap();
    let Picture::Pixels(pixels) = idx.read(1).unwrap().picture else { panic!() };
    assert_eq!((pixels.shape, &pixels.bytes[..]), ([1, 3, 1], &[7; 3][..]));

    let refused = |labels: &Path| {
        Idx::open(&images, labels)
            .unwrap_err()
            .to_string()
            .rsplit_once("labels: ")
            .map(|(_, what)| what.to_owned())
    };
    let shorter = write("labels", &[0, 0, 8, 1, 0, 0, 0, 2], 1);
    assert_eq!(refused(&shorter).unwrap(), "1 bytes of values, its header says 2");
    let longer = write("labels", &[0, 0, 8, 1, 0, 0, 0, 3], 3);
    assert!(refused(&longer).unwrap().starts_with("3 labels for the 2 images of "));
    let other = write("labels", &[0, 0, 8, 3, 0, 0, 0, 3], 3);
    assert!(refused(&other).unwrap().starts_with("expected an IDX file of labels"));
    assert!(Idx::beside(shorter).unwrap_err().to_string().contains("where are the labels?"));
}

#[test]
fn hdf5_rows_are_shuffled_file_by_file() {
    let base = Path::new(FOLDER).join("data");
    let tops = ["data".to_owned(), "label".to_owned()];
    let rows = Arc::new(Hdf5Rows::open(base.join("h5.txt"), &tops, &base).unwrap());
    assert_eq!((rows.len(), rows.shapes()), (7, &[vec![2, 3], vec![]][..]));
    assert!(rows.name(5).ends_with("second.h5, row 0"));
    let options = LoaderOptions { shuffle: true, threads: 2, ..LoaderOptions::new(7) };
    let mut loader = Loader::new(rows, options, Position::default()).unwrap();
    let mut orders = Vec::new();
    for _ in 0..12 {
        let batch = loader.next_batch().unwrap();
        let labels = batch.tops[1].iter().map(|&label| label as usize).collect::<Vec<_>>();
        let numbers = labels.iter().map(|label| if *label < 20 { label - 10 } else { label - 15 });
        assert_eq!(numbers.collect::<Vec<_>>(), batch.samples);
        // One file after the other.
        assert_eq!(
            labels.windows(2).filter(|pair| (pair[0] < 20) != (pair[1] < 20)).count(),
            1,
            "{labels:?}"
        );
        orders.push(labels);
    }
    assert!(orders.iter().any(|order| order[0] < 20) && orders.iter().any(|order| order[0] >= 20));

    let error = Hdf5Rows::open(base.join("h5.txt"), &["pixels".to_owned()], &base).unwrap_err().to_string();
    assert!(
        error.ends_with(
            "first.h5: no dataset is called `pixels`, as the layer's top is; there are: data, label"
        ),
        "{error}"
    );
}

#[test]
fn values_in_memory() {
    let images = MemoryImages::new([1, 1, 2], vec![1.0, 2.0, 3.0, 4.0], vec![5, 6]).unwrap();
    let sample = images.read(1).unwrap();
    let Picture::Values { shape, values } = sample.picture else { panic!() };
    assert_eq!((shape, &values[..], sample.label), ([1, 1, 2], &[3.0, 4.0][..], 6));
    let error = MemoryImages::new([1, 1, 2], vec![1.0], vec![5, 6]).unwrap_err().to_string();
    assert_eq!(error, "values in memory: 2 labels of images of 1×1×2 for 1 values");
}

#[test]
fn layers_that_cannot_be_served_say_why() {
    let base = tempfile::tempdir().unwrap();
    let refused = |prototxt: &str| {
        DataLayer::open(&layer(prototxt), Phase::Train, base.path()).err().unwrap().to_string()
    };
    let level = r#"layer { name: "d" type: "Data" top: "data" data_param { source: "db" batch_size: 2 } }"#;
    let error = refused(level);
    assert!(error.starts_with("layer `d` (Data): db is a LevelDB, which is not read"), "{error}");
    assert!(error.contains("convert_imageset"), "{error}");
    fs::create_dir(base.path().join("db")).unwrap();
    fs::write(base.path().join("db/data.mdb"), "").unwrap();
    assert!(refused(level).ends_with("write `backend: LMDB`"));
    let data = |param: &str| {
        refused(&format!(
            r#"layer {{ name: "d" type: "Data" top: "data" data_param {{ source: "db" backend: LMDB {param} }} }}"#
        ))
    };
    assert_eq!(data(""), "layer `d` (Data): `batch_size` is missing");
    assert!(data("batch_size: 1").ends_with("data.mdb: this is no LMDB: the file is too short"));
    let memory = r#"layer { name: "m" type: "MemoryData" top: "data" top: "label"
        memory_data_param { batch_size: 1 channels: 1 height: 1 width: 1 } }"#;
    assert!(refused(memory).starts_with("layer `m` (MemoryData): its values come from the program"));
    let relu = r#"layer { name: "r" type: "ReLU" bottom: "a" top: "a" }"#;
    assert_eq!(
        refused(relu),
        "layer `r` (ReLU): this layer reads no data: expected Data, ImageData or HDF5Data"
    );
}

#[test]
fn a_list_with_broken_images_goes_on() {
    let base = tempfile::tempdir().unwrap();
    let images = Path::new(FOLDER).join("classify");
    fs::write(base.path().join("broken.png"), &fs::read(images.join("scene.png")).unwrap()[..900]).unwrap();
    for name in ["scene.png", "grey.png"] {
        fs::copy(images.join(name), base.path().join(name)).unwrap();
    }
    fs::write(
        base.path().join("list.txt"),
        "gone.png 0\nscene.png 1\nbroken.png 2\ngrey.png 3\nlist.txt 4\n",
    )
    .unwrap();
    let layer = layer(
        r#"layer { name: "d" type: "ImageData" top: "data" top: "label" include { phase: TRAIN }
        transform_param { crop_size: 20 mirror: true }
        image_data_param { source: "list.txt" batch_size: 5 new_height: 24 new_width: 24 rand_skip: 3 } }"#,
    );
    let data = DataLayer::open(&layer, Phase::Train, base.path()).unwrap();
    assert_eq!(data.feed.shapes(), [vec![3, 20, 20], vec![]]);
    assert!((0..20).all(|seed| data.start(seed).index < 3));
    let mut loader = Loader::new(data.feed.clone(), data.options(1), Position::default()).unwrap();
    let batch = loader.next_batch().unwrap();
    assert_eq!(
        (&batch.samples[..], &batch.tops[1][..]),
        (&[1, 1, 3, 3, 1][..], &[1.0, 1.0, 3.0, 3.0, 1.0][..])
    );
    let broken = loader.broken().iter().map(|broken| broken.name.rsplit_once('/').unwrap().1);
    assert_eq!(broken.collect::<Vec<_>>(), ["gone.png", "broken.png", "list.txt"]);
    assert!(loader.broken()[2].what.contains("expected a JPEG or PNG image"));
}

fn layer(prototxt: &str) -> Layer {
    let prototxt = Storage::from_vec("case", prototxt.as_bytes().to_vec());
    let (definition, _) = text::parse_net(&prototxt, text::Options::default()).unwrap();
    Net::unfiltered(&definition).unwrap().layers.remove(0)
}
