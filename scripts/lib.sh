# What the scripts share.  Sourced by them, at the top of the tree.
# shellcheck shell=bash

export LANG=C.UTF-8 LC_ALL=C.UTF-8

# A signal ends a script as an error does: by way of its trap on EXIT.
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

fail()
{
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

as_root()
{
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		fail "neither root nor sudo, but needed for: $*"
	fi
}

# Whether a pg_config is that of a PostgreSQL 14 or later which can serve,
# build extensions and test them.
usable_pg_config()
{
	local bindir pgxs version
	version=$("$1" --version 2>/dev/null) || return 1
	version=${version#PostgreSQL }
	bindir=$("$1" --bindir)
	pgxs=$("$1" --pgxs)
	[ "${version%%[!0-9]*}" -ge 14 ] &&
		[ -x "$bindir/initdb" ] &&
		[ -x "$bindir/psql" ] &&
		[ -f "$pgxs" ] &&
		[ -f "$("$1" --includedir-server)/postgres.h" ] &&
		[ -x "${pgxs%/makefiles/pgxs.mk}/test/regress/pg_regress" ]
}

# Sets PG_CONFIG, if it is not set, to the first that is usable: that of PATH,
# else the newest one where Debian has them.
choose_pg_config()
{
	local candidates candidate
	candidates=${PG_CONFIG:-pg_config $(
		printf '%s\n' /usr/lib/postgresql/*/bin/pg_config | sort -rV)}
	for candidate in $candidates; do
		if usable_pg_config "$candidate"; then
			export PG_CONFIG=$candidate
			return
		fi
	done
	return 1
}

# Runs a command and shows what it says only if it fails.
quietly()
{
	local log status=0
	log=$(mktemp)
	"$@" >"$log" 2>&1 || status=$?
	[ $status -eq 0 ] || cat "$log" >&2
	rm "$log"
	return $status
}

build()
{
	make --no-print-directory -j"$(nproc)" PG_CONFIG="$PG_CONFIG"
}

install_build()
{
	local install=(make --no-print-directory install PG_CONFIG="$PG_CONFIG")
	if [ -w "$("$PG_CONFIG" --pkglibdir)" ]; then
		"${install[@]}"
	else
		as_root "${install[@]}"
	fi
}

# Copies the tree to where an unprivileged user may work on it, and goes
# there.  leave_sandbox, to be called at exit, stops all servers in it.
sandbox=
enter_sandbox()
{
	local variable
	for variable in "${!PG@}"; do
		[[ $variable = PG_* ]] || unset "$variable"
	done

	bindir=$("$PG_CONFIG" --bindir)
	# not TMPDIR: the path of a socket has to be short
	sandbox=$(TMPDIR=/tmp mktemp -d)

	mkdir "$sandbox/tree"
	tar -cf - --exclude=./.git --exclude=./bench --exclude=./spark/.venv --exclude='*.o' --exclude='*.so' . |
		tar -xf - -C "$sandbox/tree"
	if [ "$(id -u)" -eq 0 ]; then
		chown -R postgres: "$sandbox"
	fi
	cd "$sandbox/tree" || exit
}

leave_sandbox()
{
	local pidfile
	[ -n "$sandbox" ] || return 0
	trap '' HUP INT TERM
	find "$sandbox" -name postmaster.pid | while read -r pidfile; do
		run_unprivileged "$bindir/pg_ctl" stop -s -m immediate \
			-D "${pidfile%/*}" 2>/dev/null || true
	done
	cd /
	rm -rf "$sandbox"
}

# PostgreSQL refuses to run as root.
run_unprivileged()
{
	local command=(env HOME="$sandbox" TMPDIR="$sandbox" "$@")
	if [ "$(id -u)" -eq 0 ]; then
		command=(setpriv --reuid=postgres --regid=postgres --init-groups
			"${command[@]}")
	fi
	"${command[@]}"
}

# Starts a server; an argument is further options of postgres.
start_server()
{
	run_unprivileged "$bindir/initdb" -D "$sandbox/data" -U postgres -A trust \
		-E UTF8 --locale=C.UTF-8 --no-sync >"$sandbox/initdb.log" ||
		fail 'initdb failed'
	run_unprivileged "$bindir/pg_ctl" start -s -w -D "$sandbox/data" \
		-l "$sandbox/server.log" \
		-o "-k $sandbox -c listen_addresses='' -c fsync=off ${1:-}" || {
		cat "$sandbox/server.log"
		fail 'the server did not start'
	}
	export PGHOST=$sandbox PGUSER=postgres PGDATABASE=postgres
}

# Waits for a server that may be starting anew.
await_server()
{
	until run_unprivileged psql -XAtqc 'SELECT' 2>/dev/null; do
		sleep 1
	done
}

# Builds and installs als, and runs one TAP test of it in a sandbox; further
# arguments are make's.
run_tap_test()
{
	local test=$1
	shift
	scripts/setup.sh
	choose_pg_config
	build
	install_build
	trap leave_sandbox EXIT
	enter_sandbox
	run_unprivileged make --no-print-directory installcheck \
		PG_CONFIG="$PG_CONFIG" REGRESS= PROVE_TESTS="$test" "$@"
}
