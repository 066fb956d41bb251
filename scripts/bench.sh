#!/usr/bin/env bash
# bench.sh [RUNS]: builds the demo's image with an empty state and again with a warm one, RUNS times each (3), and prints
# the median of wall time and processor time, and the largest memory. Figures are of this machine, now.
set -euo pipefail
cd "$(dirname "$0")/.."

runs=${1:-3}
bases=${XDG_CACHE_HOME:-$HOME/.cache}/imgbuild-demo/bases
scripts/base-images.sh "$bases"

work=$(mktemp -d)
trap 'rm -rf --one-file-system "$work"' EXIT

build() { # STATE-FOLDER RESULTS-FILE
    if ! /usr/bin/time --append --output="$2" --format='%e %U %S %M' .build/release/imgbuild \
        --context testimages/go-todo --state-dir "$1" \
        --build-context "golang:1=oci-layout://$bases/golang:1" \
        --build-context "debian:bookworm-slim=oci-layout://$bases/debian:bookworm-slim" \
        --dest go-todo:bench --no-push --tar-path "$work/go-todo.tar" >"$work/digest" 2>"$work/log"; then
        cat "$work/log" >&2
        exit 1
    fi
}

for ((run = 0; run < runs; run++)); do
    build "$work/state-$run" "$work/cold"
    build "$work/state-$run" "$work/warm"
    rm -rf --one-file-system "$work/state-$run"
done

median() { sort -n | awk '{ value[NR] = $1 } END { print value[int((NR + 1) / 2)] }'; }
printf '%-12s %10s %14s %12s\n' state 'wall [s]' 'processor [s]' 'memory [MiB]'
for state in cold warm; do
    printf '%-12s %10s %14s %12s\n' "$state" \
        "$(awk '{ print $1 }' "$work/$state" | median)" \
        "$(awk '{ print $2 + $3 }' "$work/$state" | median)" \
        "$(awk '{ if ($4 > most) most = $4 } END { print int(most / 1024) }' "$work/$state")"
done
