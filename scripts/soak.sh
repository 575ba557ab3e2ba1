#!/usr/bin/env bash
#
# Lets eight sessions work at random for some ten minutes: test/t/031_soak.pl,
# whose head has the settings, with another seed each time.

set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

export ALS_SOAK_OPERATIONS=${ALS_SOAK_OPERATIONS:-15000}
export ALS_SOAK_SEED=${ALS_SOAK_SEED:-$(date +%s)}
echo "Seed $ALS_SOAK_SEED"
run_tap_test test/t/031_soak.pl PROVE_FLAGS=-v
