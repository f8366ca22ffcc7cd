"""Writes the golden HDF5 files: python hdf5.py FOLDER

h5py 3.11.0 (HDF5 1.14.2) wrote all but hdf5_2.h5, which h5py 3.16.0 (HDF5 2.0.0) wrote; each writes its own.
They are kept gzipped: HDF5 files are mostly zeros.
Unless its name says otherwise, a dataset of numbers holds 0, 1, ... 99, 0, 1, ... in C order.
"""

import gzip
import os
import sys

import h5py
import numpy as np

TYPES = ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"]


def count(shape, dtype="<f4"):
    return (np.arange(int(np.prod(shape))) % 100).reshape(shape).astype(dtype)


def low_level(group, name, data, layout=None, early=False, chunk=None):
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    if layout is not None:
        plist.set_layout(layout)
    if chunk is not None:
        plist.set_chunk(chunk)
    if early:
        plist.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    space = h5py.h5s.create_simple(data.shape)
    dataset = h5py.h5d.create(group.id, name.encode(), h5py.h5t.py_create(data.dtype), space, plist)
    dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, data)


def objects(f):
    for dtype in TYPES:
        for order in "<>":
            f[f"types/{'big' if order == '>' else 'little'}_{dtype}"] = count((2, 3), order + dtype)
    f["scalar"] = np.float32(0)
    f["scalar_int"] = np.int64(0)
    f["empty"] = h5py.Empty("f")
    f["no_values"] = np.zeros((0, 3), "f4")
    f["bool"] = np.array([False, True])
    f["text/variable"] = "net.caffemodel"
    f["text/variables"] = np.array(["a", "", "dreiß\u00edg", "x" * 40], dtype=h5py.string_dtype())
    f["text/fixed"] = np.bytes_(b"net.caffemodel")
    f["text/fixeds"] = np.array([b"a", b"", b"ccc"])
    low_level(f, "compact", count((4, 2)), layout=h5py.h5d.COMPACT)
    f.create_dataset("unwritten_7", (5,), "<f4", fillvalue=7)
    f.create_dataset("unwritten_big_7", (5,), ">f4", fillvalue=7)
    f["other_compound"] = np.zeros(2, [("a", "f4"), ("b", "i4")])
    f["layers/conv1/W"] = count((2, 1, 3, 3))
    f["layers/conv1/again"] = f["layers/conv1/W"]
    f.create_group("layers/relu1")
    f["layers/soft"] = h5py.SoftLink("/layers/conv1/W")
    f["layers/external"] = h5py.ExternalLink("other.h5", "/x")
    f["named_type"] = np.dtype("<f4")
    f.create_dataset("of_named_type", data=count((3,)), dtype=f["named_type"])
    for i in range(20):
        f[f"many/layer_{i}"] = f["scalar"]
    f["scalar"].attrs["note"] = "an attribute"


def chunks(f):
    every = dict(compression=4, shuffle=True, fletcher32=True)
    f.create_dataset("plain", data=count((7, 5)), chunks=(3, 2))
    f.create_dataset("deflate", data=count((7, 5)), chunks=(3, 2), compression=4)
    f.create_dataset("every_filter", data=count((7, 5, 3)), chunks=(3, 2, 3), **every)
    f.create_dataset("every_filter_big", data=count((7, 5), ">f8"), chunks=(3, 2), **every)
    f.create_dataset("shuffle", data=count((10,), "<i4"), chunks=(4,), shuffle=True)
    f.create_dataset("fletcher32", data=count((9,), "<u1"), chunks=(3,), fletcher32=True)
    f.create_dataset("one_chunk", data=count((4, 4)), chunks=(4, 4))
    f.create_dataset("one_chunk_deflate", data=count((4, 4)), chunks=(4, 4), compression=9)
    f.create_dataset("auto", data=count((3, 4, 5)), compression=4)
    f.create_dataset("unwritten_7", (5, 5), "<f4", chunks=(2, 2), fillvalue=7, compression=4)
    f.create_dataset("other_lzf", data=count((7, 5)), chunks=(3, 2), compression="lzf")
    low_level(f, "early", count((5, 3)), early=True, chunk=(2, 2))
    f.create_dataset("fixed_larger", data=count((5, 3)), chunks=(2, 2), maxshape=(9, 11))
    f.create_dataset("endless", data=count((300,), "<i2"), chunks=(1,), maxshape=(None,))
    f.create_dataset("endless_deflate", data=count((7, 9)), chunks=(3, 2), maxshape=(7, None), compression=4)
    f.create_dataset("endless_second", data=count((2, 9, 5)), chunks=(1, 2, 3), maxshape=(4, None, 5))
    f.create_dataset("endless_twice", data=count((10, 12), "<i1"), chunks=(1, 1), maxshape=(None, None))
    f.create_dataset("endless_twice_deflate", data=count((9, 7)), chunks=(2, 3), maxshape=(None, None), **every)
    shrunk = f.create_dataset("shrunk", data=count((9, 4)), chunks=(2, 2), maxshape=(None, None))
    shrunk.resize((5, 4))


def write(folder, name, make, **options):
    path = os.path.join(folder, name)
    with h5py.File(path, "w", **options) as f:
        make(f)
    with open(path, "rb") as f:
        data = f.read()
    os.remove(path)
    with open(path + ".gz", "wb") as f:
        f.write(gzip.compress(data, 9, mtime=0))


def many_chunks(f):
    f.create_dataset("pages", data=count((1100,), "<i1"), chunks=(1,))


def endless_pages(f):
    """Enough chunks for an extensible array to divide its data blocks into pages; only the last ten are written."""
    dataset = f.create_dataset("last_10", (133200,), "<i1", chunks=(1,), maxshape=(None,))
    dataset[-10:] = np.arange(1, 11)


def dense(f):
    f["x"] = count((3,))
    group = f.create_group("dense", track_order=True)
    for i in range(300):
        group[f"layer_{i:04}"] = f["x"]
    few = f.create_group("few", track_order=True)
    for name in ["b", "a", "c"]:
        few[name] = f["x"]


def cycle(f):
    f.create_group("a/b")
    f["a/b/c"] = f["a"]


def doubling(f):
    """One dataset with 2^24 paths."""
    below = f.create_group("level_24")
    below["x"] = np.float32(0)
    for level in reversed(range(24)):
        group = f.create_group(f"level_{level}")
        group["a"] = below
        group["b"] = below
        below = group


def deep(f):
    f.create_group("/".join(["g"] * 300))


def main(folder):
    if h5py.version.hdf5_version_tuple >= (2,):
        write(folder, "hdf5_2.h5", lambda f: (objects(f.create_group("objects")), chunks(f)), libver="latest")
        return
    write(folder, "classic.h5", objects)
    write(folder, "latest.h5", objects, libver="latest")
    write(folder, "chunks_classic.h5", chunks)
    write(folder, "chunks_latest.h5", chunks, libver="latest")
    write(folder, "pages.h5", many_chunks, libver="latest")
    write(folder, "endless_pages.h5", endless_pages, libver="latest")
    write(folder, "dense.h5", dense, libver="latest")
    write(folder, "order.h5", dense, track_order=True)
    write(folder, "cycle.h5", cycle)
    write(folder, "doubling.h5", doubling)
    write(folder, "deep.h5", deep, libver="latest")
    write(folder, "user_block.h5", lambda f: f.create_dataset("x", data=count((3,))), userblock_size=512)


main(sys.argv[1])
