#!/usr/bin/env bash
#
# Measures als against its peers, side by side on this machine.
# bench/run.sh --help says how; bench/README.md what and why.

set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

top=$PWD
venv=$top/bench/.venv
trap leave_sandbox EXIT

# Python's own flags contain -fwrapv, with which GCC does not vectorize
# cmfrec's inner loop: its Cholesky solver would take three times as long.  Nor
# is a wheel of pip's cache to be had, which may have been built with them.
peers()
{
	[ ! -e "$venv/complete" ] || return 0
	echo "Installing the peers"
	python3 -m venv "$venv"
	quietly env CFLAGS='-fno-wrapv -fstrict-overflow -O3 -march=native -DUSEAVX' \
		"$venv/bin/pip" install --disable-pip-version-check \
		--no-cache-dir --no-binary cmfrec,libmf -r bench/requirements.txt
	python3 -m venv "$venv/buffalo"
	quietly "$venv/buffalo/bin/pip" install --disable-pip-version-check \
		buffalo==2.0.6 || rm -r "$venv/buffalo"
	touch "$venv/complete"
}

# als is measured with the BLAS that its README asks for, whatever the machine
# came with: the peers bring the same one along.
openblas()
{
	[ -z "$(apt-cache madison libopenblas-dev 2>/dev/null)" ] ||
		quietly as_root env DEBIAN_FRONTEND=noninteractive \
			apt-get -qq install -y --no-install-recommends libopenblas-dev
}

case " $* " in
*' --help '* | *' -h '*) ;;
*) scripts/setup.sh ;;
esac
choose_pg_config || fail 'no PostgreSQL to build for'
peers
openblas
echo "Building for $("$PG_CONFIG" --version)"
quietly build
quietly install_build

# What is measured, not the results that a run writes beside it.
ALS_COMMIT=$(git log -1 --format=%h -- Makefile sql src 2>/dev/null || echo unknown)
git diff --quiet HEAD -- Makefile sql src 2>/dev/null || ALS_COMMIT+=-dirty
# Debian has a directory for each of the alternatives.
ALS_BLAS=$(ldd als_blas.so | awk '/libblas/ { print $3; exit }' | xargs -r readlink -f)
ALS_BLAS=$(basename "${ALS_BLAS%/*}")
export ALS_COMMIT ALS_BLAS

enter_sandbox
start_server
export PATH=$bindir:$PATH MPLCONFIGDIR=$sandbox PYTHONDONTWRITEBYTECODE=1
# The peers' documentation asks for this: they have threads of their own.
export OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 BLIS_NUM_THREADS=1

cd "$top"
"$venv/bin/python" bench/run.py "$@"
