#!/usr/bin/env bash
#
# Kills processes at 100 random moments, and lets every request for memory, shared memory
# and room on the disk fail: test/t/074_kills.pl and 075_faults.pl, whose heads have the
# settings.

set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

export ALS_KILLS=${ALS_KILLS:-100} ALS_FAULTS=${ALS_FAULTS:-all}
export ALS_KILL_SEED=${ALS_KILL_SEED:-$(date +%s)}
echo "Seed $ALS_KILL_SEED"
run_tap_test 'test/t/074_kills.pl test/t/075_faults.pl' PROVE_FLAGS=-v
