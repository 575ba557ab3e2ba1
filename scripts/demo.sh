#!/usr/bin/env bash
#
# Builds and installs als, and runs demo/demo.sql on a throw-away server.

set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

trap leave_sandbox EXIT

scripts/setup.sh
choose_pg_config
echo "Building for $("$PG_CONFIG" --version)"
quietly build
quietly install_build

enter_sandbox
start_server
run_unprivileged "$bindir/psql" -X -q -v ON_ERROR_STOP=1 -f demo/demo.sql
