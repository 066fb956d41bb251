#!/usr/bin/env bash
# install-moto.sh
#
# Makes .build/moto, a virtual environment of Python with moto, which plays AWS in tests. When it is there nothing runs.
set -euo pipefail
cd "$(dirname "$0")/.."

version=5.2.1
folder=.build/moto
[[ $(cat "$folder/version" 2>/dev/null || true) != "$version" ]] || exit 0

log=$(mktemp)
trap 'rm -f "$log"' EXIT
echo "Installing moto $version into $folder" >&2
rm -rf "$folder"
mkdir -p .build
if ! { python3 -m venv "$folder" &&
    "$folder/bin/pip" install --quiet --disable-pip-version-check --no-compile "moto[server]==$version"; } >"$log" 2>&1; then
    echo "moto could not be installed:" >&2
    tail -n 20 "$log" >&2
    exit 1
fi
echo "$version" >"$folder/version"
