#!/usr/bin/env bash
#
# Looks for mistakes in C sources with clang-tidy, by .clang-tidy, and with
# cppcheck.  make lint calls it, for CPPFLAGS and the sources are make's.

set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

for program in clang-tidy cppcheck; do
	command -v $program >/dev/null || fail "no $program: Debian has it under this name"
done

# Assertions tell the analyzer what may be relied on.  The warnings that it
# counts are those of all headers, not what it has found.
status=0
printf '%s\n' "$@" | xargs -P "$(nproc)" -I {} sh -c \
	'clang-tidy --quiet {} -- $CPPFLAGS -DUSE_ASSERT_CHECKING' \
	2> >(grep -vE 'warnings? generated\.$' >&2) || status=1

# Left out: that an array is filled by one loop before another one reads it is
# nothing that cppcheck sees (uninitvar; clang and gcc look for these too), and
# workspaces are cut into parts of several types (invalidPointerCast).  It gets
# the macros that it cannot do without, not the server's headers, for which it
# takes an hour.
cppcheck --quiet --error-exitcode=1 --inline-suppr --std=c11 --force \
	--enable=warning,performance,portability \
	--suppress=uninitvar --suppress=invalidPointerCast \
	-DPG_VERSION_NUM=180000 \
	'-DINT64_FORMAT="ld"' '-DUINT64_FORMAT="lu"' \
	'-Dpg_attribute_aligned(a)=' \
	'-Ddlist_foreach(i,list)=while(next(&i,list))' \
	'-Ddlist_foreach_modify(i,list)=while(next(&i,list))' \
	-Isrc "$@" || status=1

exit $status
