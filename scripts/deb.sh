#!/usr/bin/env bash
#
# Builds the Debian packages in a chroot, looks at them with lintian, installs them in
# a bare chroot without a compiler, and there creates the extension, trains and
# recommends.  Then autopkgtest runs debian/tests there.  The packages are in deb/ then.
#
#   make deb                 for Debian stable
#   make deb SUITE=noble     for another release; scripts/chroots.sh says where chroots are

set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
. scripts/chroots.sh

suite=${SUITE:-trixie}
root=$chroots/$suite
bare=$chroots/$suite-bare
log=$chroots/als-deb-$suite.log

show_failure()
{
	local status=$?
	[ $status -eq 0 ] || tail -n 30 "$log" >&2
	exit $status
}
trap show_failure EXIT

need_chroot "$suite" "$root" "$log"
copy_tree "$root"
version=$(dpkg-parsechangelog -S Version)
echo "Building $version for $suite"
# shellcheck disable=SC2016
in_chroot "$root" sh -ec '
	export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
	apt-get -qq update
	apt-get -qq install -y --no-install-recommends build-essential lintian postgresql-server-dev-all >/dev/null
	cd /root
	rm -f *.deb *.dsc *.tar.*
	tar -czf "postgresql-als_${0%-*}.orig.tar.gz" --exclude=als/debian als
	cd als
	pg_buildext updatecontrol
	apt-get -qq build-dep -y . >/dev/null
	dpkg-buildpackage -us -uc
	lintian --fail-on error ../postgresql-als_"$0"_*.changes' "$version" >"$log" 2>&1

mkdir -p deb
cp "$root"/root/postgresql-*-als_"$version"_*.deb deb/
grep -E '^[EW]: ' "$log" || echo 'lintian: neither errors nor warnings'

as_root rm -rf --one-file-system "$bare"
need_chroot "$suite" "$bare" "$log"
as_root cp deb/postgresql-*-als_"$version"_*.deb packaging/try.sql "$bare/root/"
# shellcheck disable=SC2016
in_chroot "$bare" sh -ec '
	export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
	apt-get -qq update
	for deb in /root/postgresql-*-als_*.deb; do
		name=${deb##*/}
		name=${name%%_*}
		server=${name%-als}
		echo "\$ apt-get install ./${deb##*/}"
		apt-get -qq install -y --no-install-recommends "$server" "$deb" >/root/apt.log 2>&1 || { cat /root/apt.log; exit 1; }
		if command -v gcc cc clang; then echo "a compiler"; exit 1; fi
		pg_createcluster "${server#postgresql-}" als >/dev/null
		pg_ctlcluster "${server#postgresql-}" als start
		echo "\$ psql -f try.sql"
		su postgres -c "psql -X -e -v ON_ERROR_STOP=1 --cluster ${server#postgresql-}/als" </root/try.sql
		pg_dropcluster --stop "${server#postgresql-}" als
	done'

echo 'Running debian/tests'
as_root cp "$root"/root/postgresql-als_*.dsc "$root"/root/postgresql-als_*.tar.* "$bare/root/"
in_chroot "$bare" sh -ec '
	export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
	apt-get -qq install -y --no-install-recommends autopkgtest >/dev/null
	autopkgtest --no-built-binaries --summary-file=/root/summary /root/*.dsc /root/*.deb -- null' >"$log" 2>&1
cat "$bare/root/summary"
