"""The programs that are compared, each with the state of a machine that never built anything."""

import subprocess

from measure import measured
from rig import REPOSITORY, run


class Imgbuild:
    name = "imgbuild"

    def __init__(self, work, host, program=None):
        self.work, self.host = work, host
        self.program = program or REPOSITORY / ".build" / "release" / "imgbuild"

    def forget(self):
        """Makes the state cold."""
        run("rm", "-rf", "--one-file-system", self.work / "imgbuild-state")

    def build(self, context, reference, flags=()):
        """Builds and pushes; gives what it cost."""
        return measured(
            [self.program, "--context", context, "--dest", f"{self.host}/{reference}", "--timestamp", "0",
             "--state-dir", self.work / "imgbuild-state", *flags],
            self.work / "imgbuild.log")

    def knows(self, flag):
        help_text = subprocess.run([self.program, "build", "--help"], capture_output=True, text=True, check=False).stdout
        return flag in help_text


class Buildah:
    """Debian's buildah as root at its fastest: native overlayfs, no container runtime, one layer for the whole build.

    Its images have Docker's format: OCI's has no health check."""

    name = "buildah"

    def __init__(self, work, host):
        self.work, self.host = work, host
        (work / "policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
        self.store = ["--root", work / "buildah-storage", "--runroot", work / "buildah-run", "--storage-driver", "overlay"]

    def forget(self):
        subprocess.run(["buildah", *self.store, "umount", "--all"], capture_output=True, check=False)
        run("rm", "-rf", "--one-file-system", self.work / "buildah-storage", self.work / "buildah-run")

    def build(self, context, reference, flags=()):
        trusting = ["--signature-policy", self.work / "policy.json", "--tls-verify=false"]
        name = f"{self.host}/{reference}"
        build = measured(
            ["buildah", *self.store, "build", *trusting, "--isolation", "chroot", "--format", "docker", "--layers=false",
             "--identity-label=false", "--tag", name,
             *flags, context], self.work / "buildah.log")
        return build + measured(
            ["buildah", *self.store, "push", "--quiet", *trusting, name], self.work / "buildah.log")
