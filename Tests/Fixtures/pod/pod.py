#!/usr/bin/env python3
"""Runs a command in a container such as Kubernetes makes for a pod, by runc: pod.py [OPTION...] COMMAND...

Its root is an overlay of this machine's own root, so programs and libraries are where they are here, and what is written is gone
afterwards. It has the host's network. Standard streams, environment and exit status are the command's own. Needs root that may mount.

--user UID[:GID]      whom it runs as (0:0)
--capabilities LIST   names without CAP_, comma separated; "default": what Docker and containerd give to root (the default for root;
                      another user has none); "all"; "none"
--seccomp MODE        "default": seccomp.json beside this file, what Docker's profile allows; "unconfined"
--refuse LIST         system calls that this profile refuses, too, comma separated
--no-new-privileges   as allowPrivilegeEscalation: false
--share PATH          the host's PATH is seen at the same name, and can be written to; several times
--directory PATH      the working directory (/)
--unmasked            without the masked and read-only paths of /proc, as a privileged container
"""
import argparse
import ctypes
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

here = pathlib.Path(__file__).resolve().parent

# https://docs.docker.com/engine/containers/run/#runtime-privilege-and-linux-capabilities; containerd's default is the same.
DEFAULT_CAPABILITIES = """AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE NET_RAW SETFCAP SETGID SETPCAP
SETUID SYS_CHROOT""".split()
# Of <linux/capability.h>, by number.
ALL_CAPABILITIES = """CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE
NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE
SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM
BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE""".split()

# What container runtimes hide and protect by default.
MASKED = ["/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/sched_debug",
          "/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/sys/devices/virtual/powercap", "/sys/firmware"]
READ_ONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]


def capabilities(options):
    """The names of those that the command has."""
    named = options.capabilities or ("default" if options.user.split(":")[0] == "0" else "none")
    if named == "none":
        return []
    if named == "default":
        return ["CAP_" + name for name in DEFAULT_CAPABILITIES]
    if named == "all":
        status = pathlib.Path("/proc/self/status").read_text()
        bounding = int(next(line for line in status.splitlines() if line.startswith("CapBnd:")).split()[1], 16)
        return ["CAP_" + name for number, name in enumerate(ALL_CAPABILITIES) if bounding >> number & 1]
    return ["CAP_" + name for name in named.split(",")]


def mounts(options):
    """The mounts that every container has, and what is shared."""
    plain = ["nosuid", "noexec", "nodev"]
    return [
        {"destination": "/proc", "type": "proc", "source": "proc", "options": plain},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=65536k"]},
        {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
         "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
        {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": plain + ["mode=1777", "size=65536k"]},
        {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": plain},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": plain + ["ro"]},
    ] + [{"destination": path, "type": "bind", "source": path, "options": ["rbind", "rw"]} for path in options.share]


def configuration(options, root):
    """The document of https://github.com/opencontainers/runtime-spec/blob/main/config.md."""
    user, _, group = options.user.partition(":")
    held = capabilities(options)
    linux = {"namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount")]}
    if not options.unmasked:
        linux.update(maskedPaths=MASKED, readonlyPaths=READ_ONLY)
    if options.seccomp == "default":
        linux["seccomp"] = json.loads((here / "seccomp.json").read_text())
        refused = options.refuse.split(",")
        for rule in linux["seccomp"]["syscalls"]:
            rule["names"] = [name for name in rule["names"] if name not in refused]
    return {
        "ociVersion": "1.0.2",
        "hostname": "pod",
        "root": {"path": str(root)},
        "mounts": mounts(options),
        "process": {
            "args": options.command,
            "cwd": options.directory,
            "env": [f"{name}={value}" for name, value in os.environ.items()],
            "user": {"uid": int(user), "gid": int(group or user)},
            "noNewPrivileges": options.no_new_privileges,
            "capabilities": {kind: held for kind in ("bounding", "effective", "permitted")},
        },
        "linux": linux,
    }


def run(options, bundle):
    """Runs the container in a mount namespace of this process: its root is unmounted with the last process in it."""
    libc = ctypes.CDLL(None, use_errno=True)
    clone_newns, ms_rec, ms_private = 0x20000, 0x4000, 1 << 18
    root, layer = bundle / "root", bundle / "layer"
    for folder in (root, layer):
        folder.mkdir()
    lower = b"lowerdir=/,upperdir=%b/upper,workdir=%b/work" % (bytes(layer), bytes(layer))
    if libc.unshare(clone_newns) or libc.mount(b"none", b"/", None, ms_rec | ms_private, None):
        raise OSError(ctypes.get_errno(), "a mount namespace")
    # In memory: overlayfs takes no upper folder that is on an overlay, as a machine's own root may be.
    if libc.mount(b"tmpfs", bytes(layer), b"tmpfs", 0, b"mode=755"):
        raise OSError(ctypes.get_errno(), "mounting tmpfs")
    for name in ("upper", "work"):
        (layer / name).mkdir()
    if libc.mount(b"overlay", bytes(root), b"overlay", 0, lower):
        raise OSError(ctypes.get_errno(), "mounting overlay")
    (bundle / "config.json").write_text(json.dumps(configuration(options, root)))
    runc = ["runc", "--root", str(bundle / "state")]
    try:
        return subprocess.run(runc + ["run", "--bundle", str(bundle), bundle.name]).returncode
    finally:
        subprocess.run(runc + ["delete", "--force", bundle.name], stderr=subprocess.DEVNULL)
        libc.umount2(bytes(root), 2)
        libc.umount2(bytes(layer), 2)


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--user", default="0:0")
    parser.add_argument("--capabilities")
    parser.add_argument("--seccomp", choices=["default", "unconfined"], default="default")
    parser.add_argument("--refuse", default="")
    parser.add_argument("--no-new-privileges", action="store_true")
    parser.add_argument("--share", action="append", default=[])
    parser.add_argument("--directory", default="/")
    parser.add_argument("--unmasked", action="store_true")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    bundle = pathlib.Path(tempfile.mkdtemp(prefix="imgbuild-pod-"))
    try:
        return run(options, bundle)
    finally:
        shutil.rmtree(bundle, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
