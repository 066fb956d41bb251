#!/usr/bin/env bash
# install-packages.sh PACKAGE...
#
# Makes sure that the named Debian packages are installed. When all of them are, nothing runs and no password is asked.
# No service is started by an installation, and a service that came with one of these packages is not left enabled.
set -euo pipefail

missing=()
for package in "$@"; do
    state=$(dpkg-query --show --showformat='${db:Status-Abbrev}\n' "$package" 2>/dev/null || true)
    grep -q '^.i' <<<"$state" || missing+=("$package")
done
[[ ${#missing[@]} -gt 0 ]] || exit 0

as_root=()
if [[ $(id -u) -ne 0 ]]; then
    if ! command -v sudo >/dev/null; then
        echo "These Debian packages are missing: ${missing[*]}" >&2
        echo "Install them as root (apt-get install ${missing[*]}) and run this again." >&2
        exit 1
    fi
    as_root=(sudo)
fi

# invoke-rc.d asks this program before it starts a service; 101 means "forbidden by policy".
policy=/usr/sbin/policy-rc.d
own_policy=
if [[ ! -e $policy ]]; then
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
    own_policy=yes
    "${as_root[@]}" chmod 755 "$policy"
fi
log=$(mktemp)
cleanup() {
    rm -f "$log"
    [[ -z $own_policy ]] || "${as_root[@]}" rm -f "$policy"
}
trap cleanup EXIT

apt() {
    if ! "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y "$@" >"$log" 2>&1; then
        echo "apt-get $* failed:" >&2
        tail -n 20 "$log" >&2
        exit 1
    fi
}

echo "Installing Debian packages: ${missing[*]}" >&2
apt update
apt install --no-install-recommends "${missing[@]}"

# docker-registry brings a service on port 5000. The tests start registries of their own, on free ports.
if [[ " ${missing[*]} " == *" docker-registry "* ]]; then
    if [[ -d /run/systemd/system ]]; then
        "${as_root[@]}" systemctl disable --quiet --now docker-registry >/dev/null 2>&1 || true
    elif command -v update-rc.d >/dev/null; then
        "${as_root[@]}" update-rc.d docker-registry disable >/dev/null 2>&1 || true
    fi
fi
