# Servers built from PostgreSQL's source.  Sourced behind lib.sh.
# shellcheck shell=bash
#
#   PG_SOURCE      PostgreSQL's source tree; if not set, that of PG_CONFIG's
#                  version, or the next that there is, by apt-get source
#   ALS_CACHE      where to build it, once; ~/.cache/als if not set, for root
#                  /var/cache/als

# root's home is closed to the user that the server runs as
default=$HOME/.cache/als
[ "$(id -u)" -ne 0 ] || default=/var/cache/als
cache=${ALS_CACHE:-$default}
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)

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
	cd "$cache" || exit
	for version in $(apt apt-cache showsrc "$package" |
		sed -n 's/^Version: //p' | sort -rV); do
		if apt apt-get -qq source --download-only "$package=$version"; then
			mkdir "$source.new"
			tar -xf "${package}_${version%-*}".orig.tar.* -C "$source.new" --strip-components=1
			mv "$source.new" "$source"
			break
		fi
	done
	cd - >/dev/null || exit
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
	rm -rf "$server.build" && mkdir "$server.build" && cd "$server.build" || exit
	# PostgreSQL's makefiles generate headers on the first level alone
	unset MAKELEVEL
	{
		"$source/configure" -q --prefix="$server" --enable-cassert --enable-debug \
			--enable-tap-tests "${flags[@]}"
		for dir in . contrib/dblink contrib/file_fdw contrib/postgres_fdw; do
			nice make -s -j"$(nproc)" -C "$dir" all
			nice make -s -C "$dir" install
		done
	} >"$server.log" 2>&1 || { tail -n 50 "$server.log"; fail "see $server.log"; }
	cd - >/dev/null || exit
	rm -rf "$server.build"
	touch "$server/built"
}

# Sets PG_CONFIG to that of a server for assertions, sanitizers or valgrind, which is
# built if it is not there; its source tree is in source, its place in server.
need_server()
{
	local kind=$1 major
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
	export PG_CONFIG=$server/bin/pg_config
}

# Copies the tree to where als is built for that server, with further arguments of make,
# and installed: objects of another server are of no use.
build_for_server()
{
	tree=$(mktemp -d)
	trap 'rm -rf "$tree"' EXIT
	tar -cf - --exclude=./.git --exclude='*.o' --exclude='*.so' . | tar -xf - -C "$tree"
	cd "$tree" || exit
	quietly make --no-print-directory -j"$(nproc)" PG_CONFIG="$PG_CONFIG" "$@"
	quietly make --no-print-directory install PG_CONFIG="$PG_CONFIG" "$@"
}
