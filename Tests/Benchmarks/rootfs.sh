#!/usr/bin/env bash
# rootfs.sh [RUNS]: what root file systems cost, as ratios of one run on this machine (medians of RUNS, 3).
#
#   unpack     a layer of about 600 MB, fetched and verified: against umoci raw unpack and tar -xzf
#   overlay    a RUN that touches one file on that base, and on one of a single file
#   chroot     the same RUN in one flat tree, against a bare walk of that tree
#
# Needs root that may mount. Files go below $TMPDIR, which should be the same kind of file system as a state folder.
set -euo pipefail
cd "$(dirname "$0")/../.."

runs=${1:-3}
imgbuild=$PWD/.build/release/imgbuild
work=$(mktemp -d)
trap 'rm -rf --one-file-system "$work"' EXIT

# Real files, small and large, as a base image has them, up to the size.
tar -C / --no-recursion -cf "$work/all.tar" usr usr/lib
size=0
for more in usr/share usr/lib/python3 usr/include usr/bin usr/lib/x86_64-linux-gnu; do
    ((size < 550000000)) || break
    [ -e "/$more" ] || continue
    tar -C / --sort=name -rf "$work/all.tar" "$more" 2>/dev/null || true
    size=$(stat -c %s "$work/all.tar")
done
mkdir "$work/context" "$work/one"
cp /bin/busybox "$work/context/busybox"
umoci init --layout "$work/image"
image() { # TAG TAR
    umoci new --image "$work/image:$1"
    umoci raw add-layer --image "$work/image:$1" "$2"
}
image base "$work/all.tar"
tar -C "$work/context" -cf "$work/small.tar" busybox
image small "$work/small.tar"
umoci gc --layout "$work/image" >/dev/null
gzip -6 -c "$work/all.tar" >"$work/all.tar.gz"
entries=$(tar -tf "$work/all.tar" | wc -l)
rm "$work/all.tar"
printf 'a base of %d files, %d MB\n' "$entries" "$((size / 1000000))"

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
median() { sort -n "$work/$1" | awk '{ value[NR] = $1 } END { print value[int((NR + 1) / 2)] }'; }
build() { # STATE-FOLDER DOCKERFILE-TEXT [FLAG...]
    local state=$1 text=$2
    shift 2
    printf '%s' "$text" >"$work/context/Dockerfile"
    "$imgbuild" --context "$work/context" --no-push --no-cache --state-dir "$state" --timestamp 0 \
        --build-context "base=oci-layout://$work/image:base" --build-context "small=oci-layout://$work/image:small" "$@"
}

# The command does not exist in the image: all is fetched, unpacked and made ready, and nothing is run. Nothing is removed between the
# rounds: ext4 makes files several times slower for minutes after a large tree was.
for ((run = 0; run < runs; run++)); do
    seconds 1 build "$work/state-$run" $'FROM base\nRUN ["/does-not-exist"]\n' --isolation overlay >>"$work/imgbuild"
    grep -q does-not-exist "$work/log" || { cat "$work/log" >&2; exit 1; }
    mkdir "$work/tar-$run"
    seconds 0 tar -xzf "$work/all.tar.gz" -C "$work/tar-$run" >>"$work/tar"
    seconds 0 umoci raw unpack --image "$work/image:base" "$work/umoci-$run" >>"$work/umoci"
done
awk -v own="$(median imgbuild)" -v tar="$(median tar)" -v umoci="$(median umoci)" 'BEGIN {
    printf "unpack:  imgbuild %.2f s; tar -xzf %.2f s, %.2f times as long; umoci raw unpack %.2f s, %.2f times as long\n",
        own, tar, tar / own, umoci, umoci / own }'

# Builds with one RUN and with more: the difference is RUNs alone. A static program makes one file.
steps() { # BASE COUNT
    printf 'FROM %s\nCOPY busybox /usr/bin/busybox\n' "$1"
    for ((step = 0; step <= $2; step++)); do printf 'RUN ["/usr/bin/busybox", "touch", "/usr/bin/%d"]\n' "$step"; done
}
compare() { # NAME STATE-FOLDER BASE COUNT ROUNDS FLAG...: milliseconds of one RUN
    local name=$1 state=$2 base=$3 count=$4 rounds=$5
    shift 5
    for ((run = 0; run < rounds; run++)); do
        seconds 0 build "$state" "$(steps "$base" 0)" "$@" >>"$work/$name-few"
        seconds 0 build "$state" "$(steps "$base" "$count")" "$@" >>"$work/$name-many"
    done
    awk -v few="$(median "$name-few")" -v many="$(median "$name-many")" -v count="$count" \
        'BEGIN { print (many - few) / count * 1000 }'
}
for ((run = 0; run < runs; run++)); do
    seconds 0 bash -c 'for ((i = 0; i < 20; i++)); do "$0" touch "$1"; done' "$work/context/busybox" "$work/touched" >>"$work/bare"
done
bare=$(awk -v bare="$(median bare)" 'BEGIN { print bare / 20 * 1000 }')
large=$(compare large "$work/state-0" base 20 $((2 * runs + 1)) --isolation overlay)
small=$(compare small "$work/state-small" small 20 $((2 * runs + 1)) --isolation overlay)
printf 'overlay: %.1f ms for each RUN on that base, %.1f ms on one of a single file (of which the bare command %.1f ms)\n' \
    "$large" "$small" "$bare"

# One build: how long each step took it says itself.
build "$work/state-0" "$(steps base 10)" --isolation chroot 2>"$work/log" >/dev/null || { cat "$work/log" >&2; exit 1; }
flat=$(sed -n 's/.*done in \([0-9.]*\) s, layer of.*/\1/p' "$work/log" | tail -n 10 | sort -n | sed -n 5p)
for ((run = 0; run < 5; run++)); do
    # A size to compare with: find asks for the status of every file.
    seconds 0 find "$work/tar-0" -size +1000000000c >>"$work/walk"
done
awk -v flat="$flat" -v walk="$(median walk)" 'BEGIN {
    printf "chroot:  %.0f ms for each RUN, a walk of the tree by find %.0f ms: %.2f times as long\n",
        flat * 1000, walk * 1000, flat / walk }'
