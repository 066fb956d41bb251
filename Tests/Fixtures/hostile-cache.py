#!/usr/bin/env python3
"""hostile-cache.py FOLDER KIND

Changes a cache of imgbuild that skopeo has copied to FOLDER ("dir:FOLDER"): the layer of its one cache mount becomes one that no
build has made, with digests that are right. KIND is what is in it:

device     a device node
escape     a file above the root
link       a symlink to / and a file behind it
whiteout   a deletion
large      more bytes than the record says
other      other files than the record's diffID says
"""

import gzip
import hashlib
import io
import json
import pathlib
import sys
import tarfile

folder, kind = pathlib.Path(sys.argv[1]), sys.argv[2]


def put(data):
    digest = hashlib.sha256(data).hexdigest()
    (folder / digest).write_bytes(data)
    return {"digest": f"sha256:{digest}", "size": len(data)}


def entry(name, type=tarfile.REGTYPE, data=b"", **more):
    info = tarfile.TarInfo(name)
    info.type, info.size = type, len(data)
    for key, value in more.items():
        setattr(info, key, value)
    return info, data


entries = {
    "device": [entry("null", tarfile.CHRTYPE, devmajor=1, devminor=3)],
    "escape": [entry("../../escaped", data=b"x")],
    "link": [entry("a", tarfile.SYMTYPE, linkname="/"), entry("a/escaped", data=b"x")],
    "whiteout": [entry(".wh.f")],
    "large": [entry("f", data=b"x" * 100_000)],
    "other": [entry("f", data=b"other")],
}[kind]
tar = io.BytesIO()
with tarfile.open(fileobj=tar, mode="w", format=tarfile.PAX_FORMAT) as archive:
    for info, data in entries:
        archive.addfile(info, io.BytesIO(data))

manifest = json.loads((folder / "manifest.json").read_text())
config = json.loads((folder / manifest["config"]["digest"].removeprefix("sha256:")).read_text())
(mount,) = config["mounts"]
old = mount["layer"]["descriptor"]
layer = {"mediaType": old["mediaType"], **put(gzip.compress(tar.getvalue()))}
manifest["layers"] = [layer if item["digest"] == old["digest"] else item for item in manifest["layers"]]
mount["layer"]["descriptor"] = layer
if kind != "other":
    mount["layer"]["diffID"] = "sha256:" + hashlib.sha256(tar.getvalue()).hexdigest()
manifest["config"].update(put(json.dumps(config).encode()))
(folder / "manifest.json").write_text(json.dumps(manifest))
