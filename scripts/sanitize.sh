#!/usr/bin/env bash
#
# Runs the tests where every wrong step is caught: on a server that is built with
# assertions, with them and the address and undefined-behaviour sanitizers, or with
# them and for valgrind.
#
#   scripts/sanitize.sh assertions|sanitizers|valgrind [TEST ...]
#
# TEST is a test of pg_regress or a TAP test (t/NNN_name.pl); without any, all of
# pg_regress and the fuzz test, and with assertions alone all TAP tests.
#
#   PG_SOURCE, ALS_CACHE   see scripts/built_server.sh
#   ALS_FUZZ_...           see test/t/090_fuzz.pl

set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
. scripts/built_server.sh

kind=${1:-}
case $kind in
	assertions | sanitizers | valgrind) shift ;;
	*) fail 'assertions, sanitizers or valgrind?' ;;
esac

# Leaks are no fault in a server, whose memory goes with its contexts.
export ASAN_OPTIONS=detect_leaks=0:detect_stack_use_after_return=0:abort_on_error=1
export UBSAN_OPTIONS=print_stacktrace=1:abort_on_error=1

# Puts a server under valgrind: bootstrapping and questions go without.
wrap_server()
{
	command -v valgrind >/dev/null || fail 'valgrind is not there'
	cat "$source/src/tools/valgrind.supp" test/valgrind.supp >"$server/share/valgrind.supp"
	[ ! -e "$server/bin/postgres.bin" ] || return 0
	mv "$server/bin/postgres" "$server/bin/postgres.bin"
	cat >"$server/bin/postgres" <<END
#!/bin/sh
case " \$* " in
	*' --boot '* | *' --single '* | *' --check '* | *' -V '* | *' --describe-config '* | *' -C '*)
		exec '$server/bin/postgres.bin' "\$@" ;;
esac
exec valgrind --quiet --leak-check=no --error-markers=VALGRINDERROR,END \\
	--suppressions='$server/share/valgrind.supp' --gen-suppressions=no \\
	--log-file="\$ALS_VALGRIND_LOGS/%p.log" '$server/bin/postgres.bin' "\$@"
END
	chmod +x "$server/bin/postgres"
}

need_server "$kind"
[ "$kind" != valgrind ] || wrap_server
build_for_server
if [ $# -eq 0 ] && [ "$kind" = sanitizers ]; then
	# -fwrapv hides overflows in a server's build, but not here
	make --no-print-directory -C test/core sanitize | grep -v '^ok'
fi

enter_sandbox
trap 'leave_sandbox; rm -rf "$tree"' EXIT
export ALS_VALGRIND_LOGS=$sandbox/valgrind
mkdir "$ALS_VALGRIND_LOGS"
chmod 777 "$ALS_VALGRIND_LOGS"
start_server

# Fewer calls where each takes long
case $kind in
	assertions) calls=5000 ;;
	sanitizers) calls=2000 ;;
	valgrind) calls=300 ;;
esac
export ALS_FUZZ_CALLS=${ALS_FUZZ_CALLS:-$calls}
export ALS_FUZZ_TIMEOUT=${ALS_FUZZ_TIMEOUT:-1200}
regress=
tap=
for test in "$@"; do
	case $test in
		t/*) tap+=" test/$test" ;;
		*) regress+=" $test" ;;
	esac
done
status=0
if [ $# -eq 0 ] || [ -n "$regress" ]; then
	run_unprivileged make --no-print-directory installcheck PG_CONFIG="$PG_CONFIG" \
		TAP_TESTS= ${regress:+REGRESS="$regress"} || status=1
	[ ! -f regression.diffs ] || cat regression.diffs
fi
if [ $# -eq 0 ] || [ -n "$tap" ]; then
	[ "$kind" != assertions ] || tap=${tap:-$(echo test/t/*.pl)}
	run_unprivileged make --no-print-directory installcheck PG_CONFIG="$PG_CONFIG" \
		REGRESS= PROVE_TESTS="${tap:-test/t/090_fuzz.pl}" || status=1
fi

# What the tools and the assertions have said
findings=$(grep -rhE -A 25 'ERROR: AddressSanitizer|runtime error:|^TRAP:|VALGRINDERROR' \
	"$sandbox/server.log" "$ALS_VALGRIND_LOGS" tmp_check/log 2>/dev/null | head -n 300 || true)
if [ -n "$findings" ]; then
	echo "$findings"
	status=1
fi
[ $status -eq 0 ] && echo 'Nothing was found.'
exit $status
