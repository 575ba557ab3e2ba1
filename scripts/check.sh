#!/usr/bin/env bash
#
# Builds, installs and tests als: layers of the source, unit tests of the core,
# pg_regress and TAP.
# The last line says how many tests passed and failed.

set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

passed=0
failed=0
log=$(mktemp)

conclude()
{
	local status=$?
	leave_sandbox
	rm "$log"
	[ $status -eq 0 ] || [ $failed -gt 0 ] || failed=1
	printf '\n%d passed, %d failed\n' $passed $failed
	exit $((failed > 0))
}
trap conclude EXIT

# Counts what a tier of tests printed.  One that ran nothing, or ended badly
# for another reason than a failed test, counts as a failure.
count()
{
	local status=$1 ok not_ok
	if grep -q '^Files=' "$log"; then
		# prove sums up: programs with failed tests, or which just died
		read -r ok not_ok <<<"$(awk '
			/\(Wstat: .* Failed: [0-9]+\)$/ {
				n = $NF + 0
				ok -= n
				not_ok += n ? n : 1
			}
			/^Files=/ { ok += substr($2, 7) }
			END { print ok + 0, not_ok + 0 }' "$log")"
	else
		# TAP, or pg_regress before PostgreSQL 16
		ok=$(grep -cE '^ok [0-9]| \.\.\. ok ' "$log" || true)
		not_ok=$(grep -cE '^not ok | \.\.\. FAILED' "$log" || true)
	fi
	[ $((ok + not_ok)) -gt 0 ] || echo 'No tests ran.'
	if [ "$not_ok" -eq 0 ] && { [ "$status" -ne 0 ] || [ "$ok" -eq 0 ]; }; then
		not_ok=1
	fi
	passed=$((passed + ok))
	failed=$((failed + not_ok))
	[ "$not_ok" -eq 0 ]
}

tier()
{
	local status=0
	printf '\n=== %s\n' "$1"
	shift
	"$@" 2>&1 | tee "$log" || status=$?
	count $status
}

installcheck()
{
	run_unprivileged make --no-print-directory installcheck \
		PG_CONFIG="$PG_CONFIG" "$@"
}

show()
{
	local file
	for file in "$@"; do
		if [ -f "$file" ]; then
			printf '\n--- %s\n' "$file"
			tail -n 200 "$file"
		fi
	done
}

tier 'layers' scripts/check-layers.sh || true

scripts/setup.sh
choose_pg_config
"$PG_CONFIG" --version
build
install_build

tier 'unit tests of the core' make --no-print-directory -C test/core check || true

# Data that may not be shipped, for the tests that want it
export ALS_SHARED=${ALS_SHARED:-${PWD%/*}/shared}

enter_sandbox
start_server
tier 'pg_regress' installcheck TAP_TESTS= ||
	show regression.diffs "$sandbox/server.log"
tap=$(dirname "$("$PG_CONFIG" --pgxs)")/../../src/test/perl
if [ ! -e "$tap/PostgreSQL/Test/Cluster.pm" ]; then
	printf '\nNo TAP tests: %s has no PostgreSQL::Test::Cluster\n' "$("$PG_CONFIG" --version)"
	exit 0
fi
tier 'TAP' installcheck REGRESS= ||
	sed -n 's|^test/t/\(.*\)\.pl *(Wstat: .*|\1|p' "$log" | while read -r test; do
		show "tmp_check/log/regress_log_$test" tmp_check/log/"$test"_*.log
	done
