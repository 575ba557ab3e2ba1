#!/usr/bin/env bash
#
# Kills processes at 100 random moments, lets every request for memory, shared memory
# and room on the disk fail, and gives little of these: test/t/074_kills.pl, 075_faults.pl
# and 078_little_room.pl, whose heads have the settings.

set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

export ALS_KILLS=${ALS_KILLS:-100} ALS_FAULTS=${ALS_FAULTS:-all}
export ALS_ROOM_STEP=${ALS_ROOM_STEP:-1.3} ALS_MODELS=${ALS_MODELS:-1000}
export ALS_KILL_SEED=${ALS_KILL_SEED:-$(date +%s)}
echo "Seed $ALS_KILL_SEED"
run_tap_test 'test/t/074_kills.pl test/t/075_faults.pl test/t/078_little_room.pl' PROVE_FLAGS=-v
