#!/usr/bin/env bash
#
# Runs the tests where every wrong step is caught: on a server that is built with
# assertions, with them and the address and undefined-behaviour sanitizers, or with
# them and for valgrind.
#
#   scripts/sanitize.sh assertions|sanitizers|valgrind [TEST ...]
#
# TEST is a test of pg_regress or a TAP test (t/NNN_name.pl); without any, all of
# pg_regress and the fuzz test, and with assertions alone all TAP tests.
#
#   PG_SOURCE      PostgreSQL's source tree; if not set, that of PG_CONFIG's
#                  version, or the next that there is, by apt-get source
#   ALS_CACHE      where to build it, once; ~/.cache/als if not set, for root
#                  /var/cache/als
#   ALS_FUZZ_...   see test/t/090_fuzz.pl

set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

kind=${1:-}
case $kind in
	assertions | sanitizers | valgrind) shift ;;
	*) fail 'assertions, sanitizers or valgrind?' ;;
esac
# root's home is closed to the user that the server runs as
default=$HOME/.cache/als
[ "$(id -u)" -ne 0 ] || default=/var/cache/als
cache=${ALS_CACHE:-$default}
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)

# Leaks are no fault in a server, whose memory goes with its contexts.
export ASAN_OPTIONS=detect_leaks=0:detect_stack_use_after_return=0:abort_on_error=1
export UBSAN_OPTIONS=print_stacktrace=1:abort_on_error=1

# What apt has of binary packages, as sources and on our account
apt()
{
	"$@" -o Dir::Etc::SourceList=/dev/null \
		-o Dir::Etc::SourceParts="$cache/apt/sources.list.d" \
		-o Dir::State::Lists="$cache/apt/lists" -o APT::Sandbox::User=root
}

# The distribution's source of a major version, in the cache
fetch_source()
{
	local package=postgresql-$1 file version
	mkdir -p "$cache/apt/sources.list.d" "$cache/apt/lists/partial"
	for file in /etc/apt/sources.list /etc/apt/sources.list.d/*; do
		[ -f "$file" ] || continue
		case $file in
			*.list) sed -n 's/^deb /deb-src /p' "$file" ;;
			*.sources) sed 's/^Types:.*/Types: deb-src/' "$file" ;;
		esac >"$cache/apt/sources.list.d/${file##*/}"
	done
	apt apt-get -qq update || echo 'apt-get update failed, going on regardless' >&2
	cd "$cache"
	for version in $(apt apt-cache showsrc "$package" |
		sed -n 's/^Version: //p' | sort -rV); do
		if apt apt-get -qq source --download-only "$package=$version"; then
			mkdir "$source.new"
			tar -xf "${package}_${version%-*}".orig.tar.* -C "$source.new" --strip-components=1
			mv "$source.new" "$source"
			break
		fi
	done
	cd - >/dev/null
	[ -d "$source" ] || fail "no source of $package; set PG_SOURCE"
}

# Builds a server with what the tests use of contrib, out of its source tree
build_server()
{
	local flags=() dir
	echo "Building PostgreSQL for $kind in $cache"
	case $kind in
		assertions) flags=(CFLAGS='-O2 -g') ;;
		sanitizers)
			flags=(CFLAGS='-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all -fno-sanitize=nonnull-attribute'
				LDFLAGS='-fsanitize=address,undefined')
			;;
		valgrind) flags=(CFLAGS='-O1 -g -fno-omit-frame-pointer' CPPFLAGS=-DUSE_VALGRIND) ;;
	esac
	if pkg-config --exists icu-i18n; then
		flags+=(--with-icu)
	else
		echo 'without ICU, which the test ids wants' >&2
		[ "${major:-0}" -lt 16 ] || flags+=(--without-icu)
	fi
	rm -rf "$server.build" && mkdir "$server.build" && cd "$server.build"
	{
		"$source/configure" -q --prefix="$server" --enable-cassert --enable-debug \
			--enable-tap-tests "${flags[@]}"
		for dir in . contrib/file_fdw contrib/postgres_fdw; do
			nice make -s -j"$(nproc)" -C "$dir" all
			nice make -s -C "$dir" install
		done
	} >"$server.log" 2>&1 || { tail -n 50 "$server.log"; fail "see $server.log"; }
	cd - >/dev/null
	rm -rf "$server.build"
	touch "$server/built"
}

# Puts a server under valgrind: bootstrapping and questions go without.
wrap_server()
{
	[ ! -e "$server/bin/postgres.bin" ] || return 0
	command -v valgrind >/dev/null || fail 'valgrind is not there'
	cp "$source/src/tools/valgrind.supp" "$server/share/"
	mv "$server/bin/postgres" "$server/bin/postgres.bin"
	cat >"$server/bin/postgres" <<END
#!/bin/sh
case " \$* " in
	*' --boot '* | *' --single '* | *' --check '* | *' -V '* | *' --describe-config '* | *' -C '*)
		exec '$server/bin/postgres.bin' "\$@" ;;
esac
exec valgrind --quiet --leak-check=no --error-markers=VALGRINDERROR,END \\
	--suppressions='$server/share/valgrind.supp' --gen-suppressions=no \\
	--log-file="\$ALS_VALGRIND_LOGS/%p.log" '$server/bin/postgres.bin' "\$@"
END
	chmod +x "$server/bin/postgres"
}

choose_pg_config || true
if [ -n "${PG_SOURCE:-}" ]; then
	major=$(sed -n "s/^PACKAGE_VERSION='\([0-9]*\).*/\1/p" "$PG_SOURCE/configure")
	source=$(cd "$PG_SOURCE" && pwd)
	server=$cache/$kind-$(cksum <<<"$source" | cut -d ' ' -f 1)
else
	[ -n "${PG_CONFIG:-}" ] || fail 'set PG_CONFIG or PG_SOURCE'
	major=$("$PG_CONFIG" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')
	source=$cache/postgresql-$major
	server=$cache/$kind-$major
	[ -d "$source" ] || fetch_source "$major"
fi
[ -e "$server/built" ] || build_server
[ "$kind" != valgrind ] || wrap_server
export PG_CONFIG=$server/bin/pg_config

# Objects of another server are of no use.
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
tar -cf - --exclude=./.git --exclude='*.o' --exclude='*.so' . | tar -xf - -C "$tree"
cd "$tree"
build
install_build >/dev/null
if [ $# -eq 0 ] && [ "$kind" = sanitizers ]; then
	# -fwrapv hides overflows in a server's build, but not here
	make --no-print-directory -C test/core sanitize | grep -v '^ok'
fi

enter_sandbox
trap 'leave_sandbox; rm -rf "$tree"' EXIT
export ALS_VALGRIND_LOGS=$sandbox/valgrind
mkdir "$ALS_VALGRIND_LOGS"
chmod 777 "$ALS_VALGRIND_LOGS"
start_server

# Fewer calls where each takes long
case $kind in
	assertions) calls=5000 ;;
	sanitizers) calls=2000 ;;
	valgrind) calls=300 ;;
esac
export ALS_FUZZ_CALLS=${ALS_FUZZ_CALLS:-$calls}
export ALS_FUZZ_TIMEOUT=${ALS_FUZZ_TIMEOUT:-1200}
regress=
tap=
for test in "$@"; do
	case $test in
		t/*) tap+=" test/$test" ;;
		*) regress+=" $test" ;;
	esac
done
status=0
if [ $# -eq 0 ] || [ -n "$regress" ]; then
	run_unprivileged make --no-print-directory installcheck PG_CONFIG="$PG_CONFIG" \
		TAP_TESTS= ${regress:+REGRESS="$regress"} || status=1
	[ ! -f regression.diffs ] || cat regression.diffs
fi
if [ $# -eq 0 ] || [ -n "$tap" ]; then
	[ "$kind" != assertions ] || tap=${tap:-$(echo test/t/*.pl)}
	run_unprivileged make --no-print-directory installcheck PG_CONFIG="$PG_CONFIG" \
		REGRESS= PROVE_TESTS="${tap:-test/t/090_fuzz.pl}" || status=1
fi

# What the tools and the assertions have said
findings=$(grep -rhE -A 25 'ERROR: AddressSanitizer|runtime error:|^TRAP:|VALGRINDERROR' \
	"$sandbox/server.log" "$ALS_VALGRIND_LOGS" tmp_check/log 2>/dev/null | head -n 300 || true)
if [ -n "$findings" ]; then
	echo "$findings"
	status=1
fi
[ $status -eq 0 ] && echo 'Nothing was found.'
exit $status
