#!/usr/bin/env bash
# compare-with-buildah.sh [IMAGE...]
#
# Builds the images of testimages (all, or those named) with imgbuild and with Debian's buildah, from the same bases, and
# compares config and files: scripts/compare-images.py says what. Prints for each image "same", the known differences, or
# those that nobody has explained. Reasons stand in scripts/compare-with-buildah.known.
#
# Ends with 0 only when everything is the same or explained, and every explanation is still needed.
set -euo pipefail
cd "$(dirname "$0")/.."

imgbuild=${IMGBUILD:-$PWD/.build/debug/imgbuild}
known=scripts/compare-with-buildah.known
if [[ $(id -u) -ne 0 ]]; then
    echo "Files of many users are unpacked and compared: run this as root." >&2
    exit 1
fi
umask 022

work=$(mktemp -d)
# The storage is this script's own: nothing is read from or left in the machine's.
store=(--root "$work/storage" --runroot "$work/run" --storage-driver vfs)
trusting=(--signature-policy "$work/policy.json")
cleanup() {
    buildah "${store[@]}" umount --all >/dev/null 2>&1 || true
    rm -rf --one-file-system "$work"
}
trap cleanup EXIT
echo '{"default": [{"type": "insecureAcceptAnything"}]}' >"$work/policy.json"

# base NAME LAYOUT TAG [:TAG]: makes an image of a layout known to both by its name.
bases=()
base() {
    # Not by buildah: it makes a name of the path, and names have no capital letters.
    skopeo copy --quiet --insecure-policy "oci:$2:$3" \
        "containers-storage:[vfs@$work/storage+$work/run]localhost/$1${4:-}"
    bases+=(--build-context "$1=oci-layout://$2:$3")
}
python3 Tests/Fixtures/busybox-image.py "$work/busybox"
base busybox "$work/busybox" latest :latest
demo=${XDG_CACHE_HOME:-$HOME/.cache}/imgbuild-demo/bases
if [[ -s $demo/golang/index.json && -s $demo/debian/index.json ]]; then
    base golang:1 "$demo/golang" 1
    base debian:bookworm-slim "$demo/debian" bookworm-slim
fi

# flags IMAGE: what expected.json says is given on the command line, the same for both programs.
flags() {
    local json=testimages/$1/expected.json
    [[ -f $json ]] || return 0
    mkdir -p "$work/secrets"
    jq -j '.secrets // {} | to_entries[] | .key, "\u0000", .value, "\u0000"' "$json" |
        while IFS= read -r -d '' id && IFS= read -r -d '' value; do printf %s "$value" >"$work/secrets/$id"; done
    jq -r --arg context "$work/context" --arg secrets "$work/secrets" '
        ((.args // {}) | to_entries[] | "--build-arg", "\(.key)=\(.value)"),
        ((.contexts // {}) | to_entries[] | "--build-context", "\(.key)=\($context)/\(.value)"),
        ((.secrets // {}) | keys[] | "--secret", "id=\(.),src=\($secrets)/\(.)")' "$json"
}

build_with_imgbuild() {
    rm -rf "$work/layout" "$work/bundle"
    "$imgbuild" --context "$work/context" --state-dir "$work/state" --dest compared:imgbuild --no-push \
        --oci-layout-path "$work/layout" "${bases[@]}" "$@" >/dev/null 2>"$work/imgbuild.log" || return
    umoci unpack --image "$work/layout:imgbuild" "$work/bundle" >/dev/null
    skopeo inspect --config --raw "oci:$work/layout:imgbuild" >"$work/imgbuild.json"
}

build_with_buildah() {
    rm -rf "$work/dir"
    # docker: the only one of its formats that has all of the config.
    buildah "${store[@]}" build "${trusting[@]}" --isolation chroot --pull-never --format docker --layers=false \
        --identity-label=false --tag compared:buildah "$@" "$work/context" >"$work/buildah.log" 2>&1 || return
    buildah "${store[@]}" push --quiet "${trusting[@]}" compared:buildah "dir:$work/dir" >/dev/null
    cp "$work/dir/$(jq -r '.config.digest | ltrimstr("sha256:")' "$work/dir/manifest.json")" "$work/buildah.json"
    buildah "${store[@]}" from --quiet "${trusting[@]}" --pull-never --name compared compared:buildah >/dev/null
    buildah "${store[@]}" mount compared >"$work/mounted"
}

names=("$@")
if [[ ${#names[@]} -eq 0 ]]; then
    for folder in testimages/*/; do names+=("$(basename "$folder")"); done
fi
: >"$work/used"
failed=0
for name in "${names[@]}"; do
    if [[ $name == go-todo && ! -s $demo/golang/index.json ]]; then
        echo "$name: left out; 'make demo' makes its base images"
        continue
    fi
    # As git checks files out: what a checkout does not keep must not differ.
    rm -rf "$work/context"
    cp -a "testimages/$name" "$work/context"
    chown -hR 0:0 "$work/context"
    find "$work/context" -type d -exec chmod 0755 {} +
    find "$work/context" -type f -perm -100 -exec chmod 0755 {} +
    find "$work/context" -type f ! -perm -100 -exec chmod 0644 {} +
    mapfile -t arguments < <(flags "$name")
    if ! build_with_imgbuild "${arguments[@]}"; then
        echo "$name: imgbuild cannot build it"
        cat "$work/imgbuild.log"
        failed=1
        continue
    fi
    if build_with_buildah "${arguments[@]}"; then
        python3 scripts/compare-images.py "$name" "$known" "$work/used" \
            "$work/imgbuild.json" "$work/bundle/rootfs" "$work/buildah.json" "$(cat "$work/mounted")" || failed=1
    else
        python3 scripts/compare-images.py "$name" "$known" "$work/used" --refused "$work/buildah.log" || failed=1
    fi
    buildah "${store[@]}" rm --all >/dev/null 2>&1 || true
    buildah "${store[@]}" rmi compared:buildah >/dev/null 2>&1 || true
done

# Only a full run can tell which explanations are left over.
if [[ $# -eq 0 ]]; then
    python3 scripts/compare-images.py --unused "$known" "$work/used" || failed=1
fi
exit "$failed"
