#!/usr/bin/env bash
#
# Checks by the includes that dependencies in src/ point down only: a folder
# uses itself and what its line names, and within src/core a file those of lower
# layers.  docs/architecture.md has the picture.

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

# In src/core a file uses those in lines of LAYERS above its own, the lowest
# layer being the first, and its own header.
declare -A layer=()
line=0
while read -r names; do
	[[ $names != '#'* ]] || continue
	line=$((line + 1))
	for name in $names; do
		layer[$name]=$line
	done
done <src/core/LAYERS
for path in src/core/*.[ch]; do
	file=${path##*/}
	if [ -z "${layer[$file]:-}" ]; then
		breach "$path is not in src/core/LAYERS"
		continue
	fi
	while read -r header; do
		own=${header#als_}
		if [ "${layer[$header]:-0}" -ge "${layer[$file]}" ] &&
			[ "${own%.h}" != "${file%.c}" ] && [ "${header%.h}" != "${file%.c}" ]; then
			breach "$path includes $header, which is not below it"
		fi
	done < <(sed -n 's/^#include "\(.*\)"/\1/p' "$path")
done

[ $breaches -eq 0 ] || exit 1
echo 'ok 1 - dependencies in src/ point down only'
