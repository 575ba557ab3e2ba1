"""als_train_sharded beside als_train: CPU seconds of an iteration, in alternating rounds.

The servers are databases of one server, by postgres_fdw: each has a process of its own, which is
what is counted.  Processor time, since on one machine they have its cores together.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import psycopg

import machine
import ours
from data import generate, load
from report import table

RANKS, SERVERS, ITERATIONS = (16, 64, 100), (1, 2, 3), 12
USERS, ITEMS, RATINGS = 6040, 3706, 1_200_000
GOAL = 4  # times als_train's seconds, with Cholesky

PARAMETERS = "factors => {rank}, regularization => 0.01, alpha => 40, iterations => {iterations}, verbose => true"


def processor_seconds(pids: list[int]) -> float:
    return sum(int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[0]) for pid in pids) / 1e9


def make(connection: psycopg.Connection, scale: float) -> None:
    """The ratings, here and in partitions on as many servers as there are to be."""
    ratings = generate("sharded", "S, and a fifth", max(300, int(USERS * scale)), max(200, int(ITEMS * scale)), int(RATINGS * scale ** 2))
    load(connection, ratings, "whole_ratings")
    connection.execute("CREATE EXTENSION IF NOT EXISTS postgres_fdw; CREATE EXTENSION IF NOT EXISTS dblink")
    where = f"host '{connection.info.host}', port '{connection.info.port}'"
    for server in range(max(SERVERS)):
        connection.execute(f"CREATE DATABASE shard_{server}")
        with psycopg.connect(dbname=f"shard_{server}", autocommit=True) as there:
            there.execute("CREATE EXTENSION als")
            for count in SERVERS:
                there.execute(f"CREATE TABLE on_{count} (user_id integer, item_id integer, rating real)")
        connection.execute(f"CREATE SERVER server_{server} FOREIGN DATA WRAPPER postgres_fdw OPTIONS ({where}, dbname 'shard_{server}')")
        connection.execute(f"CREATE USER MAPPING FOR CURRENT_USER SERVER server_{server}")
    for count in SERVERS:
        connection.execute(f"CREATE TABLE on_{count} (user_id integer, item_id integer, rating real) PARTITION BY HASH (user_id)")
        for server in range(count):
            connection.execute(f"CREATE FOREIGN TABLE on_{count}_{server} PARTITION OF on_{count} FOR VALUES WITH (MODULUS {count}, REMAINDER {server}) "
                               f"SERVER server_{server} OPTIONS (table_name 'on_{count}', batch_size '10000')")
        connection.execute(f"INSERT INTO on_{count} SELECT user_id, item_id, rating FROM whole_ratings")


def time_iterations(connection: psycopg.Connection, watch: psycopg.Connection, query: str) -> tuple[float, float]:
    """CPU seconds of an iteration: of this session, and of the servers'."""
    own = connection.info.backend_pid
    seen: list[tuple[float, float]] = []

    def notice(diagnostic: psycopg.errors.Diagnostic) -> None:
        if (diagnostic.message_primary or "").startswith("iteration "):
            servers = [pid for pid, in watch.execute("SELECT pid FROM pg_stat_activity WHERE datname LIKE 'shard\\_%' AND backend_type = 'client backend'")]
            seen.append((processor_seconds([own]), processor_seconds(servers)))

    connection.add_notice_handler(notice)
    try:
        connection.execute(query)
    finally:
        connection.remove_notice_handler(notice)
    # of the second on: the first has servers make plans
    return tuple((last - first) / (len(seen) - 2) for first, last in zip(seen[1], seen[-1]))


def measure(options: argparse.Namespace) -> None:
    connection, watch = ours.connect(), ours.connect()
    connection.execute("CREATE EXTENSION IF NOT EXISTS als; SET max_parallel_workers_per_gather = 0")
    print(f"{time.strftime('%H:%M:%S')} distributing", flush=True)
    make(connection, options.scale)
    hardware, about = machine.describe(connection)
    calibration = machine.Calibration()
    rounds: list[dict] = []
    for number in range(options.rounds):
        for rank in RANKS:
            parameters = PARAMETERS.format(rank=rank, iterations=ITERATIONS)
            calm = calibration.settle(1, options.patience)
            print(f"{time.strftime('%H:%M:%S')} round {number + 1} of {options.rounds}, {rank} factors", flush=True)
            plain, _ = time_iterations(connection, watch, f"SELECT als_train('whole', 'whole_ratings', {parameters}, solver => 'cholesky', workers => 0)")
            for count in SERVERS:
                driver, servers = time_iterations(connection, watch, f"SELECT als_train_sharded('sharded', 'on_{count}', {parameters})")
                rounds.append({"rank": rank, "servers": count, "calibration": calm, "als_train": plain, "driver": driver, "all_servers": servers})
        options.results.mkdir(parents=True, exist_ok=True)
        (options.results / "sharded.json").write_text(json.dumps({"machine": hardware, "software": about, "rounds": rounds}, indent=1), encoding="utf-8")
    write(options.results)


def write(results: Path) -> None:
    """sharded.md, from sharded.json."""
    result = json.loads((results / "sharded.json").read_text(encoding="utf-8"))
    rows = []
    for rank in RANKS:
        for count in SERVERS:
            rounds = [entry for entry in result["rounds"] if (entry["rank"], entry["servers"]) == (rank, count)]
            least, middle = ([how(entry[what] for entry in rounds) for what in ("als_train", "all_servers", "driver")] for how in (min, statistics.median))
            ratios = [servers / plain for plain, servers, _ in (least, middle)]
            rows.append([str(rank), str(count), *(f"{value:.3f}" for value in least), f"**{ratios[0]:.1f}** / {ratios[1]:.1f}",
                         "yes" if ratios[0] <= GOAL else "no"])
    about = ", ".join(f"{name} {value}" for name, value in (result["machine"] | result["software"]).items()
                      if name in ("processor", "cores", "memory", "PostgreSQL", "als", "date"))
    text = (f"{about}\n\nCPU seconds of an iteration, least of {len(result['rounds']) // len(RANKS) // len(SERVERS)} alternating rounds; ratios of **minima** / medians; "
            f"the goal is {GOAL}.\n\n" +
            table(["factors", "servers", "als_train, Cholesky", "all servers", "driver", "servers to als_train", f"within {GOAL}"], rows))
    (results / "sharded.md").write_text(text, encoding="utf-8")
    print(text)
