#!/usr/bin/env bash
# dockerfile.sh [RUNS]: how long the release build takes to read a Dockerfile of 10,000 lines: parsing, the graph of its
# stages, expansion of every word; and the same with the build checks. Processor time of the fastest of RUNS (41), since what
# else the machine does can only add to it; the program's start beside it.
set -euo pipefail
cd "$(dirname "$0")/../.."

runs=${1:-41}
goal=50 # ms
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# 100 stages of 100 lines, each built on the one before.
awk 'BEGIN {
    print "ARG BASE=debian:12"
    for (stage = 0; stage < 100; stage++) {
        base = stage == 0 ? "${BASE}" : "stage" (stage - 1)
        print "FROM " base " AS stage" stage
        print "ARG VERSION=1.2.3"
        for (block = 0; block < 14; block++) {
            print "ENV PATH=/opt/tool" block "/bin:/usr/bin:${HOME}/bin NAME" block "=\"${VERSION%.*}-${NAME:-none}\""
            print "RUN --mount=type=cache,target=/var/cache/$VERSION apt-get update && \\"
            print "    # a comment"
            print "    apt-get install -y package-" block " && rm -rf /var/lib/apt/lists"
            print stage == 0 ? "COPY --chown=1:1 a b* ./" : "COPY --from=stage" (stage - 1) " --chmod=u=rwX,go=rX /a /b${VERSION}/"
            print "LABEL org.example.block" block "=\"a label\" version=$VERSION"
            print "EXPOSE 80" block
        }
    }
}' >"$work/Dockerfile"

measure() { # COMMAND...: the least of its processor times in ms
    local TIMEFORMAT='%U %S'
    for ((run = 0; run < runs; run++)); do
        { time "$@" >"$work/out" 2>"$work/err" || true; } 2>&1
    done | awk '{ print ($1 + $2) * 1000 }' | sort -n | head -n 1
}

start=$(measure .build/release/imgbuild --version)
check=$(measure .build/release/imgbuild check --context "$work")
sed -i '1i # check=skip=all' "$work/Dockerfile"
read=$(measure .build/release/imgbuild check --context "$work")
if [[ -s $work/err ]]; then
    cat "$work/err" >&2
    exit 1
fi
awk -v lines="$(wc -l <"$work/Dockerfile")" -v start="$start" -v check="$check" -v read="$read" -v goal=$goal 'BEGIN {
    printf "a Dockerfile of %d lines is read in %d ms (the goal is %d ms), and checked in %d ms more; the program starts in %d ms\n",
        lines, read - start, goal, check - read, start
}'
