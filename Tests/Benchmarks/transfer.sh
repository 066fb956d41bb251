#!/usr/bin/env bash
# transfer.sh [RUNS]: what sending layers to a registry costs, as a ratio of one run on this machine (medians of
# RUNS, 5): four layers of 256 MB, by imgbuild and by four curl -T at the same time, to the same docker-registry.
#
# Both send the same bytes and the registry checks and stores them each time: it is emptied before. curl has less to do (no
# question whether a layer is there, no config, no manifest), and no program is nearer to what libcurl can do.
# Files go below $TMPDIR: 3 GB at most.
set -euo pipefail
cd "$(dirname "$0")/../.."

runs=${1:-5}
imgbuild=$PWD/.build/release/imgbuild
work=$(mktemp -d)
registry=
stop() {
    [ -z "$registry" ] || kill "$registry"
    rm -rf "$work"
}
trap stop EXIT

# A proxy of this machine is not for 127.0.0.1.
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY

cat >"$work/registry.yml" <<END
version: 0.1
log: {level: info, accesslog: {disabled: true}}
storage:
  filesystem: {rootdirectory: "$work/storage"}
  maintenance: {uploadpurging: {enabled: false}}
http: {addr: "127.0.0.1:0", secret: bench}
END
OTEL_TRACES_EXPORTER=none docker-registry serve "$work/registry.yml" >"$work/registry.log" 2>&1 &
registry=$!
for ((wait = 0; wait < 600; wait++)); do
    port=$(sed -n 's/.*listening on [^ ]*:\([0-9]\+\).*/\1/p' "$work/registry.log")
    [ -z "$port" ] || break
    sleep 0.1
done
[ -n "$port" ] || { cat "$work/registry.log" >&2; exit 1; }

# An image of four layers that do not compress, as a layout. Nobody unpacks them, so they need not be archives.
mkdir -p "$work/image/blobs/sha256" "$work/context"
blob() { # FILE: moves it among the blobs and prints its digest
    local digest
    digest=$(sha256sum "$1" | cut -d ' ' -f 1)
    mv "$1" "$work/image/blobs/sha256/$digest"
    echo "$digest"
}
size=$((256 * 1000 * 1000))
digests=()
for layer in 1 2 3 4; do
    head -c "$size" /dev/zero | openssl enc -aes-128-ctr -nosalt -K 00112233445566778899aabbccddeeff \
        -iv "${layer}0000000000000000000000000000000" >"$work/layer"
    digests+=("$(blob "$work/layer")")
done
layers=$(printf '{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"sha256:%s","size":'"$size"'},' "${digests[@]}")
diffs=$(printf '"sha256:%s",' "${digests[@]}")
printf '{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":[%s]}}' "${diffs%,}" >"$work/document"
length=$(stat -c %s "$work/document")
config=$(blob "$work/document")
printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:%s","size":%s},"layers":[%s]}' \
    "$config" "$length" "${layers%,}" >"$work/document"
length=$(stat -c %s "$work/document")
manifest=$(blob "$work/document")
printf '{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:%s","size":%s,"platform":{"architecture":"amd64","os":"linux"},"annotations":{"org.opencontainers.image.ref.name":"base"}}]}' \
    "$manifest" "$length" >"$work/image/index.json"
printf '{"imageLayoutVersion":"1.0.0"}' >"$work/image/oci-layout"
printf 'FROM base\nENV a=b\n' >"$work/context/Dockerfile"

build() {
    "$imgbuild" --context "$work/context" --state-dir "$work/state" --timestamp 0 --platform linux/amd64 \
        --build-context "base=oci-layout://$work/image:base" "$@"
}
with_imgbuild() {
    build --insecure-registry "127.0.0.1:$port" --dest "127.0.0.1:$port/bench/image:1"
}
with_curl() {
    local digest pid pids=()
    for digest in "${digests[@]}"; do
        send "$digest" &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do wait "$pid"; done
}
send() { # DIGEST
    local location
    location=$(curl --silent --fail --request POST --output /dev/null --write-out '%header{location}' \
        "http://127.0.0.1:$port/v2/bench/image/blobs/uploads/")
    curl --silent --fail --upload-file "$work/image/blobs/sha256/$1" --header 'Content-Type: application/octet-stream' \
        "$location&digest=sha256:$1"
}
seconds() { # COMMAND...: wall time in seconds, of which the registry is empty at the start and has all four layers at the end
    local start end digest
    # Emptied under the registry's feet: it remembers nothing.
    rm -rf "$work/storage/docker"
    sync
    start=$(date +%s%N)
    "$@" >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
    end=$(date +%s%N)
    for digest in "${digests[@]}"; do
        [ "$(stat -c %s "$work/storage/docker/registry/v2/blobs/sha256/${digest:0:2}/$digest/data")" = "$size" ]
        [ -e "$work/storage/docker/registry/v2/repositories/bench/image/_layers/sha256/$digest/link" ]
    done
    awk "BEGIN { print ($end - $start) / 1e9 }"
}
median() { sort -n | awk '{ value[NR] = $1 } END { print value[int((NR + 1) / 2)] }'; }

# The layers are in the state folder afterwards, as those that a build made are: what follows only sends them.
build --no-push --oci-layout-path "$work/out" >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
rm -rf "$work/out"
for ((run = 0; run < runs; run++)); do
    seconds with_curl >>"$work/curl"
    seconds with_imgbuild >>"$work/imgbuild"
done
awk -v own="$(median <"$work/imgbuild")" -v curl="$(median <"$work/curl")" -v bytes="$((4 * size))" 'BEGIN {
    printf "push:   4 layers of 256 MB: imgbuild %.2f s (%.0f MB/s), four curl -T %.2f s (%.0f MB/s): %.0f %% of its rate\n",
        own, bytes / own / 1e6, curl, bytes / curl / 1e6, 100 * curl / own }'
