#!/usr/bin/env bash
#
# Builds the core and its unit tests with each compiler that is here, at each level
# of optimization, runs them, and prints a row for each of a table in
# docs/platforms.md.
#
#   make compilers                         all
#   make compilers COMPILERS="gcc:-O3"     some

set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# What Debian's static BLAS and LAPACK call of Fortran's library, which wants glibc.
musl_blas()
{
	local libraries
	libraries=/usr/lib/$(gcc -print-multiarch)
	cat >"$work/fortran.c" <<-'END'
		#include <stdlib.h>
		#include <string.h>
		/* what is not to be called: an argument was wrong */
		void xerbla_(void);
		void xerbla_(void) { abort(); }
		/* of two letters, for LAPACK's ilaenv */
		void _gfortran_concat_string(size_t, char *, size_t, const char *, size_t, const char *);
		void _gfortran_concat_string(size_t size, char *to, size_t na, const char *a,
			size_t nb, const char *b)
		{
			memset(to, ' ', size);
			memcpy(to, a, na < size ? na : size);
			if (na < size)
				memcpy(to + na, b, nb < size - na ? nb : size - na);
		}
	END
	musl-gcc -O2 -c -o "$work/fortran.o" "$work/fortran.c"
	echo "-static $work/fortran.o $libraries/lapack/liblapack.a $libraries/blas/libblas.a"
}

# Prints the row of a compiler and its flags.
test_compiler()
{
	local compiler=$1 flags=$2 log=$work/log blas=${BLAS_LIBS:--llapack -lblas} status=0
	if ! command -v "$compiler" >/dev/null; then
		printf '| %s %s | not here |\n' "$compiler" "$flags"
		return 0
	fi
	[ "$compiler" != musl-gcc ] || blas=$(musl_blas)
	make --no-print-directory -C test/core check CC="$compiler" CFLAGS="$flags -g" \
		BLAS_LIBS="$blas" BUILD="$work/build" >"$log" 2>&1 || status=$?
	[ $status -eq 0 ] || grep -E '^not ok|error|warning|\*\*\*' "$log" >&2 || tail "$log" >&2
	printf '| %s %s, %s | %d passed, %d failed |\n' "$compiler" "$("$compiler" -dumpversion)" \
		"$flags" "$(grep -c '^ok ' "$log")" "$(grep -c '^not ok ' "$log")"
	rm -rf "$work/build"
	return $status
}

failed=0
for pair in ${COMPILERS:-gcc:-O0 gcc:-O1 gcc:-O2 gcc:-O3 clang:-O2 musl-gcc:-O2}; do
	test_compiler "${pair%%:*}" "${pair#*:}" || failed=1
done
exit $failed
