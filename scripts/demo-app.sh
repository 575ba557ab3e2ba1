#!/usr/bin/env bash
#
# Builds and installs als, and serves the page of demo/app, on a throw-away
# server; PORT is where, 8000 if it is not set.  With the argument "test", uses
# the page in headless Chromium instead; SCREENSHOT is a file for what it looks
# like.

set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

trap leave_sandbox EXIT

run_sql()
{
	run_unprivileged "$bindir/psql" -X -q -v ON_ERROR_STOP=1 -f "$1"
}

# A script of demo/app, by Debian's Python, which has Debian's modules
run_python()
{
	run_unprivileged /usr/bin/python3 "demo/app/$1" "${@:2}"
}

run_test()
{
	local pg_ctl="$bindir/pg_ctl -s -w -D $sandbox/data"
	run_python test.py "$sandbox/screenshot.png" "$pg_ctl stop -m immediate" \
		"$pg_ctl restart >/dev/null 2>&1"
	[ -z "$SCREENSHOT" ] || cp "$sandbox/screenshot.png" "$SCREENSHOT"
}

SCREENSHOT=${SCREENSHOT:+$(realpath "$SCREENSHOT")}
packages=(python3-psycopg2)
[ "${1:-}" != test ] || packages+=(chromium chromium-driver python3-selenium)

scripts/setup.sh "${packages[@]}"
choose_pg_config
echo "Building for $("$PG_CONFIG" --version)"
quietly build
quietly install_build

enter_sandbox
start_server
echo 'Training'
quietly run_sql demo/demo.sql
quietly run_sql demo/app/app.sql
if [ "${1:-}" = test ]; then
	run_test
else
	run_python server.py "${PORT:-8000}"
fi
