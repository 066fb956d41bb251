"""Parts of a build beside the programs that do nothing else: the layer pipeline, walks of a tree."""

import os
import statistics

from measure import measured
from rig import REPOSITORY, Material, run, work_folder

PACKAGE = REPOSITORY / "Tests" / "Benchmarks"
BUILD = REPOSITORY / ".build" / "benchmarks"


def program():
    run("swift", "build", "-c", "release", "--package-path", PACKAGE, "--scratch-path", BUILD)
    return BUILD / "release" / "parts"


def median_of(rounds, arguments, log):
    """Medians of wall and processor time, the largest memory in MB."""
    usages = [measured([str(argument) for argument in arguments], log) for _ in range(rounds)]
    return (
        statistics.median(usage.wall for usage in usages), statistics.median(usage.cpu for usage in usages),
        max(usage.peak for usage in usages) / 1024)


def codecs(rounds, megabytes, parent):
    """The pipeline of a layer (SHA-256, deflate, CRC-32, SHA-256) against its own steps, pigz, igzip, zstd and sha256sum."""
    parts = program()
    with work_folder(parent, 4 * megabytes) as work:
        file, log = work / "input", work / "log"
        material = Material()
        with open(file, "wb") as output:
            for _ in range(megabytes):
                output.write(material.take(1 << 20))
        size = megabytes << 20
        ideals = [float(run(parts, "ideal", file).split()[1]) for _ in range(rounds)]
        ideal = statistics.median(ideals)
        print(f"\n{megabytes} MiB of this machine's /usr; the pipeline's steps, each alone: {size / ideal / 1e6:.0f} MB/s of one core")
        print(f"{'':28} {'wall MB/s':>10} {'cpu MB/s':>9} {'peak MB':>8} {'out/in':>7} {'of ideal':>9}")
        cases = [
            ("layer, 1 thread", [parts, "gzip", 0, file], file.with_suffix(".out"), ideal),
            ("layer, 1 worker beside", [parts, "gzip", 1, file], file.with_suffix(".out"), ideal / 2),
            ("layer, 2 workers beside", [parts, "gzip", 2, file], file.with_suffix(".out"), ideal / 2),
            ("layer, zstd 3, 2 workers", [parts, "zstd", 2, file], file.with_suffix(".out"), None),
            ("igzip -2", ["igzip", "-2", "-k", "-f", "-o", work / "igzip", file], work / "igzip", None),
            ("pigz -1 -p 2", ["sh", "-c", f"pigz -1 -p 2 -c {file} >{work}/pigz"], work / "pigz", None),
            ("pigz -6 -p 2", ["sh", "-c", f"pigz -6 -p 2 -c {file} >{work}/pigz"], work / "pigz", None),
            ("sha256sum", ["sha256sum", file], None, None),
        ]
        for title, arguments, output, best in cases:
            wall, cpu, peak = median_of(rounds, arguments, log)
            ratio = f"{os.path.getsize(output) / size:7.3f}" if output else f"{'':7}"
            share = f"{best / wall:9.2f}" if best else ""
            print(f"{title:28} {size / wall / 1e6:10.0f} {size / cpu / 1e6:9.0f} {peak:8.1f} {ratio} {share}")


def walks(rounds, files, parent):
    """Reading every name and status of a tree of small files, as COPY does, beside find."""
    parts = program()
    with work_folder(parent, 512 + files // 20) as work:
        for number in range(files):
            path = work / "tree" / f"{number // 4000}" / f"{number // 40 % 100}" / f"file-{number}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        print(f"\na walk of {files} files")
        for title, arguments in (
            ("layer view", [parts, "walk", work / "tree"]), ("find -ls", ["find", work / "tree", "-ls"]),
            ("find (names alone)", ["find", work / "tree"])):
            wall, cpu, _ = median_of(rounds, arguments, work / "log")
            print(f"{title:28} {wall * 1000:10.0f} ms wall {cpu * 1000:9.0f} ms processor")
