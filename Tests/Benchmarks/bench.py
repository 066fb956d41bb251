#!/usr/bin/env python3
"""Builds the same images with imgbuild and with Debian's buildah, in turn, and prints medians and ratios.

Each build begins with an empty state folder and ends when a registry on this machine has the image; all files lie on a tmpfs.
Before times count, the two images are compared, config and files; an image that differs ends the run. Needs root.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent / "workloads"))

import parts  # noqa: E402
from builders import Buildah, Imgbuild  # noqa: E402
from cases import CASES, SIZES  # noqa: E402
from rig import REPOSITORY, base_layout, registry, run, work_folder  # noqa: E402
from sameness import differences, image_size  # noqa: E402


# Parts of a build, and what measures them.
PARTS = {
    "codecs": lambda options: parts.codecs(options.rounds, 256, options.state),
    "walks": lambda options: parts.walks(options.rounds, options.sizes.files, options.state),
    "dockerfile": lambda options: run_script("dockerfile"),
    "rootfs": lambda options: run_script("rootfs"),
    "transfer": lambda options: run_script("transfer"),
}


def run_script(name):
    subprocess.run([REPOSITORY / "Tests" / "Benchmarks" / f"{name}.sh"], check=True)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=f"some of: {', '.join([*CASES, *PARTS])} (default: all)")
    parser.add_argument("--size", choices=SIZES, default="small", help="full: as the targets are defined (default: small)")
    parser.add_argument("--base", type=int, help="MB that the large base unpacks to")
    parser.add_argument("--copy", type=int, help="MB that copy-large copies")
    parser.add_argument("--files", type=int, help="files that copy-many copies")
    parser.add_argument("--rounds", type=int, default=3, help="builds of each builder (default: 3)")
    parser.add_argument("--only", choices=("imgbuild", "buildah"), help="one builder alone: nothing is compared")
    parser.add_argument("--trust", action="store_true", help="do not compare the images")
    parser.add_argument("--state", metavar="FOLDER", help="work there in place of on a tmpfs")
    parser.add_argument("--program", metavar="FILE", help="the imgbuild to measure (default: .build/release/imgbuild)")
    parser.add_argument("--results", metavar="FILE", help="add each build to this file; the table has all that is in it")
    options = parser.parse_args()
    for name in options.workloads:
        if name not in CASES and name not in PARTS:
            parser.error(f"no workload '{name}': there are {', '.join([*CASES, *PARTS])}")
    options.sizes = SIZES[options.size]
    for name in ("base", "copy", "files"):
        if getattr(options, name) is not None:
            setattr(options.sizes, name, getattr(options, name))
    options.workloads = options.workloads or [*CASES, *PARTS]
    return options


def measure(name, options, work, host):
    """All rounds of one workload; gives a record for each build."""
    case = CASES[name]
    builders = [Imgbuild(work, host, options.program)]
    if case.uses_cache:
        if not builders[0].knows("--cache-repo"):
            print(f"{name}: left out, this imgbuild has no cache in a registry", file=sys.stderr)
            return []
    else:
        builders.append(Buildah(work, host))
    if options.only:
        builders = [builder for builder in builders if builder.name == options.only]
    context = work / "context"
    shutil.rmtree(context, ignore_errors=True)
    context.mkdir()
    case.prepare(context, host, options.sizes)
    records = []
    for number in range(options.rounds):
        for builder in builders:
            reference = f"{name}-{builder.name}-{number}:1"
            flags = ["--cache", "--cache-repo", f"{host}/cache-{name}-{number}"] if case.uses_cache else []
            builder.forget()
            if case.change:
                # Fills the cache, from a machine that is then gone.
                shutil.rmtree(context)
                context.mkdir()
                case.prepare(context, host, options.sizes)
                builder.build(context, f"{name}-{builder.name}-{number}:filling", flags)
                builder.forget()
                case.change(context)
            # What others left to be written must not be paid for by this build.
            os.sync()
            usage = builder.build(context, reference, flags)
            records.append({
                "workload": name, "builder": builder.name, "wall": usage.wall, "cpu": usage.cpu, "peak": usage.peak,
                "size": image_size(host, reference)})
            builder.forget()
        if number == 0 and len(builders) == 2 and not options.trust:
            found = differences(work, host, f"{name}-imgbuild-0:1", f"{name}-buildah-0:1")
            if found:
                raise SystemExit("\n".join([f"{name}: the images are not the same:"] + found[:20]))
    return records


def table(records):
    """Medians, and the ratio of the wall times, of all builds in `records`."""
    print(f"\n{'':12} {'':9} {'n':>2} {'wall s':>8} {'cpu s':>8} {'peak MB':>8} {'image MB':>9} {'share':>7} {'target':>7}")
    for name in CASES:
        builds = [record for record in records if record["workload"] == name]
        median = lambda builder, key: statistics.median(
            record[key] for record in builds if record["builder"] == builder)
        names = sorted({record["builder"] for record in builds})
        for builder in names:
            share = ""
            if builder == "imgbuild" and "buildah" in names:
                share = f"{median('imgbuild', 'wall') / median('buildah', 'wall'):7.3f} {CASES[name].share:7.2f}"
            count = sum(record["builder"] == builder for record in builds)
            print(
                f"{name if builder == names[0] else '':12} {builder:9} {count:2} {median(builder, 'wall'):8.2f} "
                f"{median(builder, 'cpu'):8.2f} {median(builder, 'peak') / 1024:8.1f} "
                f"{median(builder, 'size') / 1e6:9.1f} {share}")


def builds(names, options):
    """Measures workloads, and prints the table."""
    sizes = options.sizes
    records = []
    if options.results and Path(options.results).exists():
        records = [json.loads(line) for line in Path(options.results).read_text().splitlines()]
    large, small = base_layout(sizes.base)
    # The base three times (registry, state, comparison), and what is copied in every form that a builder keeps.
    with work_folder(options.state, 6 * sizes.base + 8 * sizes.copy + sizes.files // 20) as work:
        with registry(work / "registry") as host:
            for layout, name in ((f"{large}:base", "base:1"), (f"{small}:bookworm-slim", "debian:1")):
                run("skopeo", "copy", "--insecure-policy", "--dest-tls-verify=false", f"oci:{layout}", f"docker://{host}/{name}")
            for name in names:
                start = time.monotonic()
                found = measure(name, options, work, host)
                print(f"{name}: {len(found)} builds measured in {time.monotonic() - start:.0f} s", file=sys.stderr)
                records += found
                if options.results:
                    with open(options.results, "a", encoding="utf-8") as file:
                        file.writelines(json.dumps(record) + "\n" for record in found)
    table(records)


def main():
    options = arguments()
    if os.geteuid() != 0:
        raise SystemExit("Builders mount and unpack files of many users: run this as root.")
    names = [name for name in options.workloads if name in CASES]
    if names:
        builds(names, options)
    for name in options.workloads:
        if name in PARTS:
            sys.stdout.flush()
            PARTS[name](options)


if __name__ == "__main__":
    main()
