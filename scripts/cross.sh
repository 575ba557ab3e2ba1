#!/usr/bin/env bash
#
# Builds als with cross compilers for processors that this machine does not have, and
# under qemu runs the core's unit tests and those tests of pg_regress that bytes and
# kernels decide.  The server is emulated, psql and make are this machine's.  Prints a
# line for each processor.
#
#   make cross                     arm64, and s390x, whose bytes are in the other order
#   make cross ARCHS=arm64         one of them
#   make cross REGRESS=train       other tests of pg_regress
#   make cross CORE_TESTS=search   these of the core's; all of them take an hour or more
#
# What tests printed is in als-cross-ARCH.log beside the chroots; scripts/chroots.sh
# says where they are.  The server has PG_CONFIG's version and is of this machine's
# release.

set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
. scripts/chroots.sh

# What is stored, hashed, searched or computed by a kernel
tests=${REGRESS:-closed_form features filters hash_code holdout ids ids_by_value recommend
	recommend_all row_weights same_ids search similar solve splits train values version weights}

declare -A machine_of=([arm64]=aarch64 [s390x]=s390x)

# Makes a root of another processor's packages, unpacked: nothing has to be configured.
make_foreign_root()
{
	local mirror file deb
	mirror=$(mirror_of "$suite")
	as_root rm -rf --one-file-system "$root.new"
	as_root debootstrap --foreign --arch="$arch" --variant=minbase \
		--include="postgresql-$major,libblas-dev,liblapack-dev" "$suite" "$root.new" "$mirror"
	# alone: what it depends on is a compiler
	file=$(sed -n "s|^Filename: \(.*/postgresql-server-dev-${major}_.*\)|\1|p" \
		"$root.new"/var/lib/apt/lists/*_Packages | tail -n 1)
	as_root wget -q -P "$root.new/var/cache/apt/archives" "$mirror/$file"
	for deb in "$root.new"/var/cache/apt/archives/*.deb; do
		as_root dpkg -x "$deb" "$root.new"
	done
	echo "postgres:x:$(id -u postgres):$(id -g postgres)::/tmp:/bin/sh" |
		as_root tee "$root.new/etc/passwd" >/dev/null
	as_root chmod 1777 "$root.new/tmp"
	as_root mv "$root.new" "$root"
}

# Runs a program of the root as postgres, with the reference BLAS of that root.
run_foreign()
{
	in_chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/bin LC_ALL=C.UTF-8 \
		LD_LIBRARY_PATH="/usr/lib/$machine-linux-gnu/blas:/usr/lib/$machine-linux-gnu/lapack" \
		chroot --userspec="$(id -u postgres):$(id -g postgres)" / "$@"
}

# make with the cross compiler
cross_make()
{
	local libraries=$root/usr/lib/$machine-linux-gnu
	make --no-print-directory CC="$machine-linux-gnu-gcc" \
		BLAS_LIBS="-L$libraries/lapack -L$libraries/blas -llapack -lblas -Wl,--allow-shlib-undefined" "$@"
}

# Installs als in the root.
install_foreign()
{
	# headers and makefiles are the other processor's, programs this machine's
	cat >"$work/pg_config" <<-END
		#!/bin/sh
		case \$1 in
		--pgxs | --includedir* | --pkgincludedir) echo "$root\$('$PG_CONFIG' "\$1")" ;;
		*) '$PG_CONFIG' "\$@" ;;
		esac
	END
	chmod +x "$work/pg_config"
	mkdir "$work/tree"
	git ls-files -z | tar -cf - --null -T - | tar -xf - -C "$work/tree"
	cross_make -C "$work/tree" PG_CONFIG="$work/pg_config"
	as_root cp "$work"/tree/*.so "$root$("$PG_CONFIG" --pkglibdir)/"
	as_root cp "$work/tree/als.control" "$work"/tree/sql/als--*.sql \
		"$root$("$PG_CONFIG" --sharedir)/extension/"
}

# Starts a server in the root, reached by a socket there, which ends when this script does.
start_foreign()
{
	local programs
	programs=$("$PG_CONFIG" --bindir)
	as_root rm -rf "$root/tmp/data"
	run_foreign "$programs/initdb" -D /tmp/data -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-sync
	# shellcheck disable=SC2016
	exec 9> >(run_foreign sh -c '"$0" -D /tmp/data -k /tmp -c listen_addresses= -c fsync=off &
		cat; kill -INT $!; wait' "$programs/postgres" >"$work/server.log" 2>&1)
	export PGHOST=$root/tmp PGUSER=postgres PGDATABASE=postgres
	for _ in {1..60}; do
		! psql -X -c 'SELECT version()' || return 0
		sleep 1
	done
	cat "$work/server.log"
	fail 'the server did not start'
}

# Builds and tests for a processor.
test_processor()
{
	arch=$1
	machine=${machine_of[$arch]:-}
	root=$chroots/$suite-$arch
	[ -n "$machine" ] || fail "no machine known for $arch"
	scripts/setup.sh debootstrap wget qemu-user-static "gcc-$machine-linux-gnu" "libc6-dev-$arch-cross"
	[ -d "$root" ] || make_foreign_root

	cross_make -C test/core BUILD="$work/core" all
	as_root cp "$work/core/core_tests" "$root/tmp/"
	# shellcheck disable=SC2086
	run_foreign /tmp/core_tests ${CORE_TESTS:-}

	install_foreign
	enter_sandbox
	start_foreign
	run_unprivileged make --no-print-directory installcheck PG_CONFIG="$PG_CONFIG" \
		TAP_TESTS= REGRESS="$tests" || {
		cat regression.diffs
		return 1
	}
}

choose_pg_config || fail 'no PostgreSQL'
major=$("$PG_CONFIG" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")

# one processor, by the loop below
if [ $# -gt 0 ]; then
	work=$(mktemp -d)
	trap 'exec 9>&-; wait; leave_sandbox; rm -rf "$work"' EXIT
	test_processor "$1"
	exit
fi

failed=0
as_root mkdir -p "$chroots"
for arch in ${ARCHS:-arm64 s390x}; do
	log=$chroots/als-cross-$arch.log
	scripts/cross.sh "$arch" >"$log" 2>&1 || {
		echo "$arch: failed, see $log"
		failed=1
	}
	# pg_regress pads numbers, or has words
	printf '%s: %d unit tests of the core passed, %d tests of pg_regress\n' "$arch" \
		"$(grep -cE '^ok [0-9]+ - ' "$log")" "$(grep -cE '^ok [0-9]+ {2,}- |^test .* \.\.\. ok ' "$log")"
done
exit $failed
