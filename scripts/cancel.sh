#!/usr/bin/env bash
#
# Cancels long statements wherever they are, and prints how much CPU time they
# still took: test/t/080_cancel_latency.pl, whose head has the settings.

set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

export ALS_CANCEL_PLACES=${ALS_CANCEL_PLACES:-20}
run_tap_test test/t/080_cancel_latency.pl
