#!/usr/bin/env bash
#
# Formats the C sources with pgindent, as PostgreSQL's are.  Arguments are
# pgindent's: scripts/indent.sh --check says whether anything would change.

set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

# Debian's has pg_bsd_indent and pg_config beside it.
program=$(command -v pgindent ||
	printf '%s\n' /usr/lib/postgresql/*/bin/pgindent | sort -rV | head -n 1)
[ -x "$program" ] ||
	fail 'no pgindent: Debian has it in postgresql-server-dev-17 and later'
bindir=$(dirname "$(readlink -f "$program")")

work=$(mktemp -d)
trap 'rm -r "$work"' EXIT

# Names of types: our own, and the server's.  Of those only what looks like a
# type, since the list also has words such as text, digit and numeric.
{
	echo int8_t int16_t | tr ' ' '\n'
	find src test -name '*.[ch]' -print0 | xargs -0 perl -0777 -ne '
		s{/\*.*?\*/}{}gs;
		s/^#(.*\\\n)*.*//gm;
		while (/^typedef\b((?:[^{};]|(\{(?:[^{}]|(?2))*\}))*);/gm)
		{
			my $declaration = $1 =~ s/\{.*\}|__attribute__.*|\[.*\]//gsr;
			print "$1\n" if $declaration =~ /\(\s*\*\s*(\w+)\s*\)/ ||
				$declaration =~ /(\w+)\s*(?:\((?!\s*\*).*)?$/s;
		}'
	grep '[A-Z_0-9]' "$("$bindir/pg_config" --sharedir)/typedefs.list"
} | sort -u >"$work/typedefs"

# It does not know GCC's vectors and attributes.
printf '%s\n' 'kernels_(vector|equations)\.h$' >"$work/excludes"

PATH=$bindir:$PATH "$program" --typedefs="$work/typedefs" \
	--excludes="$work/excludes" "$@" src test
