"""Whether two pushed images are the same: config and files, as `make compare` compares them."""

import importlib.util
import json
import sys

from rig import REPOSITORY, run

_specification = importlib.util.spec_from_file_location("compare_images", REPOSITORY / "scripts" / "compare-images.py")
_compare = importlib.util.module_from_spec(_specification)
sys.dont_write_bytecode = True
_specification.loader.exec_module(_compare)


def image_size(host, reference):
    """Bytes of the image's layers, as a registry stores them."""
    manifest = json.loads(run("skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{host}/{reference}"))
    return sum(layer["size"] for layer in manifest["layers"])


def differences(work, host, reference, other):
    """What is different and that nobody has explained; both images are unpacked by umoci."""
    folder = work / "sameness"
    folder.mkdir()
    sides = []
    for number, name in enumerate((reference, other)):
        layout = folder / f"layout-{number}"
        source = f"docker://{host}/{name}"
        # Not from the layout: a config loses its health check when it becomes OCI's.
        (folder / f"config-{number}").write_bytes(run("skopeo", "inspect", "--config", "--raw", "--tls-verify=false", source))
        run("skopeo", "copy", "--insecure-policy", "--src-tls-verify=false", source, f"oci:{layout}:image")
        run("umoci", "unpack", "--image", f"{layout}:image", folder / f"bundle-{number}")
        run("rm", "-rf", layout)
        sides += [folder / f"config-{number}", folder / f"bundle-{number}" / "rootfs"]
    known = [
        (image, difference)
        for _, image, difference, _ in _compare.explanations(REPOSITORY / "scripts" / "compare-with-buildah.known")]
    found = [
        text for text in _compare.image_differences(*sides)
        if not any(image == "*" and _compare.matches(pattern, text) for image, pattern in known)]
    run("rm", "-rf", "--one-file-system", folder)
    return found
