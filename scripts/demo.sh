#!/usr/bin/env bash
# What `make demo` does: compiles imgbuild, makes base images out of Debian's packages, commits testimages/go-todo to a
# Git repository, and builds the application's image from that commit. Writes go-todo.tar.
set -euo pipefail
cd "$(dirname "$0")/.."

cache=${XDG_CACHE_HOME:-$HOME/.cache}/imgbuild-demo
bases=$cache/bases
repository=$cache/go-todo.git
archive=$PWD/go-todo.tar

steps=()
# timed NAME COMMAND...: runs the command and remembers how long it took, in milliseconds
timed() {
    local name=$1 start end
    shift
    echo "==> $name"
    start=$(date +%s%3N)
    "$@"
    end=$(date +%s%3N)
    steps+=("$((end - start)) $name")
}

compile() { make --no-print-directory release; }

# A bare repository with one commit. Its author and date are fixed: the same files make the same commit everywhere.
commit_application() {
    rm -rf "$repository"
    local index
    index=$(mktemp -d)
    (
        export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null GIT_INDEX_FILE=$index/index GIT_DIR=$repository
        export GIT_AUTHOR_NAME=go-todo GIT_AUTHOR_EMAIL=go-todo@example.com GIT_AUTHOR_DATE='2026-01-01T00:00:00Z'
        export GIT_COMMITTER_NAME=go-todo GIT_COMMITTER_EMAIL=go-todo@example.com GIT_COMMITTER_DATE='2026-01-01T00:00:00Z'
        git init --quiet --bare --initial-branch=main
        git --work-tree=testimages/go-todo add --all .
        git update-ref refs/heads/main "$(git commit-tree -m 'Serve a list of things to do' "$(git write-tree)")"
    )
    rm -rf "$index"
}

build_image() {
    sha=$(git --git-dir="$repository" rev-parse refs/heads/main)
    digest=$(
        .build/release/imgbuild \
            --context "file://$repository#refs/heads/main#$sha" \
            --build-context "golang:1=oci-layout://$bases/golang:1" \
            --build-context "debian:bookworm-slim=oci-layout://$bases/debian:bookworm-slim" \
            --dest "go-todo:$sha" --no-push --tar-path "$archive"
    )
}

timed "compile imgbuild" compile
timed "base images from Debian's packages (kept in $bases)" scripts/base-images.sh "$bases"
timed "commit testimages/go-todo to $repository" commit_application
timed "build the image from its commit" build_image

if [[ ! $digest =~ ^sha256:[0-9a-f]{64}$ || ! -s $archive ]]; then
    echo "imgbuild ended without an error, but also without an image (digest: '$digest')" >&2
    exit 1
fi

cat <<REPORT

Built go-todo:$sha
  digest   $digest
  archive  go-todo.tar, $(numfmt --to=iec-i --suffix=B "$(stat --format=%s "$archive")")

How long it took:
REPORT
for step in "${steps[@]}"; do
    printf '  %6d.%01d s  %s\n' "$((${step%% *} / 1000))" "$((${step%% *} % 1000 / 100))" "${step#* }"
done
cat <<REPORT

To use it:
  docker load --input go-todo.tar && docker run --rm -p 8080:8080 go-todo:$sha
  skopeo copy docker-archive:go-todo.tar docker://REGISTRY/go-todo:$sha
REPORT
