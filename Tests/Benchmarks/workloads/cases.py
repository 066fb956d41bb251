"""The workloads: what is built, and what share of the fastest other builder's time imgbuild may take.

Shares and the seconds beside them, of other builders on two cores of another machine, are the project's targets."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from rig import Material


@dataclass
class Sizes:
    base: int  # MB, unpacked
    copy: int  # MB
    files: int


SIZES = {"full": Sizes(1200, 1024, 60_000), "small": Sizes(700, 128, 10_000)}


@dataclass
class Case:
    title: str
    share: float  # of the fastest peer's wall time
    others: str  # seconds of Kaniko / buildah / BuildKit at full size, as measured elsewhere
    prepare: Callable  # (context folder, registry host, sizes)
    # For builds that begin with a filled registry cache: changes the context after the filling build.
    change: Callable | None = None
    uses_cache: bool = False


# As testimages/go-todo, but without net/http and its tests: compiling those takes several times as long as all that a builder
# does, and would hide it. What is left takes about 12 s of one core.
GO_PROGRAM = """package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"sort"
	"strings"
	"time"
)

type todo struct {
	Title string
	Due   time.Time
}

func main() {
	title := flag.String("title", "write it down", "what to do")
	flag.Parse()
	todos := []todo{{strings.TrimSpace(*title), time.Unix(0, 0)}, {"read it", time.Unix(86400, 0)}}
	sort.Slice(todos, func(a, b int) bool { return todos[a].Due.Before(todos[b].Due) })
	text, err := json.Marshal(todos)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(string(text))
}
"""


def go_todo(context, host, sizes):
    (context / "main.go").write_text(GO_PROGRAM)
    (context / "go.mod").write_text("module example.com/go-todo\n\ngo 1.19\n")
    (context / "Dockerfile").write_text(
        f"FROM {host}/base:1 AS build\nWORKDIR /src\nENV CGO_ENABLED=0 GOFLAGS=-buildvcs=false\n"
        'COPY go.mod ./\nCOPY . .\nRUN go build -trimpath -ldflags="-s -w -buildid=" -o /out/go-todo .\n'
        f"FROM {host}/debian:1\nLABEL org.opencontainers.image.title=\"go-todo\"\n"
        "COPY --from=build --chown=10001:10001 /out/go-todo /usr/local/bin/go-todo\n"
        'USER 10001:10001\nENV PORT=8080\nEXPOSE 8080\nENTRYPOINT ["/usr/local/bin/go-todo"]\n')


def change_a_line(context):
    (context / "main.go").write_text(GO_PROGRAM.replace("read it", "read it twice"))


def copy_large(context, host, sizes):
    material = Material()
    (context / "data").mkdir()
    for number in range(16):
        (context / "data" / f"part-{number:02}").write_bytes(material.take((sizes.copy << 20) // 16))
    (context / "Dockerfile").write_text("FROM scratch\nCOPY data /data\n")


def copy_many(context, host, sizes):
    material = Material()
    for number in range(sizes.files):
        # As in node_modules: folders of a few dozen files, most of them smaller than a page.
        path = context / "files" / f"package-{number // 400:03}" / f"lib-{number // 40 % 10}" / f"module-{number:05}.js"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(material.take(200 + number * 7919 % 7000))
    (context / "Dockerfile").write_text("FROM scratch\nCOPY files /files\n")


def five_runs(context, host, sizes):
    steps = "".join(f"RUN echo {step} >/opt/step-{step} && mkdir /srv/{step}\n" for step in range(1, 6))
    (context / "Dockerfile").write_text(f"FROM {host}/base:1\n{steps}")


def small_copy(context, host, sizes):
    (context / "program").write_bytes(Material().take(1 << 16))
    (context / "Dockerfile").write_text(
        f"FROM {host}/base:1\nCOPY program /usr/local/bin/program\n"
        'LABEL org.opencontainers.image.title="small"\nENV PORT=8080\nEXPOSE 8080\nCMD ["/usr/local/bin/program"]\n')


def deletes(context, host, sizes):
    (context / "Dockerfile").write_text(
        f"FROM {host}/base:1\nRUN rm -rf /usr/share/doc /usr/share/man /opt/layer-0 && mv /opt/layer-1 /srv/moved "
        "&& mv /usr/share/locale /srv/locale && find /srv/moved -name '*1' -type f -delete\n")


CASES = {
    "go-todo": Case("go-todo, multi-stage, on a large base", 0.6, "22 / 19 / 13.6", go_todo),
    "copy-large": Case("COPY of 1 GiB", 0.2, "32 / 36 / 49", copy_large),
    "copy-many": Case("COPY of 60,000 small files", 0.2, "32 / 38 / 37", copy_many),
    "five-runs": Case("five small RUNs on a large base", 0.4, "19 / 14 / 8.9", five_runs),
    "small-copy": Case("a small COPY and metadata on a large base", 0.05, "10 / 13 / 8.5", small_copy),
    "unchanged": Case("go-todo unchanged, empty machine, registry cache", 1.0, "11 / - / 0.2", go_todo,
                      change=lambda context: None, uses_cache=True),
    "one-line": Case("go-todo with a line changed, empty machine, registry cache", 0.55, "20 / - / 14.4", go_todo,
                     change=change_a_line, uses_cache=True),
    "deletes": Case("a RUN that deletes and moves much", 0.35, "17 / 17 / 16", deletes),
}
