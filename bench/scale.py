"""How far one machine goes: trainings on ever more ratings, which a query makes as they are read."""

from __future__ import annotations

import argparse
import json
import os
import threading
import time
from pathlib import Path

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt  # noqa: E402
import psycopg  # noqa: E402

import machine  # noqa: E402
import ours  # noqa: E402
from report import RESOLUTION, table, tidy  # noqa: E402

SIZES = (1_000_000, 10_000_000, 100_000_000, 1_000_000_000)
PER_USER, PER_ITEM = 100, 2000  # ratings, on average
FACTORS, ITERATIONS, MEMORY = 16, 3, "1GB"
SMALL = 10_000_000  # rows: what many factors take is measured where it does not take hours
PHASES = ("reading", "sorting", "iteration", "writing")
ENDS = dict(zip(("read", "sorted", "iteration", "wrote"), PHASES))  # what the notices begin with
COLORS = {"reading": "#2b6cb0", "sorting": "#dd8452", "iteration": "#7a9e5a", "writing": "#8172b3", "query": "#999999"}

# Integers alone, so that the query costs little beside what reads it.  Squares of even numbers make
# few users and items frequent; shuffled bits make them independent of each other.
QUERY = """
SELECT 1 + ((a * a >> 31) * {users} >> 31) AS user_id, 1 + ((b * b >> 31) * {items} >> 31) AS item_id, 1 AS rating
FROM (SELECT a, (a # (a >> 15)) * 1664525 & 2147483647 AS b
      FROM (SELECT generate_series(1, {ratings}::bigint) * 1103515245 & 2147483647 AS a OFFSET 0) AS numbers
      OFFSET 0) AS even"""

TEMPORARY_BYTES = """
SELECT coalesce(sum((pg_stat_file(path, true)).size), 0)
FROM (SELECT 'base/pgsql_tmp/' || name AS top FROM pg_ls_dir('base/pgsql_tmp', true, false) AS name) AS tops,
     LATERAL (SELECT top AS path WHERE NOT (pg_stat_file(top, true)).isdir
              UNION ALL SELECT top || '/' || name FROM pg_ls_dir(top, true, false) AS name
              WHERE (pg_stat_file(top, true)).isdir) AS files"""


def resident(pids: list[int]) -> int:
    """Bytes of the processes' own, and what they share, once."""
    own, shared = 0, 0
    for pid in pids:
        try:
            status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
        except OSError:
            continue  # it has ended
        sizes = {line.split()[0]: int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("Rss")}
        own += sizes.get("RssAnon:", 0)
        shared = max(shared, sizes.get("RssShmem:", 0))
    return own + shared


def processor_seconds(pid: int) -> float | None:
    """What a process has used, in user mode and in the kernel; None if it has ended."""
    try:
        numbers = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except OSError:
        return None
    return (int(numbers[11]) + int(numbers[12])) / os.sysconf("SC_CLK_TCK")


class Watch:
    """
    The most memory and temporary bytes that a session and its workers have while this lasts, and
    the processor seconds of each phase, but for a worker's last tenth of a second.
    """

    def __init__(self, connection: psycopg.Connection):
        self.connection, self.pid, self.memory, self.temporary = connection, connection.info.backend_pid, 0, 0
        self.used = {self.pid: processor_seconds(self.pid)}  # by each process
        self.before, self.phases = self.use(), {}
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.look)

    def look(self) -> None:
        with psycopg.connect(autocommit=True) as connection:
            while not self.ended.wait(0.1):
                pids = connection.execute("SELECT pid FROM pg_stat_activity WHERE %s IN (pid, leader_pid)",
                                          (self.pid,)).fetchall()
                for pid, in pids:
                    self.used.setdefault(pid, 0)
                self.use()
                self.memory = max(self.memory, resident([pid for pid, in pids]))
                self.temporary = max(self.temporary, int(connection.execute(TEMPORARY_BYTES).fetchone()[0]))

    def use(self) -> float:
        """What all have used by now, those that have ended too."""
        for pid, before in list(self.used.items()):
            self.used[pid] = processor_seconds(pid) or before
        return sum(self.used.values())

    def notice(self, diagnostic: psycopg.errors.Diagnostic) -> None:
        """A phase has ended; of iterations, the least is kept."""
        phase = ENDS.get((diagnostic.message_primary or "").split(" ")[0])
        if phase:
            now = self.use()
            self.phases[phase] = min(self.phases.get(phase, now), now - self.before)
            self.before = now

    def __enter__(self) -> Watch:
        self.connection.add_notice_handler(self.notice)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.remove_notice_handler(self.notice)
        self.ended.set()
        self.thread.join()


def query(ratings: int) -> str:
    return QUERY.format(ratings=ratings, users=max(ratings // PER_USER, 100), items=max(ratings // PER_ITEM, 50))


def train(connection: psycopg.Connection, ratings: int, factors: int, processes: int) -> dict:
    start = time.perf_counter()
    rows = min(ratings, SMALL)
    connection.execute(f"SELECT count(user_id), count(item_id) FROM ({query(rows)}) AS ratings")
    alone = (time.perf_counter() - start) * ratings / rows
    with Watch(connection) as watch:
        run = ours.train(connection, "scale", query(ratings), factors=factors, regularization=0.01, alpha=40.0, solver="cg",
                         iterations=ITERATIONS, processes=processes)
    users, items, pairs = connection.execute("SELECT users, items, ratings FROM scale").fetchone()
    return {"rows": ratings, "ratings": pairs, "users": users, "items": items, "factors": factors, "processes": run.workers + 1,
            "query": alone, "reading": run.read, "sorting": run.sort, "iteration": min(run.iterations),
            "writing": run.write, "memory": watch.memory, "temporary": watch.temporary,
            "cpu": watch.phases}


def measure(options: argparse.Namespace) -> None:
    connection = ours.connect()
    connection.execute("CREATE EXTENSION IF NOT EXISTS als")
    connection.execute(f"SET maintenance_work_mem = '{MEMORY}'")
    connection.execute("SET max_parallel_workers_per_gather = 0")
    hardware, about = machine.describe(connection)
    result = {"machine": hardware, "software": about, "trainings": []}
    calibration = machine.Calibration()
    for size in SIZES[:-1] if options.quick else SIZES:
        size = int(size * options.scale)
        for factors in (FACTORS, 64, 128) if size <= SMALL else (FACTORS,):
            for processes in (1, 2) if (os.cpu_count() or 1) > 1 and size <= SMALL else (os.cpu_count() or 1,):
                calm = calibration.settle(processes, options.patience)
                print(f"{time.strftime('%H:%M:%S')} {size:,} ratings, {factors} factors, {processes} processes", flush=True)
                entry = train(connection, size, factors, processes) | {"calibration": calm}
                result["trainings"].append(entry)
                print({name: round(value, 3) if isinstance(value, float) else value for name, value in entry.items()}, flush=True)
                options.results.mkdir(parents=True, exist_ok=True)
                (options.results / "scale.json").write_text(json.dumps(result, indent=1), encoding="utf-8")
    write(options.results)


def per_million(entry: dict, phase: str) -> float:
    """An iteration goes over the pairs that are left when duplicates have been added up."""
    return entry[phase] / entry["ratings" if phase == "iteration" else "rows"] * 1e6


def write(results: Path) -> None:
    """scale.md and scale.png, from scale.json; also: python scale.py."""
    result = json.loads((results / "scale.json").read_text(encoding="utf-8"))
    trainings = result["trainings"]
    rows = [[f"{entry['rows']:,}", f"{entry['ratings']:,}", f"{entry['users']:,}", f"{entry['items']:,}", str(entry["factors"]), str(entry["processes"]),
             *(f"{entry[phase]:.3g}" for phase in ("query", *PHASES)),
             *(f"{entry['cpu'][phase]:.3g}" for phase in PHASES),
             f"{entry['memory'] / 2**30:.2f}", f"{entry['temporary'] / 2**30:.1f}"] for entry in trainings]
    about = ", ".join(f"{name} {value}" for name, value in (result["machine"] | result["software"]).items()
                      if name in ("processor", "cores", "memory", "PostgreSQL", "als", "date"))
    text = (f"{about}; maintenance_work_mem {MEMORY}\n\n" +
            table(["rows", "ratings", "users", "items", "factors", "processes", "query alone, s", "reading, s", "sorting, s",
                   "an iteration, s", "writing, s", "reading, CPU s", "sorting, CPU s", "an iteration, CPU s", "writing, CPU s", "memory, GiB", "temporary files, GiB"], rows))
    (results / "scale.md").write_text(text, encoding="utf-8")
    print(text)

    most = max(entry["processes"] for entry in trainings)
    shown = [entry for entry in trainings if entry["factors"] == FACTORS and entry["processes"] == most]
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    sizes = [entry["rows"] for entry in shown]
    for phase in ("query", *PHASES):
        left.plot(sizes, [per_million(entry, phase) for entry in shown], marker="o", color=COLORS[phase],
                  linestyle="--" if phase == "query" else "-", label="the query alone" if phase == "query" else phase)
    left.set_ylabel("seconds per million ratings")
    left.set_ylim(bottom=0)
    left.legend(frameon=False, fontsize=8)
    for name, label in (("memory", "resident memory"), ("temporary", "temporary files")):
        right.plot(sizes, [max(entry[name], 1) / 2**30 for entry in shown], marker="o", label=label)
    right.set_ylabel("GiB")
    right.set_yscale("log")
    right.set_ylim(bottom=0.01)
    right.legend(frameon=False, fontsize=8)
    for axis in (left, right):
        axis.set_xscale("log")
        axis.set_xlabel("rows of ratings")
        tidy(axis)
    figure.savefig(results / "scale.png", dpi=RESOLUTION, metadata={"Software": None})
    plt.close(figure)


if __name__ == "__main__":
    write(Path(__file__).resolve().parent / "results")
