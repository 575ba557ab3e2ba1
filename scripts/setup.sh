#!/usr/bin/env bash
#
# Installs with apt what is missing to build, run and test als, and does
# nothing if nothing is; packages named as arguments, too.  What only some tests
# want comes along where the distribution has it: pgvector, pg_cron.
# PG_CONFIG chooses among PostgreSQL installations.

set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

compiles()
{
	echo '#include <stdio.h>
int main(void) { return 0; }' | gcc -x c - -o /dev/null "$@" 2>/dev/null
}

is_installed()
{
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# Prints what is missing; PostgreSQL, if it is, first and without a version.
missing()
{
	local package
	choose_pg_config || echo postgresql
	compiles || printf '%s\n' gcc libc6-dev
	# shellcheck disable=SC2086
	compiles ${BLAS_LIBS:--llapack -lblas} || echo libopenblas-dev
	command -v make >/dev/null || echo make
	command -v prove >/dev/null || echo perl
	perl -MIPC::Run -e 1 2>/dev/null || echo libipc-run-perl
	for package in "${named[@]}"; do
		is_installed "$package" || echo "$package"
	done
}

# The major version to install: PG_CONFIG's, else that of a server which is
# there already, else the distribution's.
postgresql_version()
{
	local server
	if [[ ${PG_CONFIG:-} =~ ^/usr/lib/postgresql/([0-9]+)/ ]]; then
		echo "${BASH_REMATCH[1]}"
	elif [ -n "${PG_CONFIG:-}" ]; then
		fail "$PG_CONFIG: no PostgreSQL 14 or later with server, PGXS and pg_regress"
	else
		for server in $(printf '%s\n' /usr/lib/postgresql/*/bin/postgres | sort -rV); do
			[ ! -x "$server" ] || { echo "$server" | cut -d / -f 5; return; }
		done
		{ apt-cache depends postgresql 2>/dev/null || true; } |
			sed -n 's/.*Depends: postgresql-\([0-9]*\)$/\1/p'
	fi
}

apt()
{
	if ! as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 \
		apt-get -qq -o DPkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 "$@" >"$log" 2>&1; then
		cat "$log" >&2
		return 1
	fi
}

# Debian creates and starts a cluster with its server: not on our account.
forbid_cluster()
{
	local directory=/etc/postgresql-common/createcluster.d
	local file=$directory/als-setup.conf
	as_root sh -c "mkdir -p $directory; echo 'create_main_cluster = false' >$file"
	# shellcheck disable=SC2064
	trap "rm '$log'; as_root sh -c 'rm $file; rmdir --ignore-fail-on-non-empty $directory'" EXIT
}

log=$(mktemp)
trap 'rm "$log"' EXIT

install_missing()
{
	local packages version
	read -ra packages <<<"$(missing | tr '\n' ' ')"
	[ ${#packages[@]} -gt 0 ] || return 0
	command -v apt-get >/dev/null ||
		fail "no apt-get here; please install what Debian calls ${packages[*]}"

	echo "Asking apt for what is missing: ${packages[*]}"
	apt update || echo 'apt-get update failed, going on regardless' >&2

	# Named are only packages that are missing: a server that is there might get
	# upgraded and restarted.
	if [ "${packages[0]}" = postgresql ]; then
		version=$(postgresql_version)
		[ -n "$version" ] || fail 'apt knows no PostgreSQL'
		packages[0]=postgresql-server-dev-$version
		if [ ! -x "/usr/lib/postgresql/$version/bin/postgres" ]; then
			packages+=("postgresql-$version")
			forbid_cluster
		fi
	fi
	echo "Installing ${packages[*]}"
	apt install -y --no-install-recommends "${packages[@]}"

	read -ra packages <<<"$(missing | tr '\n' ' ')"
	[ ${#packages[@]} -eq 0 ] || fail "still missing: ${packages[*]}"
}

# What some tests are skipped without, from the distribution, if it has it.
install_optional()
{
	local extension extensions package version
	# it is not worth a question for a password
	[ "$(id -u)" -eq 0 ] || sudo -n true 2>/dev/null || return 0
	choose_pg_config
	version=$("$PG_CONFIG" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')
	extensions=$("$PG_CONFIG" --sharedir)/extension
	for extension in vector:pgvector pg_cron:cron; do
		package=postgresql-$version-${extension#*:}
		[ ! -e "$extensions/${extension%:*}.control" ] || continue
		[ -n "$(apt-cache madison "$package" 2>/dev/null)" ] || continue
		echo "Installing $package"
		apt install -y --no-install-recommends "$package" ||
			echo "going on without $package" >&2
	done
}

named=("$@")
install_missing
install_optional
