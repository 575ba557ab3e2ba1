#!/usr/bin/env bash
#
# Fuzzes als for long: test/t/090_fuzz.pl, whose head has the settings, with
# 100,000 calls from another seed each time, on two sessions at once.

set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

export ALS_FUZZ_CALLS=${ALS_FUZZ_CALLS:-100000} ALS_FUZZ_SESSIONS=${ALS_FUZZ_SESSIONS:-2}
export ALS_FUZZ_SEED=${ALS_FUZZ_SEED:-$(date +%s)}
echo "Seed $ALS_FUZZ_SEED"
run_tap_test test/t/090_fuzz.pl
