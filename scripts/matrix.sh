#!/usr/bin/env bash
#
# Runs make check with PostgreSQL 14 to 19, each in a chroot of the Debian or Ubuntu
# release that has it, and prints a row for each of the table in docs/platforms.md.
#
#   make matrix                        all versions
#   make matrix VERSIONS="15 19"       some; other variables are make check's
#
#   ALS_CHROOTS    where the chroots are made, once; /var/cache/als/chroots if not set
#
# What make check printed is in als-NN.log there.  Debian's packages come from the
# mirror that apt is configured with; Ubuntu's from that which debootstrap knows.

set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

declare -A suite_of=([14]=jammy [15]=bookworm [16]=noble [17]=trixie [18]=sid [19]=experimental)
chroots=${ALS_CHROOTS:-/var/cache/als/chroots}
debootstrap_scripts=/usr/share/debootstrap/scripts

# The mirror of a release: apt's for Debian, else the one in debootstrap's script
mirror_of()
{
	case $1 in
	jammy | noble)
		# the URL that is not of releases past their end
		sed -n 's/^[[:space:]]*default_mirror //p' $debootstrap_scripts/jammy |
			grep -v old-releases | head -n 1
		;;
	*)
		# shellcheck disable=SC2016
		apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' \
			'Label: Debian' | head -n 1
		;;
	esac
}

# Makes the chroot of a release.  Experimental is unstable, with what PostgreSQL's
# packages there need of it.
make_chroot()
{
	local suite=$1 root=$2 base=$1 components=main script mirror
	mirror=$(mirror_of "$suite")
	[ -n "$mirror" ] || fail "no mirror of $suite known"
	case $suite in
	experimental) base=sid ;;
	jammy | noble) components=main,universe ;;
	esac
	script=$debootstrap_scripts/$base
	# Ubuntu's are all the same; an older debootstrap lacks the newest name
	[ -e "$script" ] || script=$debootstrap_scripts/jammy
	rm -rf "$root.new"
	as_root debootstrap --variant=minbase --components=$components \
		"$base" "$root.new" "$mirror" "$script"
	case $suite in
	experimental)
		as_root sh -c "echo 'deb $mirror experimental main' >>'$root.new/etc/apt/sources.list'
			printf '%s\n' 'Package: postgresql* libpq*' 'Pin: release a=experimental' \
				'Pin-Priority: 990' >'$root.new/etc/apt/preferences.d/postgresql'" ;;
	jammy | noble)
		as_root sh -c "echo 'deb $mirror $suite-updates main universe' >>'$root.new/etc/apt/sources.list'" ;;
	esac
	# no service is to start
	as_root sh -c "printf '#!/bin/sh\nexit 101\n' >'$root.new/usr/sbin/policy-rc.d'
		chmod +x '$root.new/usr/sbin/policy-rc.d'"
	as_root mv "$root.new" "$root"
}

# Runs a command in a chroot, with processes and mounts that end with it
in_chroot()
{
	local root=$1
	shift
	# shellcheck disable=SC2016
	as_root unshare --mount --pid --fork --kill-child sh -c '
		mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" &&
		exec chroot "$0" "$@"' "$root" "$@"
}

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
	[ -d "$root" ] || make_chroot "$suite" "$root" >"$log" 2>&1 ||
		fail "could not make $root: $log"
	as_root rm -rf "$root/root/als"
	as_root mkdir "$root/root/als"
	git ls-files -z | tar -cf - --null -T - | as_root tar -xf - -C "$root/root/als"
	in_chroot "$root" sh -c "
		export DEBIAN_FRONTEND=noninteractive
		apt-get -qq update && apt-get -qq install -y --no-install-recommends ca-certificates make procps >/dev/null &&
		cd /root/als && PG_CONFIG=/usr/lib/postgresql/$version/bin/pg_config make check" >"$log" 2>&1 || status=$?
	result=$(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$log") || result="failed: $log"
	printf '%s | %s | %s |\n' "$(in_chroot "$root" sh -c "$describe" "$version")" \
		"$(date +%F)" "$result"
	return "$status"
}

command -v debootstrap >/dev/null || fail 'no debootstrap; please install it'
as_root mkdir -p "$chroots"
failed=0
for version in ${VERSIONS:-14 15 16 17 18 19}; do
	test_version "$version" || failed=1
done
exit $failed
