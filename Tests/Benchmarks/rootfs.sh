#!/usr/bin/env bash
# rootfs.sh [RUNS]: what root file systems cost, as ratios of one run on this machine (medians of RUNS, 3).
#
#   unpack     a layer of 600 MB and more, verified: against umoci raw unpack and tar -xzf
#   run        a RUN that touches one file on that base: what it costs more than the same build with a RUN less
#
# Needs root that may mount. Files go below $TMPDIR, which should be the same kind of file system as a state folder.
set -euo pipefail
cd "$(dirname "$0")/../.."

runs=${1:-3}
imgbuild=$PWD/.build/release/imgbuild
work=$(mktemp -d)
trap 'rm -rf --one-file-system "$work"' EXIT

# Real files, small and large, as a base image has them: what is in /usr/share and /usr/lib, up to the size.
tar -C / --no-recursion -cf "$work/all.tar" usr usr/lib
size=0
for more in usr/share usr/lib/x86_64-linux-gnu usr/lib/python3 usr/bin usr/include; do
    ((size < 600000000)) || break
    [ -e "/$more" ] || continue
    tar -C / --sort=name -rf "$work/all.tar" "$more" 2>/dev/null || true
    size=$(stat -c %s "$work/all.tar")
done
mkdir "$work/context"
umoci init --layout "$work/image"
umoci new --image "$work/image:base"
umoci raw add-layer --image "$work/image:base" "$work/all.tar"
umoci gc --layout "$work/image" >/dev/null
gzip -6 -c "$work/all.tar" >"$work/all.tar.gz"
entries=$(tar -tf "$work/all.tar" | wc -l)
rm "$work/all.tar"
printf '%d entries, %d MB\n' "$entries" "$((size / 1000000))"

seconds() { # STATUS COMMAND...: wall time in seconds of a command that ends with STATUS
    local expected=$1 status=0 start end
    shift
    sync
    start=$(date +%s%N)
    "$@" >"$work/log" 2>&1 || status=$?
    end=$(date +%s%N)
    if [ "$status" != "$expected" ]; then
        cat "$work/log" >&2
        exit 1
    fi
    awk "BEGIN { print ($end - $start) / 1e9 }"
}
median() { sort -n | awk '{ value[NR] = $1 } END { print value[int((NR + 1) / 2)] }'; }
build() { # STATE-FOLDER DOCKERFILE-TEXT [FLAG...]
    local state=$1 text=$2
    shift 2
    printf '%s' "$text" >"$work/context/Dockerfile"
    "$imgbuild" --context "$work/context" --no-push --state-dir "$state" --timestamp 0 \
        --build-context "base=oci-layout://$work/image:base" "$@"
}

# The command does not exist in the image: all is unpacked and made ready, and nothing is run.
nothing=$'FROM base\nRUN ["/does-not-exist"]\n'
for ((run = 0; run < runs; run++)); do
    # The blob is fetched first, by a build that looks at the base's names alone.
    build "$work/state-$run" $'FROM base\nCOPY Dockerfile /usr/share/doc/new\n' --isolation none >/dev/null 2>&1 || true
    seconds 1 build "$work/state-$run" "$nothing" --isolation overlay >>"$work/imgbuild"
    grep -q does-not-exist "$work/log" || { cat "$work/log" >&2; exit 1; }
    mkdir "$work/tar-$run"
    seconds 0 tar -xzf "$work/all.tar.gz" -C "$work/tar-$run" >>"$work/tar"
    seconds 0 umoci raw unpack --image "$work/image:base" "$work/umoci-$run" >>"$work/umoci"
done
for tool in imgbuild tar umoci; do median <"$work/$tool" >"$work/$tool.median"; done
awk -v own="$(cat "$work/imgbuild.median")" -v tar="$(cat "$work/tar.median")" -v umoci="$(cat "$work/umoci.median")" 'BEGIN {
    printf "unpack: imgbuild %.2f s, tar -xzf %.2f s (%.1f times as long), umoci raw unpack %.2f s (%.1f times as long)\n",
        own, tar, tar / own, umoci, umoci / own }'

# One RUN less or more: a static program that makes one file. Twenty of them, so that a build's own time does not matter.
cp /bin/busybox "$work/context/busybox"
few=$'FROM base\nCOPY busybox /usr/bin/busybox\nRUN ["/usr/bin/busybox", "touch", "/usr/share/0"]\n'
many=$few
for ((step = 1; step <= 20; step++)); do many+="RUN [\"/usr/bin/busybox\", \"touch\", \"/usr/share/$step\"]"$'\n'; done
for ((run = 0; run < 2 * runs + 1; run++)); do
    seconds 0 build "$work/state-0" "$few" --isolation overlay >>"$work/few"
    seconds 0 build "$work/state-0" "$many" --isolation overlay >>"$work/many"
done
for ((run = 0; run < runs; run++)); do
    seconds 0 bash -c 'for ((i = 0; i < 20; i++)); do "$0" touch "$1"; done' "$work/context/busybox" "$work/touched" >>"$work/bare"
done
awk -v few="$(median <"$work/few")" -v many="$(median <"$work/many")" -v bare="$(median <"$work/bare")" 'BEGIN {
    printf "run:    %.1f ms for each RUN, of which the bare command %.1f ms\n",
        (many - few) / 20 * 1000, bare / 20 * 1000 }'
