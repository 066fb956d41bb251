"""What every build needs: a folder in memory, a registry on this machine, and base images in it."""

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def run(*arguments, **options):
    """Runs a program that must succeed, quietly."""
    result = subprocess.run([str(argument) for argument in arguments], capture_output=True, check=False, **options)
    if result.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, arguments))}\n{result.stderr.decode(errors='replace')}")
    return result.stdout


@contextlib.contextmanager
def work_folder(parent, needed):
    """A folder on a tmpfs of its own, so that neither the disk nor what was deleted before decides a figure (ext4 makes files
    several times slower after big deletions). With a parent given, a folder there: any file system may be measured."""
    folder = Path(tempfile.mkdtemp(prefix="imgbuild-bench-", dir=parent))
    mounted = False
    try:
        if parent is None:
            run("mount", "-t", "tmpfs", "-o", f"size={needed}m,mode=0700", "imgbuild-bench", folder)
            mounted = True
        yield folder
    finally:
        if mounted:
            # Lazily: nothing that was left running below may keep the mount.
            run("umount", "--lazy", folder)
            folder.rmdir()
        else:
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def registry(folder):
    """Debian's docker-registry on a free port of 127.0.0.1; gives its name in references."""
    folder.mkdir()
    (folder / "config.yml").write_text(
        "version: 0.1\n"
        "log: {level: info}\n"
        f"storage: {{filesystem: {{rootdirectory: {folder}/storage}}, maintenance: {{uploadpurging: {{enabled: false}}}}}}\n"
        "http: {addr: '127.0.0.1:0'}\n")
    with open(folder / "log", "wb") as log:
        server = subprocess.Popen(
            ["docker-registry", "serve", folder / "config.yml"], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            env=dict(os.environ, OTEL_TRACES_EXPORTER="none"))
    try:
        for _ in range(200):
            found = re.search(r"listening on (127\.0\.0\.1:\d+)", (folder / "log").read_text(errors="replace"))
            if found:
                break
            time.sleep(0.05)
        else:
            raise SystemExit("docker-registry did not start: " + (folder / "log").read_text(errors="replace"))
        yield found.group(1)
    finally:
        server.terminate()
        server.wait()


def machine_files():
    """A stream of what this machine's /usr holds, as a base image would: programs, libraries, text; again and again."""
    while True:
        for folder in ("/usr/lib", "/usr/share", "/usr/bin", "/usr/include"):
            for path, folders, names in os.walk(folder):
                folders.sort()
                for name in sorted(names):
                    file = os.path.join(path, name)
                    if os.path.isfile(file) and not os.path.islink(file):
                        try:
                            with open(file, "rb") as content:
                                while chunk := content.read(1 << 20):
                                    yield chunk
                        except OSError:
                            pass


class Material:
    """Bytes of `machine_files`, cut to any size."""

    def __init__(self):
        self.stream, self.rest = machine_files(), b""

    def take(self, count):
        parts = []
        while count > 0:
            if not self.rest:
                self.rest = next(self.stream)
            parts.append(self.rest[:count])
            self.rest = self.rest[count:]
            count -= len(parts[-1])
        return b"".join(parts)


def base_layout(megabytes):
    """An OCI layout of Debian with Go, on which layers of further files lie until it unpacks to `megabytes`: kept in the
    cache folder. Its tag is `base`; the demo's small Debian is beside it."""
    demo = CACHE / "imgbuild-demo" / "bases"
    run(REPOSITORY / "scripts" / "base-images.sh", demo)
    layout = CACHE / "imgbuild-bench" / f"base-{megabytes}"
    if not (layout / "complete").exists():
        shutil.rmtree(layout, ignore_errors=True)
        layout.parent.mkdir(parents=True, exist_ok=True)
        run("skopeo", "copy", "--insecure-policy", f"oci:{demo}/golang:1", f"oci:{layout}:base")
        # Unpacked, the demo's Debian with Go has about 550 MB.
        layers, material = 4, Material()
        each = max(0, megabytes - 550) // layers
        for layer in range(layers):
            with tempfile.TemporaryDirectory(dir=layout.parent) as folder:
                files, left = 0, each << 20
                while left > 0:
                    # As in images: many small files, and a few large ones that have most of the bytes.
                    size = min(left, (1 << 23) if files % 200 == 0 else 1024 + files * 7919 % 16384)
                    path = Path(folder, "opt", f"layer-{layer}", f"part-{files // 500}", f"file-{files}")
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(material.take(size))
                    left, files = left - size, files + 1
                archive = Path(folder, "layer.tar")
                run("tar", "--owner=0", "--group=0", "--numeric-owner", "--sort=name", "-C", folder, "-cf", archive, "opt")
                run("umoci", "raw", "add-layer", "--image", f"{layout}:base", archive)
        run("umoci", "gc", "--layout", layout)
        (layout / "complete").touch()
    return layout, demo / "debian"
