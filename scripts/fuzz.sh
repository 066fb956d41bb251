#!/usr/bin/env bash
# fuzz.sh [SECONDS [SEED]]: gives mutated Dockerfiles to the front end for so long (60), from a seed of the moment unless one
# is named. What a text did harm with, be it a crash, a hang or a wrong answer, is kept in the corpus, where every run of
# the tests tries it again.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-60}
seed=${2:-$(od -An -N6 -tu8 /dev/urandom | tr -d ' ')}
echo "fuzzing for $seconds s with the seed $seed (once more: make fuzz FUZZ_SECONDS=$seconds FUZZ_SEED=$seed)"

status=0
# The longest that one text may take comes on top, and the start of the tests.
FUZZ_SECONDS=$seconds FUZZ_SEED=$seed timeout --kill-after=10 $((seconds + 120)) \
    "${SWIFT:-swift}" test --skip-build --filter 'CorpusFuzzTests/longRound' || status=$?
[[ $status -ne 0 ]] || exit 0

for text in .build/fuzz/seed-"$seed"-*; do
    [[ -e $text ]] || continue
    kept=Tests/Fixtures/dockerfile-corpus/found-$(sha256sum <"$text" | cut -c 1-12)
    mv "$text" "$kept"
    echo "kept: $kept"
done
exit "$status"
