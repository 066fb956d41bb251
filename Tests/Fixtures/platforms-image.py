#!/usr/bin/env python3
"""platforms-image.py SOURCE LAYOUT ARCHITECTURE[/VARIANT]...

Makes the OCI layout LAYOUT out of the layout SOURCE: an index, tag latest, with one image for each architecture. Each has
SOURCE's layers and a config of its own, with the platform in it and in the variable BUILT_FOR.
"""

import hashlib
import json
import os
import shutil
import sys

source, layout, platforms = sys.argv[1], sys.argv[2], sys.argv[3:]
shutil.copytree(source, layout)


def read(descriptor):
    with open(os.path.join(layout, "blobs", *descriptor["digest"].split(":")), encoding="utf-8") as blob:
        return json.load(blob)


def write(value, kind):
    data = json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    hexadecimal = hashlib.sha256(data).hexdigest()
    with open(os.path.join(layout, "blobs", "sha256", hexadecimal), "wb") as blob:
        blob.write(data)
    return {"mediaType": "application/vnd.oci.image." + kind, "digest": "sha256:" + hexadecimal, "size": len(data)}


with open(os.path.join(layout, "index.json"), encoding="utf-8") as file:
    manifest = read(json.load(file)["manifests"][0])
manifests = []
for written in platforms:
    architecture, _, variant = written.partition("/")
    platform = {"os": "linux", "architecture": architecture} | ({"variant": variant} if variant else {})
    config = read(manifest["config"]) | platform
    config["config"] = config["config"] | {"Env": config["config"]["Env"] + ["BUILT_FOR=" + written]}
    image = write(manifest | {"config": write(config, "config.v1+json")}, "manifest.v1+json")
    manifests.append(image | {"platform": platform})
index = write({
    "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": manifests,
}, "index.v1+json")
index["annotations"] = {"org.opencontainers.image.ref.name": "latest"}
with open(os.path.join(layout, "index.json"), "w", encoding="utf-8") as file:
    json.dump({"schemaVersion": 2, "manifests": [index]}, file)
