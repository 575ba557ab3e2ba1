#!/usr/bin/env bash
#
# Runs make check with PostgreSQL 14 to 19, each in a chroot of the Debian or Ubuntu
# release that has it, and prints a row for each of the table in docs/platforms.md.
#
#   make matrix                        all versions
#   make matrix VERSIONS="15 19"       some; other variables are make check's
#
# What make check printed is in als-NN.log beside the chroots; scripts/chroots.sh says
# where they are.

set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
. scripts/chroots.sh

declare -A suite_of=([14]=jammy [15]=bookworm [16]=noble [17]=trixie [18]=sid [19]=experimental)

# What a chroot has: PostgreSQL, release, compiler and BLAS, as columns of a table
# shellcheck disable=SC2016
describe='
	. /etc/os-release
	blas=$(dpkg-query -S "$(readlink -f /usr/lib/*/libblas.so.3)" | cut -d : -f 1)
	printf "| %s | %s | gcc %s | %s" \
		"$(/usr/lib/postgresql/$0/bin/postgres --version | cut -d " " -f 3)" \
		"${PRETTY_NAME}" "$(gcc -dumpfullversion)" \
		"$(dpkg-query -W -f "\${source:Package} \${source:Upstream-Version}" "$blas")"'

# Tests a version and prints its row.
test_version()
{
	local version=$1 suite=${suite_of[$1]:-} root log result status=0
	[ -n "$suite" ] || fail "no release known that has PostgreSQL $version"
	root=$chroots/$suite
	log=$chroots/als-$version.log
	need_chroot "$suite" "$root" "$log"
	copy_tree "$root"
	in_chroot "$root" sh -c "
		export DEBIAN_FRONTEND=noninteractive
		apt-get -qq update && apt-get -qq install -y --no-install-recommends ca-certificates make procps >/dev/null &&
		cd /root/als && PG_CONFIG=/usr/lib/postgresql/$version/bin/pg_config make check" >"$log" 2>&1 || status=$?
	result=$(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$log") || result="failed: $log"
	printf '%s | %s | %s |\n' "$(in_chroot "$root" sh -c "$describe" "$version")" \
		"$(date +%F)" "$result"
	return "$status"
}

failed=0
for version in ${VERSIONS:-14 15 16 17 18 19}; do
	test_version "$version" || failed=1
done
exit $failed
