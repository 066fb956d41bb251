#!/usr/bin/env bash
# Runs the tests that are built, and says again at the end what failed: the log of a whole run is long, and the place
# that matters may be thousands of lines up.
set -uo pipefail
cd "$(dirname "$0")/.."

log=.build/test.log
# Without a limit every test starts at once, and those that wait for a server or a program are starved for minutes: their
# patience, which is real time, ends before their turn comes.
"${SWIFT:-swift}" test --skip-build --experimental-maximum-parallelization-width 4 "$@" 2>&1 | tee "$log"
status=${PIPESTATUS[0]}
if [ "$status" -ne 0 ]; then
	echo
	echo "What failed ($log has everything):"
	# An issue's own line, and the lines below it that show the values; a long one is cut.
	grep -aE -A 6 'recorded an issue|Fatal error|unexpected signal' "$log" | grep -avE '^(◇|✔|--)' | cut -c 1-600 | tail -n 60
fi
# Secrets of tests have one of these words in them, and no output of the program may; what tests are called and given may.
if leaks=$(grep -anE 's3cret|hunter2|correct-horse' "$log" | grep -avE '^[0-9]+:. Test (case passing|")'); then
	echo
	echo "Secrets are in $log:"
	cut -c 1-300 <<<"$leaks" | head -n 20
	[ "$status" -ne 0 ] || status=1
fi
exit "$status"
