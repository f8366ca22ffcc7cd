"""What real Caffe's data layers make of small sources: testdata/data.

Needs: CPython 3.8 with kendryte-caffe 1.0.0.20210829, protobuf 3.20.3, numpy < 1.24, pillow 10.4, h5py 3.11, lmdb 1.4.1.
Run:   PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION=python python3.8 data.py [OUT_FOLDER]    (default: ../data next to this script)

Reads ../classify (images) and ../fashion (IDX). Written to OUT_FOLDER, from fixed seeds:

    *.mdb.gz             LMDBs, by the real library, gzipped: raw, encoded and float records; long ones on overflow pages; records
                         of several transactions with some deleted again
    deep.mdb.gz          1500 records with long keys, `%08d` and 200 dots: three levels of pages; the values are "value 0", …
    list.txt, names/     an ImageData list with spaces in paths
    turned.txt           another, of JPEGs with every orientation that Exif knows
    jpegs.txt            another, of ../classify's JPEGs
    *.h5, h5.txt         HDF5Data's files: two of different length, float32 chunked and int32, float64 contiguous
    *mean*.binaryproto   mean images
    cases.json           layer by layer: its prototxt, and where its batches are in batches.npz
    batches.npz          those batches: `<case>/<top>/<batch>`, float32

Every case is a data layer that real Caffe runs in the TEST phase (central crops, no chance). Paths in the prototxts are
relative to OUT_FOLDER; an LMDB is unpacked to <name>/data.mdb first.
"""
import gzip
import io
import json
import os
import shutil
import sys
import tempfile

os.environ.setdefault("GLOG_minloglevel", "2")
os.environ.setdefault("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", "python")

import caffe  # noqa: E402
import h5py  # noqa: E402
import lmdb  # noqa: E402
import numpy as np  # noqa: E402
import PIL.Image  # noqa: E402
from caffe.proto import caffe_pb2  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
CLASSIFY = os.path.join(HERE, "..", "classify")


def scene(random, height, width, channels):
    y, x = np.mgrid[0:height, 0:width].astype(float)
    planes = []
    for _ in range(channels):
        a, b, c = random.uniform(-1, 1, 3)
        planes.append(128 + 100 * np.sin(2 * np.pi * (a * x / width + b * y / height + c)))
    return np.clip(np.stack(planes, -1) + random.normal(0, 0.5, (height, width, channels)), 0, 255).astype(np.uint8)


def encoded(array, kind, **options):
    file = io.BytesIO()
    PIL.Image.fromarray(array if array.shape[2] == 3 else array[:, :, 0]).save(file, kind, **options)
    return file.getvalue()


def write_lmdb(name, transactions, out):
    """`transactions`: lists of (key, value), value None deletes."""
    folder = os.path.join(out, name)
    shutil.rmtree(folder, ignore_errors=True)
    environment = lmdb.open(folder, map_size=1 << 24)
    for records in transactions:
        with environment.begin(write=True) as transaction:
            for key, value in records:
                if value is None:
                    transaction.delete(key)
                else:
                    transaction.put(key, value)
    environment.close()
    os.remove(os.path.join(folder, "lock.mdb"))
    with open(os.path.join(folder, "data.mdb"), "rb") as file:
        data = file.read()
    with open(os.path.join(out, name + ".mdb.gz"), "wb") as file:
        with gzip.GzipFile("", "wb", 9, file, mtime=0) as packed:
            packed.write(data)


def databases(out):
    random = np.random.RandomState(5)

    def datum(array, label, **fields):
        channels_first = array.transpose(2, 0, 1)
        channels, height, width = channels_first.shape
        return caffe_pb2.Datum(channels=channels, height=height, width=width, label=label, **fields), channels_first

    def raw(array, label):
        message, values = datum(array, label)
        message.data = values.tobytes()
        return message.SerializeToString()

    def floats(array, label):
        message, values = datum(array, label)
        message.float_data.extend((values / 7.0 - 3).astype(np.float32).ravel().tolist())
        return message.SerializeToString()

    def key(number):
        return b"%08d_image.png" % number

    # Three channels of 26x30 bytes take a page of their own; one of 12x10 lies in a leaf.
    records = [(key(i), raw(scene(random, 26, 30, 3), i * 3 % 7)) for i in range(6)]
    write_lmdb("raw", [records[::-1]], out)
    small = [(key(i), raw(scene(random, 12, 10, 1), i % 4)) for i in range(70)]
    gone = [(key(i), None) for i in range(0, 60, 3)]
    again = [(key(i), raw(scene(random, 12, 10, 1), 5)) for i in range(0, 12, 6)]
    write_lmdb("grey", [small, gone, again], out)
    # Longer than a page.
    write_lmdb("float", [[(key(i), floats(scene(random, 20, 27, 2), i)) for i in range(3)]], out)
    png = [scene(random, 21, 24, 3) for _ in range(4)]
    values = [(key(i), caffe_pb2.Datum(data=encoded(image, "PNG"), label=i, encoded=True).SerializeToString()) for i, image in enumerate(png)]
    write_lmdb("png", [values], out)
    # No chroma subsampling: decoders agree to a level there.
    jpeg = [scene(random, 21, 24, 3) for _ in range(3)]
    values = [
        (key(i), caffe_pb2.Datum(data=encoded(image, "JPEG", quality=95, subsampling=0), label=i, encoded=True).SerializeToString())
        for i, image in enumerate(jpeg)
    ]
    write_lmdb("jpeg", [values], out)
    write_lmdb("deep", [[(b"%08d" % i + b"." * 200, b"value %d" % i) for i in range(1500)]], out)


def means(out):
    random = np.random.RandomState(6)
    for name, shape in [("raw_mean", (3, 26, 30)), ("grey_mean", (1, 12, 10)), ("list_mean", (3, 20, 22))]:
        blob = caffe_pb2.BlobProto(num=1, channels=shape[0], height=shape[1], width=shape[2])
        blob.data.extend(random.uniform(90, 140, shape).astype(np.float32).ravel().tolist())
        with open(os.path.join(out, name + ".binaryproto"), "wb") as file:
            file.write(blob.SerializeToString())


def lists(out):
    folder = os.path.join(out, "names")
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    images = [("boot.png", "a boot.png"), ("scene.png", "scene.png"), ("grey.png", "grey.png"), ("palette.png", "in palette.png"), ("deep.png", "deep.png")]
    for source, name in images:
        shutil.copy(os.path.join(CLASSIFY, source), os.path.join(folder, name))
    with open(os.path.join(out, "list.txt"), "w") as file:
        for label, (_, name) in enumerate(images):
            file.write("%s %d\n" % (name, 10 - label))
    # As a camera notes how it was held.
    turned = scene(np.random.RandomState(8), 16, 24, 1)[:, :, 0]
    with open(os.path.join(out, "turned.txt"), "w") as file:
        for orientation in range(1, 9):
            exif = PIL.Image.Exif()
            exif[0x112] = orientation
            PIL.Image.fromarray(turned).save(os.path.join(folder, "turned %d.jpg" % orientation), exif=exif, quality=90)
            file.write("turned %d.jpg %d\n" % (orientation, orientation))
    with open(os.path.join(out, "jpegs.txt"), "w") as file:
        file.write("photo.jpg 1\nphoto_444.jpg 2\ngrey.jpg 3\n")


def hdf5(out):
    random = np.random.RandomState(7)
    with h5py.File(os.path.join(out, "first.h5"), "w") as file:
        file.create_dataset("data", data=random.normal(0, 1, (5, 2, 3)).astype(np.float32), chunks=(2, 2, 3), compression="gzip")
        file["label"] = np.arange(5, dtype=np.int32) + 10
    with h5py.File(os.path.join(out, "second.h5"), "w") as file:
        file["data"] = random.normal(0, 1, (2, 2, 3))
        file["label"] = np.arange(2, dtype=np.float32) + 20
    with open(os.path.join(out, "h5.txt"), "w") as file:
        file.write("first.h5\nsecond.h5\n")


def data(source, batch, transform="", more=""):
    return 'layer { name: "d" type: "Data" top: "data" top: "label" data_param { source: "%s" backend: LMDB batch_size: %d %s } transform_param { %s } }' % (source, batch, more, transform)


def image_data(batch, param, transform="", source="list.txt", root="names/"):
    return 'layer { name: "d" type: "ImageData" top: "data" top: "label" image_data_param { source: "%s" root_folder: "%s" batch_size: %d %s } transform_param { %s } }' % (source, root, batch, param, transform)


CASES = [
    ("raw", data("raw", 4), 2),
    ("raw_crop", data("raw", 4, "crop_size: 13 scale: 0.25 mean_value: 104 mean_value: 117 mean_value: 123.5"), 1),
    ("raw_mean", data("raw", 3, 'crop_size: 20 scale: 0.0078125 mean_file: "raw_mean.binaryproto"'), 2),
    ("grey", data("grey", 16, 'mean_file: "grey_mean.binaryproto"'), 4),
    ("grey_value", data("grey", 5, "mean_value: 77 scale: 0.3 crop_size: 9"), 1),
    ("float", data("float", 2, "scale: 3 mean_value: 0.1"), 3),
    ("png", data("png", 3, "crop_size: 20"), 1),
    ("png_grey", data("png", 2, "force_gray: true"), 1),
    ("png_ignored", data("png", 1, "", "force_encoded_color: true"), 1),
    ("jpeg", data("jpeg", 3, "mean_value: 100"), 1),
    ("jpeg_grey", data("jpeg", 3, "force_gray: true"), 1),
    ("list", image_data(3, "new_height: 20 new_width: 22", 'mean_file: "list_mean.binaryproto"'), 2),
    ("list_crop", image_data(5, "new_height: 35 new_width: 31", "crop_size: 24 scale: 0.5 mean_value: 10"), 1),
    ("list_larger", image_data(2, "new_height: 53 new_width: 65"), 1),
    ("list_grey", image_data(5, "new_height: 17 new_width: 40 is_color: false"), 1),
    ("list_half", image_data(1, "new_height: 14 new_width: 14"), 1),
    ("list_jpeg", image_data(3, "new_height: 40 new_width: 40", "", "jpegs.txt", "../classify/"), 1),
    ("turned", image_data(8, "new_height: 24 new_width: 24 is_color: false", "", "turned.txt"), 1),
    ("h5", 'layer { name: "d" type: "HDF5Data" top: "data" top: "label" hdf5_data_param { source: "h5.txt" batch_size: 3 } }', 5),
]


def main():
    out = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "..", "data"))
    os.makedirs(out, exist_ok=True)
    os.chdir(out)
    databases(out)
    means(out)
    lists(out)
    hdf5(out)
    cases, batches = [], {}
    for name, layer, count in CASES:
        with tempfile.NamedTemporaryFile("w", suffix=".prototxt") as file:
            file.write(layer)
            file.flush()
            net = caffe.Net(file.name, caffe.TEST)
        for batch in range(count):
            net.forward()
            for top in net.blobs:
                values = net.blobs[top].data
                whole = np.array_equal(values, values.round()) and values.min() >= 0 and values.max() <= 255
                batches["%s/%s/%d" % (name, top, batch)] = values.astype(np.uint8 if whole else np.float32)
        cases.append({"name": name, "layer": layer, "batches": count})
        del net
    np.savez_compressed("batches.npz", **batches)
    # The time of writing is left out, so that the same values are the same bytes.
    repack("batches.npz")
    with open("cases.json", "w") as file:
        json.dump(cases, file, indent=1)
        file.write("\n")
    for name in ["raw", "grey", "float", "png", "jpeg", "deep"]:
        shutil.rmtree(name)


def repack(path):
    import zipfile

    with zipfile.ZipFile(path) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED)


if __name__ == "__main__":
    main()
