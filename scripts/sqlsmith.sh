#!/usr/bin/env bash
#
# Lets sqlsmith make queries out of all functions and relations that there are, on a
# server with assertions, as the owner of models: it reads them, and edits their rows.
#
#   ALS_SQLSMITH_SECONDS   how long, 600 unless it says otherwise
#   ALS_SQLSMITH_SEED      where chance begins
#   PG_SOURCE, ALS_CACHE   see scripts/built_server.sh

set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
. scripts/built_server.sh

seconds=${ALS_SQLSMITH_SECONDS:-600}
seed=${ALS_SQLSMITH_SEED:-$(date +%s)}
command -v sqlsmith >/dev/null || fail 'sqlsmith is not there'

need_server assertions
build_for_server
enter_sandbox
trap 'leave_sandbox; rm -rf "$tree"' EXIT
start_server "-c log_line_prefix='%e ' -c log_error_verbosity=verbose -c track_functions=all -c max_parallel_workers=0"
run_unprivileged psql -XAtq -v ON_ERROR_STOP=1 <<'END'
CREATE EXTENSION als;
CREATE ROLE smith LOGIN;
ALTER ROLE smith SET statement_timeout = '5s';
GRANT CREATE ON SCHEMA public TO smith;
SET ROLE smith;
CREATE TABLE ratings AS
    SELECT u AS user_id, i AS item_id, 1 + (u + i) % 5 AS rating, 'kind ' || u % 3 AS event, now() - i * interval '1 day' AS rated
    FROM generate_series(1, 20) u, generate_series(1, 15) i WHERE u * i % 4 <> 0;
CREATE VIEW traits AS SELECT DISTINCT item_id, 'trait ' || item_id % 4 AS feature FROM ratings;
SET client_min_messages = warning;
SELECT FROM als_train('liked', 'ratings', factors => 4, iterations => 2, item_features => 'traits');
SELECT FROM als_train('stars', 'SELECT ''user '' || user_id AS user_id, item_id::numeric, rating FROM ratings',
    factors => 4, iterations => 2, feedback => 'explicit');
END

echo "Seed $seed"
run_unprivileged timeout "$seconds" sqlsmith --verbose --seed="$seed" \
	--target="host=$sandbox dbname=postgres user=smith" >"$sandbox/said" 2>&1 || true
await_server
grep -a '^queries:' "$sandbox/said" | tail -n 1 || true
run_unprivileged psql -XAtc "SELECT sum(calls) || ' calls of ' || count(*) || ' functions of als'
	FROM pg_stat_user_functions WHERE funcname LIKE 'als%'"
# Some functions of PostgreSQL itself raise internal errors when they are called so.
find src -name '*.c' -printf '%f\n' >"$sandbox/sources"
if awk 'FNR == NR { ours[$1]; next }
	/^XX... ERROR:/ { error = $0 }
	/^XX... LOCATION:/ { split($NF, at, ":"); if (at[1] in ours) print error, $NF; else theirs++ }
	/^TRAP:|PANIC:|was terminated by signal/
	END { print theirs + 0, "internal errors of PostgreSQL" >"/dev/stderr" }' \
	"$sandbox/sources" "$sandbox/server.log" | sort | uniq -c | grep .; then
	exit 1
fi
echo 'Nothing was found.'
