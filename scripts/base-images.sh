#!/usr/bin/env bash
# base-images.sh FOLDER
#
# Makes the base images of the demo from Debian's own packages, as OCI layouts:
#
#   FOLDER/golang, tag 1                  Debian 12 with Go, set up as the official image of that name
#   FOLDER/debian, tag bookworm-slim      Debian 12, minimal
#
# An image that is there already is kept. A new one appears by a rename, when it is complete: what an interruption
# leaves behind is never taken for an image.
# shellcheck disable=SC2016  # $(…) is apt's own format language, and $1 belongs to the inner shell
set -euo pipefail

suite=bookworm
folder=${1:?usage: base-images.sh FOLDER}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)

say() { echo "$*" >&2; }

complete() { [[ -s $folder/$1/index.json ]]; }
if complete debian && complete golang; then
    say "debian:bookworm-slim and golang:1 are there: $folder"
    exit 0
fi

# Only the root file system needs root: the files in it belong to many users.
as_root=()
if [[ $(id -u) -ne 0 ]]; then
    command -v sudo >/dev/null || { say "Making base images needs root: run as root, or install sudo."; exit 1; }
    as_root=(sudo)
fi

# The mirror that this machine's apt reads Debian from, so that the demo works wherever apt works.
debian_mirror() {
    local uri
    uri=$(apt-get indextargets --format '$(ORIGIN)|$(CODENAME)|$(COMPONENT)|$(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
        awk -F '|' -v suite="$suite" '$1 == "Debian" && $2 == suite && $3 == "main" { print $4; exit }' || true)
    case $uri in
        mirror+file:*)
            # apt reads a list of mirrors from a file (Debian's cloud images do this); the first will do.
            uri=${uri#mirror+file:}
            uri=$(awk '!/^[ \t]*(#|$)/ { print $1; exit }' "${uri%/}" 2>/dev/null || true)
            ;;
        http://* | https://* | file:/*) ;;
        *) uri= ;;
    esac
    echo "${uri:-http://deb.debian.org/debian}"
}

# Debian's key, from the place that apt was told of, if it is a key ring that gpgv can read.
debian_keyring() {
    local keyring
    keyring=$(apt-get indextargets --format '$(ORIGIN)|$(CODENAME)|$(SIGNED_BY)' 'Created-By: Packages' 2>/dev/null |
        awk -F '|' -v suite="$suite" '$1 == "Debian" && $2 == suite { print $3; exit }' || true)
    [[ $keyring == *.gpg && -r $keyring ]] || keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    echo "$keyring"
}

# debootstrap fetches by wget, which does not know apt's proxy.
apt_proxy() {
    local proxy='' detect=''
    eval "$(apt-config shell proxy Acquire::http::Proxy detect Acquire::http::Proxy-Auto-Detect)"
    [[ -n $proxy || -z $detect || ! -x $detect ]] || proxy=$("$detect" "$1" 2>/dev/null || true)
    [[ $proxy == DIRECT ]] || echo "$proxy"
}

mirror=$(debian_mirror)
keyring=$(debian_keyring)
proxy=$(apt_proxy "$mirror")
proxy=${proxy:-${http_proxy:-}}

# One at a time: a second demo waits here, and then finds the images made.
exec 9>"$folder/.lock"
flock 9

work=$(mktemp -d "$folder/.making.XXXXXX")
cleanup() {
    # debootstrap unmounts what it mounted; should a mount be left, removing must not reach through it.
    "${as_root[@]}" rm -rf --one-file-system "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
# What an earlier run left when it was killed; nobody uses it, because the lock is ours.
for stale in "$folder"/.making.*; do
    [[ $stale == "$work" ]] || "${as_root[@]}" rm -rf --one-file-system "$stale"
done

# root_filesystem NAME [PACKAGE,...]: writes $work/NAME.tar
root_filesystem() {
    local name=$1 packages=${2:-} root=$work/$1 log=$work/$1.log
    local arguments=(--variant=minbase --keyring="$keyring" --cache-dir="$work/packages")
    [[ -z $packages ]] || arguments+=(--include="$packages")
    mkdir -p "$root" "$work/packages"
    if ! "${as_root[@]}" env ${proxy:+http_proxy="$proxy" https_proxy="$proxy"} DEBIAN_FRONTEND=noninteractive LC_ALL=C \
        debootstrap "${arguments[@]}" "$suite" "$root" "$mirror" >"$log" 2>&1; then
        say "debootstrap could not make $name from $mirror:"
        tail -n 15 "$log" >&2
        exit 1
    fi
    # As in the official images: Debian's public address, no package lists, nothing that belongs to one machine.
    "${as_root[@]}" sh -eu -c '
        cd "$1"
        echo "deb http://deb.debian.org/debian '"$suite"' main" >etc/apt/sources.list
        rm -rf var/lib/apt/lists/* var/cache/apt/* var/cache/debconf/*-old var/cache/ldconfig/aux-cache
        rm -rf var/log/*.log var/log/apt/* tmp/* run/*
        rm -f etc/hostname etc/resolv.conf etc/machine-id var/lib/dpkg/*-old etc/passwd- etc/group- etc/shadow- etc/gshadow-
        : >etc/machine-id
        if [ "$2" = golang ]; then mkdir -p go/src go/bin && chmod 1777 go go/src go/bin; fi
    ' - "$root" "$name"
    "${as_root[@]}" tar --create --numeric-owner --sort=name --one-file-system --xattrs --xattrs-include='security.*' \
        --exclude='./dev/*' --exclude='./proc/*' --exclude='./sys/*' --directory "$root" . >"$work/$name.tar"
    "${as_root[@]}" rm -rf --one-file-system "$root"
}

# image NAME TAG [CONFIG OPTION...]: turns $work/NAME.tar into the layout $folder/NAME
image() {
    local name=$1 tag=$2 layout=$work/$1.oci
    shift 2
    umoci init --layout "$layout"
    umoci new --image "$layout:$tag"
    umoci raw add-layer --image "$layout:$tag" --history.created_by "debootstrap $suite" "$work/$name.tar"
    umoci config --image "$layout:$tag" --no-history --config.cmd bash "$@"
    umoci gc --layout "$layout"
    rm "$work/$name.tar"
    mv --no-target-directory "$layout" "$folder/$name"
}

if ! complete debian; then
    say "Making debian:bookworm-slim from $mirror ..."
    root_filesystem debian
    image debian bookworm-slim \
        --config.env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
fi

if ! complete golang; then
    say "Making golang:1 from $mirror ..."
    root_filesystem golang golang-go,ca-certificates
    image golang 1 \
        --config.env PATH=/go/bin:/usr/local/go/bin:/usr/lib/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        --config.env GOPATH=/go --config.workingdir /go
fi
