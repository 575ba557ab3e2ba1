#!/usr/bin/env bash
#
# Trains with Spark, on this machine, and compares with als: spark/check.py.
# Installs what is missing: a Java runtime and the JDBC driver with apt, Spark from
# PyPI into spark/.venv.  Takes a quarter of an hour.

set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

top=$PWD
venv=$top/spark/.venv
export ALS_JDBC=/usr/share/java/postgresql.jar
trap leave_sandbox EXIT

scripts/setup.sh
choose_pg_config

packages=()
command -v java >/dev/null || packages+=(default-jre-headless)
[ -e "$ALS_JDBC" ] || packages+=(libpostgresql-jdbc-java)
python3 -c 'import ensurepip' 2>/dev/null || packages+=(python3-venv)
if [ ${#packages[@]} -gt 0 ]; then
	echo "Asking apt for what is missing: ${packages[*]}"
	as_root apt-get -qq update
	as_root env DEBIAN_FRONTEND=noninteractive \
		apt-get -qq install -y --no-install-recommends "${packages[@]}" >/dev/null
fi
if ! cmp -s spark/requirements.txt "$venv/complete"; then
	echo "Installing Spark"
	rm -rf "$venv"
	python3 -m venv "$venv"
	"$venv/bin/pip" install -q --disable-pip-version-check -r spark/requirements.txt
	cp spark/requirements.txt "$venv/complete"
fi

echo "Building for $("$PG_CONFIG" --version)"
build >/dev/null
install_build >/dev/null

enter_sandbox
port=$("$venv/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
start_server "-c listen_addresses=127.0.0.1 -c port=$port"

# executors come by TCP, and with a password
export PGPORT=$port
run_unprivileged "$bindir/psql" -X -q -c "CREATE ROLE spark SUPERUSER LOGIN PASSWORD 'of Spark'"
run_unprivileged sed -i '1i host all spark 127.0.0.1/32 scram-sha-256' "$sandbox/data/pg_hba.conf"
run_unprivileged "$bindir/pg_ctl" reload -s -D "$sandbox/data"
echo "127.0.0.1:*:*:spark:of Spark" >"$sandbox/pgpass"
chmod 600 "$sandbox/pgpass"
export PGHOST=127.0.0.1 PGUSER=spark PGPASSFILE=$sandbox/pgpass

export ALS_SHARED=${ALS_SHARED:-${top%/*}/shared} ALS_SCRATCH=$sandbox/scratch
export PATH=$venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 SPARK_LOCAL_IP=127.0.0.1
# workers of local-cluster look for Spark here, and keep their logs below it
SPARK_HOME=$(python -c 'import pyspark; print(pyspark.__path__[0])')
export SPARK_HOME SPARK_LOCAL_DIRS=$sandbox/scratch
mkdir "$sandbox/scratch"

cd "$top"
status=0
python spark/check.py || status=$?
rm -rf "$SPARK_HOME/work"
exit $status
