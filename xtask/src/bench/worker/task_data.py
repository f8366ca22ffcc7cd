"""Pictures of emoji in nine classes, as folders of PNGs: usage FOLDER TARBALL...

From the npm packages emoji-datasource-google and -twitter (64x64, by category). Every second emoji is for training, the others,
which no other drawing of the same is trained on, for validation. On white, at 224x224. Beside each folder,
NAME.npz holds the same as bytes, blue, green, red (N x 3 x 224 x 224), with the labels.
"""
import io
import json
import os
import sys
import tarfile

import cv2
import numpy as np

PER_CLASS = 80

folder = sys.argv[1]
for tarball in sys.argv[2:]:
    vendor = os.path.basename(tarball).split("-")[2]
    with tarfile.open(tarball) as archive:
        emoji = json.load(io.TextIOWrapper(archive.extractfile("package/emoji.json"), "utf-8"))
        counts = {}
        for one in sorted(emoji, key=lambda one: one["sort_order"]):
            category = one["category"].split(" & ")[0].lower()
            count = counts.get(category, 0)
            if category == "component" or count == PER_CLASS or not one["has_img_" + vendor]:
                continue
            counts[category] = count + 1
            data = archive.extractfile("package/img/%s/64/%s" % (vendor, one["image"])).read()
            image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED).astype(np.float32)
            alpha = image[:, :, 3:] / 255
            image = cv2.resize(image[:, :, :3] * alpha + 255 * (1 - alpha), (224, 224), interpolation=cv2.INTER_LINEAR)
            place = os.path.join(folder, "val" if count % 2 else "train", category)
            os.makedirs(place, exist_ok=True)
            cv2.imwrite(os.path.join(place, "%s_%s" % (vendor, one["image"])), image.round().astype(np.uint8))
for part in ["train", "val"]:
    images, labels = [], []
    for label, name in enumerate(sorted(os.listdir(os.path.join(folder, part)))):
        for file in sorted(os.listdir(os.path.join(folder, part, name))):
            images.append(cv2.imread(os.path.join(folder, part, name, file)).transpose(2, 0, 1))
            labels.append(label)
    np.savez(os.path.join(folder, part + ".npz"), images=np.stack(images), labels=np.array(labels))
    print(part, len(labels))
