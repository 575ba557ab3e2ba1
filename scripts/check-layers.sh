#!/usr/bin/env bash
#
# Checks by the includes that dependencies in src/ point down only: a folder
# uses itself and what its line names.  docs/architecture.md has the picture.

set -euo pipefail
cd "$(dirname "$0")/.."

declare -A uses=(
	[core]=''
	[common]='core'
	[ratings]='common core'
	[model]='ratings common core'
	[evaluate]='model ratings common core'
	[serve]='model ratings common core'
	[train]='evaluate model ratings common core'
)
breaches=0

breach()
{
	printf '%s\n' "$1" >&2
	breaches=$((breaches + 1))
}

for file in src/*.[ch]; do
	case $file in
	src/als.c | src/compat.h) ;;
	*) breach "$file is in no folder" ;;
	esac
done

for path in src/*/; do
	folder=$(basename "$path")
	[ -n "${uses[$folder]+known}" ] || breach "$path is not in the table"
	while read -r file header; do
		used=$folder
		[[ $header != */* ]] || used=${header%%/*}
		if [ "$folder" = core ]; then
			[ -e "src/core/$header" ] || breach "$file includes $header"
		elif [ "$header" != compat.h ] &&
			[[ " $folder ${uses[$folder]:-} " != *" $used "* ]]; then
			breach "$file includes $header"
		fi
	done < <(grep -o '^#include "[^"]*"' "$path"*.[ch] |
		sed -E 's/:#include "/ /; s/"$//' |
		while read -r file header; do
			# what is not ours is the server's
			if [ -e "src/$header" ] || [ -e "$path$header" ] || [ "$folder" = core ]; then
				printf '%s %s\n' "$file" "$header"
			fi
		done)
done

[ $breaches -eq 0 ] || exit 1
echo 'ok 1 - dependencies in src/ point down only'
