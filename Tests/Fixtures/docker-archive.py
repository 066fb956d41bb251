#!/usr/bin/env python3
"""docker-archive.py LAYOUT TAG OUT

Writes two images of one layer as docker up to version 24 saves them, from the one-layer image TAG of the OCI layout LAYOUT: layers are
plain tars, and the second image's is a link to the first's. The image "first" has the names app:1 and registry.example.com/team/app:2,
the image "second" the name other:1.
"""

import gzip
import hashlib
import io
import json
import os
import sys
import tarfile

layout, tag, out = sys.argv[1:]


def blob(descriptor):
    with open(os.path.join(layout, "blobs", descriptor["digest"].replace(":", "/")), "rb") as file:
        return file.read()


with open(os.path.join(layout, "index.json"), encoding="utf-8") as file:
    index = json.load(file)
(manifest,) = [
    json.loads(blob(m))
    for m in index["manifests"]
    if m.get("annotations", {}).get("org.opencontainers.image.ref.name") == tag
]
config = json.loads(blob(manifest["config"]))
(layer,) = [gzip.decompress(blob(descriptor)) for descriptor in manifest["layers"]]

archive = tarfile.open(out, "w")


def add(name, data):
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    archive.addfile(entry, io.BytesIO(data))


images = []
for folder, names in [("first", ["app:1", "registry.example.com/team/app:2"]), ("second", ["other:1"])]:
    config["config"]["Labels"] = {"image": folder}
    document = json.dumps(config).encode()
    name = hashlib.sha256(document).hexdigest() + ".json"
    add(name, document)
    if folder == "first":
        add("first/layer.tar", layer)
    else:
        link = tarfile.TarInfo("second/layer.tar")
        link.type = tarfile.SYMTYPE
        link.linkname = "../first/layer.tar"
        archive.addfile(link)
    images.append({"Config": name, "RepoTags": names, "Layers": [f"{folder}/layer.tar"]})
add("manifest.json", json.dumps(images).encode())
archive.close()
