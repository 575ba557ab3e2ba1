#!/usr/bin/env bash
#
# Lets libFuzzer make inputs for what als parses (test/fuzz/targets.sql), in a backend of
# a server with assertions: test/fuzz/fuzzer.c.  Needs clang.
#
#   make libfuzzer                        all targets
#   make libfuzzer TARGETS="grid ids"     some
#
#   ALS_LIBFUZZER_SECONDS   how long for each, 60 unless it says otherwise
#   PG_SOURCE, ALS_CACHE    see scripts/built_server.sh

set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
. scripts/built_server.sh

seconds=${ALS_LIBFUZZER_SECONDS:-60}
command -v clang >/dev/null || fail 'clang is not there'
runtime=$(find "$(clang -print-resource-dir)/lib" -name 'libclang_rt.fuzzer_no_main*.a' \
	-path "*$(uname -m)*" | head -n 1)
[ -n "$runtime" ] || fail 'clang has no libFuzzer'

# als reports to libFuzzer where an input leads; its errors end in the server's log
need_server assertions
build_for_server CC=clang WERROR= with_llvm=no COPT=-fsanitize=fuzzer-no-link
clang -shared -fPIC -O1 -g -isystem "$("$PG_CONFIG" --includedir-server)" -o als_fuzzer.so \
	test/fuzz/fuzzer.c -Wl,--whole-archive "$runtime" -Wl,--no-whole-archive \
	-lstdc++ -lm -lpthread
fuzzer=$("$PG_CONFIG" --pkglibdir)/als_fuzzer.so
cp als_fuzzer.so "$fuzzer"

enter_sandbox
trap 'leave_sandbox; rm -rf "$tree" "$fuzzer"' EXIT
start_server "-c shared_preload_libraries=als_fuzzer -c max_parallel_workers=0"
run_unprivileged psql -XAtq -v ON_ERROR_STOP=1 -f test/fuzz/targets.sql -c '
	CREATE FUNCTION als_fuzz(query text, flags text[]) RETURNS void
	LANGUAGE c AS $$als_fuzzer$$, $$als_fuzz$$' >/dev/null
run_unprivileged mkdir "$sandbox/found"
run_unprivileged psql -XAtc "SELECT DISTINCT format('\"\\\"%s\\\"\"', name)
	FROM pg_proc, unnest(proargnames) name WHERE proname IN ('als_train', 'als_tune')" \
	>"$sandbox/words"

status=0
for target in ${TARGETS:-$(run_unprivileged psql -XAtc 'SELECT name FROM targets ORDER BY name')}; do
	corpus=$sandbox/corpus/$target
	run_unprivileged mkdir -p "$corpus"
	for i in 1 2 3 4 5 6 7 8; do
		run_unprivileged psql -XAtqc "SELECT seeds[$i] FROM targets
			WHERE name = '$target' AND seeds[$i] IS NOT NULL" -o "$corpus/seed$i"
	done
	before=$(wc -c <"$sandbox/server.log")
	# which ends the session
	run_unprivileged psql -XAtq -c "SELECT als_fuzz(query, ARRAY['$corpus',
		'-max_total_time=$seconds', '-max_len=300', '-dict=$sandbox/words', '-only_ascii=0',
		'-artifact_prefix=$sandbox/found/$target.', '-timeout=0', '-rss_limit_mb=0',
		'-handle_int=0', '-handle_term=0', '-handle_usr1=0', '-handle_usr2=0',
		'-print_final_stats=0', '-verbosity=1'])
		FROM targets WHERE name = '$target'" >/dev/null 2>&1 || true
	said=$(tail -c +"$((before + 1))" "$sandbox/server.log" | grep -aE '^Done|cov:' | tail -n 2 || true)
	echo "$target: $(sed -n 's/.*cov: \([0-9]*\).*/\1 edges/p' <<<"$said" | tail -n 1) $(grep -a ^Done <<<"$said" || true)"
	if ! grep -qa ^Done <<<"$said"; then
		tail -c +"$((before + 1))" "$sandbox/server.log" | grep -avE '^#|^INFO' | head -n 60
		status=1
		await_server
	fi
	for input in "$sandbox/found/$target."*; do
		[ ! -f "$input" ] || od -c "$input"
	done
done
[ $status -eq 0 ] && echo 'Nothing was found.'
exit $status
