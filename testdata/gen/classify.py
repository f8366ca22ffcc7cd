"""What pycaffe's Classifier says of small images: testdata/classify.

Needs: CPython 3.8 with kendryte-caffe 1.0.0.20210829, protobuf 3.20.3, numpy < 1.24, scikit-image 0.21, pillow (any).
Run:   PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION=python python3.8 classify.py [OUT_FOLDER]    (default: ../classify next to this script)

Reads ../fashion. Written to OUT_FOLDER, a few kilobytes each, from fixed seeds:

    *.png, *.jpg                    the images
    boot.png                        the first test image of Fashion-MNIST, from ../fashion
    *.decoded.png                   the JPEGs' pixels as libjpeg has them
    colors.prototxt, .caffemodel    a net of 3x32x32 inputs and random weights, for colours
    colors_mean.binaryproto, .npy   mean images: 1x3x32x32 (legacy form), 3x40x44
    fashion_labels.txt              the names of Fashion-MNIST's classes
    shades_mean.npy                 one value a channel, for the grey net
    classify.json                   the cases: the command line's options, and for each image the score of every class

Two things of pycaffe are set aside. skimage.io.imread, which caffe.io.load_image calls with an argument that it has no
longer, is replaced: pillow reads the file, skimage brings it to [0, 1] and to grey. And caffe.io.resize_image, which
leaves skimage's `anti_aliasing` to skimage, whose default has changed over the years, is given anti_aliasing=False.
"""
import functools
import gzip
import json
import os
import shutil
import sys
import tempfile

os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ.setdefault("GLOG_minloglevel", "2")
os.environ.setdefault("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", "python")

import caffe  # noqa: E402
import numpy as np  # noqa: E402
import PIL.Image  # noqa: E402
import skimage.color  # noqa: E402
from caffe.proto import caffe_pb2  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
FASHION = os.path.join(HERE, "..", "fashion")

COLORS = """name: "Colors"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 32 dim: 32 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 8 kernel_size: 5 stride: 3
  weight_filler { type: "gaussian" std: 0.003 } bias_filler { type: "gaussian" std: 0.5 } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "fc" type: "InnerProduct" bottom: "conv" top: "fc" inner_product_param { num_output: 6
  weight_filler { type: "gaussian" std: 0.012 } bias_filler { type: "gaussian" std: 0.5 } } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""

LABELS = ["T-shirt or top", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"]

caffe.io.resize = functools.partial(caffe.io.resize, anti_aliasing=False)


def load(path, color):
    image = PIL.Image.open(path)
    pixels = np.asarray(image.convert("RGBA" if image.mode == "P" else image.mode))
    pixels = pixels / (65535.0 if pixels.dtype == np.int32 or pixels.dtype == np.uint16 else 255.0)
    if pixels.ndim == 2:
        pixels = pixels[:, :, np.newaxis]
        pixels = np.tile(pixels, (1, 1, 3)) if color else pixels
    else:
        pixels = pixels[:, :, :3]
        pixels = pixels if color else skimage.color.rgb2gray(pixels)[:, :, np.newaxis]
    return pixels.astype(np.float32)


def scene(height, width, seed):
    """Smooth colours, two discs and a little noise."""
    random = np.random.RandomState(seed)
    y, x = np.mgrid[0:height, 0:width].astype(float)
    planes = []
    for _ in range(3):
        a, b, c = random.uniform(-1, 1, 3)
        planes.append(128 + 90 * np.sin(2 * np.pi * (a * x / width + b * y / height + c)))
    image = np.stack(planes, -1)
    for _ in range(2):
        inside = (x - random.uniform(0, width)) ** 2 + (y - random.uniform(0, height)) ** 2 < (min(height, width) / 4) ** 2
        image[inside] = random.uniform(0, 255, 3)
    return np.clip(image + random.normal(0, 4, image.shape), 0, 255).astype(np.uint8)


def images(folder):
    def save(array, name, mode=None, **options):
        PIL.Image.fromarray(array, mode).save(os.path.join(folder, name), **options)

    save(scene(48, 60, 1), "scene.png")
    save(scene(20, 24, 2), "small.png")
    save(scene(57, 41, 3), "photo.jpg", quality=90)
    save(scene(64, 64, 4), "photo_444.jpg", quality=95, subsampling=0)
    save(scene(40, 40, 5)[:, :, 0], "grey.jpg", quality=92)
    save(scene(35, 50, 6)[:, :, 1], "grey.png")
    alpha = np.concatenate([scene(33, 34, 7), np.full((33, 34, 1), 77, np.uint8)], -1)
    save(alpha, "alpha.png")
    PIL.Image.fromarray(scene(36, 36, 8)).quantize(16).save(os.path.join(folder, "palette.png"))
    deep = scene(32, 40, 9)[:, :, 0].astype(np.uint16) * 257 + 31
    PIL.Image.fromarray(deep).save(os.path.join(folder, "deep.png"))
    with gzip.open(os.path.join(FASHION, "t10k-sample-images-idx3-ubyte.gz")) as file:
        save(np.frombuffer(file.read()[16 : 16 + 28 * 28], np.uint8).reshape(28, 28), "boot.png")
    with open(os.path.join(folder, "fashion_labels.txt"), "w") as file:
        file.write("\n".join(LABELS) + "\n")


def decoded(folder):
    for name in sorted(os.listdir(folder)):
        if name.endswith(".jpg"):
            PIL.Image.open(os.path.join(folder, name)).save(os.path.join(folder, name.replace(".jpg", ".decoded.png")))


def nets(folder):
    prototxt = os.path.join(folder, "colors.prototxt")
    with open(prototxt, "w") as file:
        file.write(COLORS)
    caffe.set_random_seed(17)
    net = caffe.Net(prototxt, caffe.TEST)
    net.save(os.path.join(folder, "colors.caffemodel"))
    random = np.random.RandomState(3)
    mean = np.linspace(90, 140, 3 * 32 * 32).reshape(3, 32, 32) + random.normal(0, 9, (3, 32, 32))
    blob = caffe_pb2.BlobProto(num=1, channels=3, height=32, width=32)
    blob.data.extend(mean.astype(np.float32).ravel().tolist())
    with open(os.path.join(folder, "colors_mean.binaryproto"), "wb") as file:
        file.write(blob.SerializeToString())
    larger = np.linspace(80, 150, 3 * 40 * 44).reshape(3, 40, 44) + random.normal(0, 9, (3, 40, 44))
    np.save(os.path.join(folder, "colors_mean.npy"), larger.astype(np.float32))
    np.save(os.path.join(folder, "shades_mean.npy"), np.array([72.5]))


# Options as the command line has them; what is left out is the command line's default.
PNG = ["scene.png", "small.png", "grey.png", "alpha.png", "palette.png", "deep.png"]
JPEG = ["photo.jpg", "photo_444.jpg", "grey.jpg"]
CASES = [
    {"net": "colors", "images": PNG},
    {"net": "colors", "images": JPEG},
    {"net": "colors", "images": PNG, "image-dims": [48, 41], "mean": "104,117,123"},
    {"net": "colors", "images": PNG, "image-dims": [45, 56], "mean": "104,117,123", "oversample": True},
    {"net": "colors", "images": JPEG, "image-dims": [40, 36], "mean": "104,117,123", "oversample": True},
    {"net": "colors", "images": PNG, "image-dims": [40, 40], "mean": "colors_mean.binaryproto"},
    {"net": "colors", "images": PNG, "image-dims": [40, 40], "mean": "colors_mean.npy", "oversample": True},
    {"net": "colors", "images": PNG, "image-dims": [33, 34], "channel-swap": "none", "raw-scale": 200.0},
    {"net": "colors", "images": PNG, "channel-swap": "1,2,0", "raw-scale": 1.0, "input-scale": 300.0, "mean": "0.4,0.5,0.6"},
    {"net": "fashion", "images": ["boot.png"] + PNG, "mean": "mean.binaryproto", "input-scale": 0.0078125},
    {"net": "fashion", "images": JPEG, "image-dims": [36, 33], "mean": "shades_mean.npy", "input-scale": 0.0078125, "oversample": True},
    {"net": "fashion", "images": PNG, "image-dims": [28, 40], "input-scale": 0.0078125, "oversample": True},
]


def mean_of(text, folder):
    if text is None:
        return None
    if text.endswith(".npy"):
        return np.load(os.path.join(folder, text))
    if text.endswith(".binaryproto"):
        blob = caffe_pb2.BlobProto()
        where = FASHION if text == "mean.binaryproto" else folder
        with open(os.path.join(where, text), "rb") as file:
            blob.ParseFromString(file.read())
        return caffe.io.blobproto_to_array(blob)[0]
    return np.array([float(number) for number in text.split(",")])


def classify(case, folder):
    color = case["net"] == "colors"
    if color:
        files = [os.path.join(folder, "colors" + ending) for ending in (".prototxt", ".caffemodel")]
    else:
        files = [os.path.join(FASHION, name) for name in ("deploy.prototxt", "fashion.caffemodel")]
    swap = case.get("channel-swap", "2,1,0" if color else "none")
    dims = case.get("image-dims")
    classifier = caffe.Classifier(
        files[0],
        files[1],
        image_dims=dims and np.array(dims).tolist(),
        mean=mean_of(case.get("mean"), folder),
        raw_scale=case.get("raw-scale", 255.0),
        input_scale=case.get("input-scale"),
        channel_swap=None if swap == "none" else [int(channel) for channel in swap.split(",")],
    )
    pixels = [load(os.path.join(folder, name), color) for name in case["images"]]
    scores = classifier.predict(pixels, oversample=case.get("oversample", False))
    return [[float(score) for score in row.ravel()] for row in scores]


def main():
    out = sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "..", "classify")
    with tempfile.TemporaryDirectory() as folder:
        images(folder)
        decoded(folder)
        nets(folder)
        cases = [dict(case, scores=classify(case, folder)) for case in CASES]
        lines = ",\n".join(json.dumps(case) for case in cases)
        with open(os.path.join(folder, "classify.json"), "w") as file:
            file.write("[\n%s\n]\n" % lines)
        os.makedirs(out, exist_ok=True)
        for name in os.listdir(folder):
            shutil.copy(os.path.join(folder, name), out)


if __name__ == "__main__":
    main()
