#!/usr/bin/env bash
# bench-proc.sh [RUNS]: what the supervisor of /proc costs the commands of a RUN with chroot isolation, as ratios of the same commands in a
# chroot without one, on this machine (medians of RUNS builds of each, 3, in turn). All of it is in a simulated pod, as Kubernetes makes
# them for root; the bare chroot is what a profile leaves that refuses the filter.
#
#   go build   -a of a program with net/http: 16 seconds of work, and every file of the standard library is opened
#   dpkg -i    a package of 1500 files
#
# Needs root that may mount, and runc. Files go below $TMPDIR, which should be the same kind of file system as a state folder.
set -euo pipefail
cd "$(dirname "$0")/.."

runs=${1:-3}
imgbuild=$PWD/.build/release/imgbuild
bases=${XDG_CACHE_HOME:-$HOME/.cache}/imgbuild-demo/bases
scripts/base-images.sh "$bases"
work=$(mktemp -d)
trap 'rm -rf --one-file-system "$work"' EXIT
mkdir -p "$work/context/source" "$work/package/DEBIAN" "$work/package/usr/share/imgbuild-bench"

cat >"$work/context/source/main.go" <<'END'
package main

import "net/http"

func main() { http.ListenAndServe("127.0.0.1:0", nil) }
END
for ((file = 0; file < 1500; file++)); do
    head -c 2000 /dev/zero >"$work/package/usr/share/imgbuild-bench/$file"
done
printf 'Package: imgbuild-bench\nVersion: 1\nArchitecture: all\nMaintainer: nobody <nobody@example.com>\nDescription: files\n' \
    >"$work/package/DEBIAN/control"
dpkg-deb --root-owner-group --build "$work/package" "$work/context/bench.deb" >/dev/null

cat >"$work/context/Dockerfile" <<'END'
FROM golang:1
COPY . /bench
RUN cd /bench/source && export CGO_ENABLED=0 GO111MODULE=off && \
    from=$(date +%s%N) && go build -a -o /dev/null main.go && to=$(date +%s%N) && echo "go $(((to - from) / 1000))"
RUN for turn in 1 2 3; do \
        from=$(date +%s%N) && dpkg -i /bench/bench.deb >/dev/null && to=$(date +%s%N) && dpkg -P imgbuild-bench >/dev/null && \
        echo "dpkg $(((to - from) / 1000))"; \
    done
END

build() { # NAME PROFILE-OPTION...
    local name=$1
    shift
    rm -rf --one-file-system "$work/state"
    mkdir "$work/state"
    if ! python3 Tests/Fixtures/pod/pod.py "$@" --share "$work" --share "$bases" --share "$PWD" "$imgbuild" \
        --context "$work/context" --state-dir "$work/state" --no-push --build-context "golang:1=oci-layout://$bases/golang:1" \
        >/dev/null 2>"$work/log"; then
        cat "$work/log" >&2
        exit 1
    fi
    grep -E '^(go|dpkg) [0-9]+$' "$work/log" | sed "s/^/$name /" >>"$work/times"
}

for ((run = 0; run < runs; run++)); do
    build bare --refuse seccomp
    build supervised
done

median() { awk -v key="$1 $2" '$1 " " $2 == key { print $3 }' "$work/times" | sort -n | awk '{ value[NR] = $1 } END { print value[int((NR + 1) / 2)] }'; }
printf '%-10s %12s %16s %8s\n' command 'bare [s]' 'supervised [s]' ratio
for command in go dpkg; do
    awk -v name="$command" -v bare="$(median bare "$command")" -v with="$(median supervised "$command")" \
        'BEGIN { printf "%-10s %12.2f %16.2f %8.2f\n", name, bare / 1e6, with / 1e6, with / bare }'
done
