# Chroots of Debian and Ubuntu releases.  Sourced behind lib.sh.
# shellcheck shell=bash
#
#   ALS_CHROOTS    where they are made, once; /var/cache/als/chroots if not set
#
# Debian's packages come from the mirror that apt is configured with; Ubuntu's from
# that which debootstrap knows.

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
	as_root rm -rf --one-file-system "$root.new"
	# what it mounts goes with it
	as_root unshare --mount debootstrap --variant=minbase --components=$components \
		"$base" "$root.new" "$mirror" "$script"
	case $suite in
	experimental)
		as_root sh -c "echo 'deb $mirror experimental main' >>'$root.new/etc/apt/sources.list'
			printf '%s\n' 'Package: postgresql* libpq*' 'Pin: release a=experimental' \
				'Pin-Priority: 990' >'$root.new/etc/apt/preferences.d/postgresql'" ;;
	jammy | noble)
		as_root sh -c "echo 'deb $mirror $suite-updates main universe' >>'$root.new/etc/apt/sources.list'" ;;
	esac
	# as here: a mirror may be frozen
	apt-config dump | grep '^Acquire::Check-Valid-Until ' |
		as_root tee "$root.new/etc/apt/apt.conf.d/00valid" >/dev/null || true
	# no service is to start
	as_root sh -c "printf '#!/bin/sh\nexit 101\n' >'$root.new/usr/sbin/policy-rc.d'
		chmod +x '$root.new/usr/sbin/policy-rc.d'"
	as_root mv "$root.new" "$root"
}

# Runs a command in a chroot, with processes and mounts that end with it.  The first
# process is not the command: no signal of its own would end it, were it to crash.
in_chroot()
{
	local root=$1
	shift
	# shellcheck disable=SC2016
	as_root unshare --mount --pid --fork --kill-child sh -c '
		mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" &&
		chroot "$0" "$@"
		exit $?' "$root" "$@"
}

# Makes the chroot of a release unless it is there; what that prints goes to a log.
need_chroot()
{
	local suite=$1 root=$2 log=$3
	command -v debootstrap >/dev/null || fail 'no debootstrap; please install it'
	as_root mkdir -p "$chroots"
	[ -d "$root" ] || make_chroot "$suite" "$root" >"$log" 2>&1 ||
		fail "could not make $root: $log"
}

# Copies the tree, as git has it, to /root/als of a chroot.
copy_tree()
{
	as_root rm -rf "$1/root/als"
	as_root mkdir "$1/root/als"
	git ls-files -z | tar -cf - --null -T - | as_root tar -xf - -C "$1/root/als"
}
