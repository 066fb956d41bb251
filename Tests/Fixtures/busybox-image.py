#!/usr/bin/env python3
"""busybox-image.py LAYOUT [BUSYBOX]

Makes the image "busybox", tag latest, as an OCI layout in the new folder LAYOUT, out of Debian's busybox-static.

Like the well-known image it has no /proc, no /sys and no /etc/hosts. Beside root it knows the users daemon (1:1),
app (1000:2000, also in group extra, 3000; home /home/app) and nobody. The bytes depend on nothing but the program.
"""

import gzip
import hashlib
import io
import json
import os
import platform
import subprocess
import sys
import tarfile

TIME = 1767225600  # 2026-01-01T00:00:00Z, of every file and of the image
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

DIRECTORIES = [  # path, mode, uid, gid
    ("bin", 0o755, 0, 0), ("dev", 0o755, 0, 0), ("etc", 0o755, 0, 0), ("home", 0o755, 0, 0),
    ("home/app", 0o755, 1000, 2000), ("root", 0o700, 0, 0), ("tmp", 0o1777, 0, 0), ("usr", 0o755, 0, 0),
    ("usr/bin", 0o755, 0, 0), ("usr/sbin", 0o755, 0, 0), ("var", 0o755, 0, 0), ("var/tmp", 0o1777, 0, 0),
]
FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n"
    "daemon:x:1:1:daemon:/usr/sbin:/bin/false\n"
    "app:x:1000:2000:an application:/home/app:/bin/sh\n"
    "nobody:x:65534:65534:nobody:/home:/bin/false\n",
    "etc/group": "root:x:0:\ndaemon:x:1:\nusers:x:100:\napp:x:2000:\nextra:x:3000:app\nnobody:x:65534:\n",
    "etc/issue": "busybox\n",
}
LINKS = {"usr/bin/env": "../../bin/busybox"}


def root_file_system(busybox):
    applets = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True).stdout.split()
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.PAX_FORMAT) as tar:

        def add(name, kind, mode, uid=0, gid=0, target="", data=b""):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode, entry.uid, entry.gid = kind, mode, uid, gid
            entry.mtime, entry.linkname, entry.size = TIME, target, len(data)
            tar.addfile(entry, io.BytesIO(data))

        for path, mode, uid, gid in DIRECTORIES:
            add(path, tarfile.DIRTYPE, mode, uid, gid)
        with open(busybox, "rb") as program:
            add("bin/busybox", tarfile.REGTYPE, 0o755, data=program.read())
        for applet in sorted(set(applets) - {"busybox"}):
            add("bin/" + applet, tarfile.LNKTYPE, 0o755, target="bin/busybox")
        for path, text in sorted(FILES.items()):
            add(path, tarfile.REGTYPE, 0o644, data=text.encode())
        for path, target in sorted(LINKS.items()):
            add(path, tarfile.SYMTYPE, 0o777, target=target)
    return archive.getvalue()


def make_layout(layout, busybox):
    os.makedirs(os.path.join(layout, "blobs", "sha256"))

    def write(data, kind):
        hexadecimal = hashlib.sha256(data).hexdigest()
        with open(os.path.join(layout, "blobs", "sha256", hexadecimal), "wb") as blob:
            blob.write(data)
        return {"mediaType": "application/vnd.oci.image." + kind, "digest": "sha256:" + hexadecimal, "size": len(data)}

    def document(value):
        return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()

    tar = root_file_system(busybox)
    layer = write(gzip.compress(tar, 6, mtime=0), "layer.v1.tar+gzip")
    config = write(document({
        "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "created": "2026-01-01T00:00:00Z",
        "config": {"Cmd": ["sh"], "Env": ["PATH=" + PATH]},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(tar).hexdigest()]},
        "history": [{"created": "2026-01-01T00:00:00Z", "created_by": "busybox-static"}],
    }), "config.v1+json")
    manifest = write(document({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config, "layers": [layer],
    }), "manifest.v1+json")
    manifest["annotations"] = {"org.opencontainers.image.ref.name": "latest"}
    for name, value in {"index.json": {"schemaVersion": 2, "manifests": [manifest]},
                        "oci-layout": {"imageLayoutVersion": "1.0.0"}}.items():
        with open(os.path.join(layout, name), "wb") as file:
            file.write(document(value))


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    make_layout(sys.argv[1], sys.argv[2] if len(sys.argv) == 3 else "/bin/busybox")
