"""Runs the measurements and hands all samples to the report."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import time
from pathlib import Path

import numpy as np

import lists
import loss as objective
import machine
import ours
import peers
import quality
import report
import scale
import serving
import sharded
import tuning
from data import Ratings, generate, load, movielens, public, skewed
from explicit import Explicit
from time_to_loss import OURS, PEERS, Counts, TimeToLoss

HERE = Path(__file__).resolve().parent
RANK, ALPHA, REGULARIZATION, ITERATIONS = 64, 40.0, 0.01, 15
PARTS = ("loss", "iterations", "reading", "job", "explicit", "ablation", "serving", "everyone", "predict", "quality", "tuning")

# Iterations of als and its peers, by solver: few where they take long.  The first does not
# count, as factors and caches are cold then, except cmfrec's, which are not told apart.
COUNTS = {"cg": (9, 5), "cholesky": (5, 3)}
COUNTS_LARGE = {"cg": (4, 3), "cholesky": (3, 2)}
RANKS = (64, 128, 256)
LARGE = 10_000_000

# lambda and alpha of the times to a loss, those that differ most first
GRID = ((0.01, 40.0), (10.0, 1.0), (100.0, 40.0), (1.0, 1.0), (1.0, 40.0), (0.01, 1.0), (10.0, 40.0), (100.0, 1.0))
JOBS = ["implicit cg", "irspack cg", "irspack cholesky"]  # peers of the job to a loss: those that are near
NEAR = 1.5  # times the best peer: those beyond are timed in the first round only

# For serving only: most items have a rating or two.
WIDE = "items_1m"
# For iterations only: one item has a tenth of all ratings.
SKEWED = "skewed"


class Bench:
    def __init__(self, options: argparse.Namespace):
        self.options = options
        self.connection = ours.connect()
        self.connection.execute("CREATE EXTENSION IF NOT EXISTS als")
        self.calibration = machine.Calibration()
        self.samples: list[dict] = []
        self.worth: list[dict] = []
        self.notes: list[str] = []
        self.earlier: dict | None = None  # results of this machine, to add to
        self.datasets: dict[str, Ratings] = {}
        self.splits: dict[str, quality.Quality] = {}
        self.started = time.time()
        self.counts = Counts(options.results / "counts.json")
        self.bandwidth = machine.bandwidth()
        self.version = os.environ.get("ALS_COMMIT", "unknown")

    def late(self) -> bool:
        """Whether the minutes are over that the run may take."""
        return self.options.minutes > 0 and time.time() - self.started > 60 * self.options.minutes

    def save(self) -> None:
        """What has been measured so far, so that nothing is lost."""
        if self.samples or self.worth:
            finish(self, (time.time() - self.started) / 60)

    def say(self, text: str) -> None:
        print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)

    def note(self, text: str) -> None:
        self.say(text)
        self.notes.append(text)

    def add(self, part: str, program: str, seconds: float, **more: object) -> None:
        self.samples.append({"part": part, "program": program, "seconds": seconds, **more})

    def settle(self, processes: int) -> float:
        return self.calibration.settle(processes, self.options.patience)

    def rounds(self, processes: int, most: int | None = None):
        """Numbers of rounds with their calibration."""
        for number in range(min(self.options.rounds, most or self.options.rounds)):
            yield {"round": number, "calibration": self.settle(processes), "processes": processes}

    # Seconds per iteration

    def iterations(self, ratings: Ratings, rank: int, processes: int) -> None:
        settings = {"factors": rank, "regularization": REGULARIZATION}
        large = len(ratings.values) > LARGE
        these = peers.Peers(ratings.name, ratings.csr(), alpha=ALPHA, **settings)
        for this in self.rounds(processes, 2 if large else None):
            self.say(f"iterations: {ratings.name}, rank {rank}, {processes} processes, round {this['round'] + 1}")
            about = {"data": ratings.name, "rank": rank, **this}
            for solver, programs in (("cg", peers.CG), ("cholesky", peers.CHOLESKY)):
                if solver == "cholesky" and (large or rank > 128 or this["round"] > 2):
                    continue
                count, of_peers = (COUNTS_LARGE if large else COUNTS)[solver]
                run = ours.train(self.connection, "bench_model", ratings.name.replace("-", "_"), alpha=ALPHA,
                                 solver=solver, iterations=count, processes=processes, **settings)
                self.add("iterations", f"als {solver}", run.per_iteration, first=run.iterations[0], **about)
                if run.workers != processes - 1:
                    self.note(f"als had {run.workers} workers, not {processes - 1}")
                for program in filter(peers.available, programs):
                    each = these.seconds(program, of_peers, processes)
                    self.add("iterations", program, float(np.median(each[1:])), **about)

    # Reading and sorting, beside an iteration

    def reading(self, ratings: Ratings, processes: int) -> None:
        for this in self.rounds(processes):
            self.say(f"reading: {ratings.name}, {processes} processes, round {this['round'] + 1}")
            about = {"data": ratings.name, "rank": RANK, **this}
            run = ours.train(self.connection, "bench_model", ratings.name.replace("-", "_"), factors=RANK,
                             regularization=REGULARIZATION, alpha=ALPHA, solver="cg", iterations=3, processes=processes)
            for phase, seconds in (("reading", run.read), ("sorting", run.sort), ("writing", run.write),
                                   ("iteration", run.per_iteration)):
                self.add("reading", f"als {phase}", seconds, **about)

    # Seconds to a loss

    def time_to_loss(self, ratings: Ratings, rank: int, regularization: float, alpha: float, processes: int) -> None:
        trainings = TimeToLoss(self.connection, ratings, self.note, self.counts, factors=rank,
                               regularization=regularization, alpha=alpha)
        where = f"loss: {ratings.name}, rank {rank}, lambda {regularization:g}, alpha {alpha:g}"
        self.say(f"{where}: counting iterations")
        counts = trainings.count(self.version, self.options.peers, self.say)
        if self.options.count:
            return
        best: list[float] = []  # of the peers, to each target
        near = [program for program, numbers in counts.items() if numbers[0] is not None]
        for this in self.rounds(processes):
            self.say(f"{where}, {processes} processes, round {this['round'] + 1}: {', '.join(near)}")
            about = {"data": ratings.name, "rank": rank, "regularization": regularization, "alpha": alpha, **this}
            taken = {program: trainings.seconds(program, counts[program], processes) for program in near}
            for program, seconds in taken.items():
                self.add("loss", program, seconds[0], tight=seconds[1], reached=counts[program], **about)
            if not best:
                theirs = [seconds for program, seconds in taken.items() if program not in OURS]
                best = [min((s[t] for s in theirs if not np.isnan(s[t])), default=np.nan) for t in range(2)]
                near = [program for program, seconds in taken.items() if program == "als cg" or program not in OURS and
                        any(seconds[t] <= NEAR * best[t] for t in range(2))]

    # als without what has made it faster

    def ablation(self, ratings: Ratings, rank: int, regularization: float, alpha: float, processes: int) -> None:
        trainings = TimeToLoss(self.connection, ratings, self.note, self.counts, factors=rank,
                               regularization=regularization, alpha=alpha)
        counts = {"als": trainings.count(self.version, [], self.say)["als cg"],
                  "als from random factors": trainings.ablation(self.version)}
        if self.options.count:
            return
        for this in self.rounds(processes):
            self.say(f"ablation: {ratings.name}, rank {rank}, lambda {regularization:g}, alpha {alpha:g}, round {this['round'] + 1}")
            about = {"data": ratings.name, "rank": rank, "regularization": regularization, "alpha": alpha, **this}
            for program, solver in (("als", "als cg"), ("als from random factors", "als random")):
                seconds = trainings.seconds(solver, counts[program], processes)
                self.add("ablation", program, seconds[0], tight=seconds[1], reached=counts[program], **about)

    # Explicit ratings: seconds until the error is as low as it gets

    def explicit(self, ratings: Ratings, processes: int) -> None:
        these = Explicit(self.connection, ratings, processes, self.counts, self.version, self.say)
        targets = these.targets()
        if self.options.count:
            return
        for this in self.rounds(processes):
            self.say(f"explicit: {ratings.name}, {processes} processes, round {this['round'] + 1}")
            about = {"data": ratings.name, "rank": these.FACTORS, **this}
            for program in these.programs:
                seconds = these.seconds(program)
                self.add("explicit", program, seconds[0], common=seconds[1], reached=these.reached[program],
                         error=these.errors[program], targets=targets, setting=these.setting(program), **about)

    # From a table of ratings to tables of factors: with as many iterations, and to 1.01 times the loss of exact ALS

    def job(self, ratings: Ratings, processes: int) -> None:
        table = ratings.name.replace("-", "_")
        settings = {"factors": RANK, "regularization": REGULARIZATION, "alpha": ALPHA, "processes": processes}
        counts = TimeToLoss(self.connection, ratings, self.note, self.counts, factors=RANK, regularization=REGULARIZATION,
                            alpha=ALPHA).count(self.version, JOBS, self.say)
        if self.options.count:
            return
        for this in self.rounds(processes, 2 if len(ratings.values) > LARGE else None):
            self.say(f"whole job: {ratings.name}, {processes} processes, round {this['round'] + 1}")
            about = {"data": ratings.name, "rank": RANK, **this}
            for part, programs in (("job", ["als cg", "implicit cg"]), ("job to loss", ["als cg", *JOBS])):
                for program in programs:
                    iterations = ITERATIONS if part == "job" else counts[program][0]
                    if program == "als cg":
                        seconds = ours.train(self.connection, "bench_model", table, solver="cg", iterations=iterations, **settings).wall
                    else:
                        seconds = peers.job(self.connection, program, table, iterations=iterations, **settings)
                    self.add(part, program.split()[0] if part == "job" else program, seconds, reached=iterations, **about)

    # Serving

    def serving(self, ratings: Ratings, rank: int, parts: list[str]) -> None:
        table, count = ratings.name.replace("-", "_"), self.options.calls
        ours.train(self.connection, "serving", table, factors=rank, regularization=REGULARIZATION, alpha=ALPHA,
                   solver="cg", iterations=5 if ratings.name == WIDE else ITERATIONS,
                   processes=os.cpu_count() or 1)
        connection = self.connection
        connection.execute("VACUUM (ANALYZE) serving_users, serving_items")
        about = {"data": ratings.name, "rank": rank}
        if "serving" in parts:
            factors = ours.factors_of("serving", rank, ratings.shape)
            vectors = serving.Vectors.available(connection)
            if not vectors:
                self.note("No pgvector for this server: its scan and HNSW were skipped")
            else:
                search = serving.Vectors(connection, "serving", table, rank)
            for indexed in (False, True) if vectors and not self.options.quick else (False,):
                if indexed:
                    self.say(f"serving: {ratings.name}, building an HNSW index")
                    users = np.random.default_rng(99).integers(0, ratings.shape[0], 100)
                    setting = search.index(users, serving.als_calls("serving", users)[2])
                    self.note(f"HNSW, {ratings.name}, rank {rank}: {setting}")
                for this in self.rounds(1):
                    this["round"] += self.options.rounds * indexed
                    self.say(f"serving: {ratings.name}, rank {rank}, round {this['round'] + 1}")
                    users = np.random.default_rng(this["round"]).integers(0, ratings.shape[0], count)
                    loading, first, exact = serving.als_calls("serving", users)
                    self.add("serving", "als", **exact.seconds(), loading=loading, first=first, **about, **this)
                    if indexed:
                        calls = search.calls(users)
                        self.add("serving", "pgvector HNSW", **calls.seconds(), recall=calls.recall(exact), **about, **this)
                        continue
                    calls = serving.implicit_calls(factors, ratings, users)
                    self.add("serving", "implicit", **calls.seconds(), recall=calls.recall(exact), **about, **this)
                    if vectors:
                        calls = search.calls(users[:50])
                        self.add("serving", "pgvector", **calls.seconds(), recall=calls.recall(exact), **about, **this)
        if "everyone" in parts and ratings.name != WIDE:
            factors = ours.factors_of("serving", rank, ratings.shape)
            for processes in (1, 2) if (os.cpu_count() or 1) > 1 else (1,):
                for this in self.rounds(processes, 3):
                    self.say(f"everyone: {ratings.name}, rank {rank}, {processes} processes, round {this['round'] + 1}")
                    for end, exclude_seen in ((", all items", False), (", unseen items", True)):
                        self.add("everyone", "als" + end,
                                 serving.als_everyone(connection, "serving", processes, exclude_seen), **about, **this)
                        self.add("everyone", "implicit" + end,
                                 serving.implicit_everyone(factors, ratings, processes, exclude_seen), **about, **this)
                    self.add("everyone", "implicit, unseen items, table to table",
                             serving.implicit_everyone_tables(connection, table, factors, processes), **about, **this)
        if "predict" in parts:
            serving.make_pairs(connection, ratings, 1_000_000)
            for this in self.rounds(1):
                self.say(f"predictions: {ratings.name}, rank {rank}, round {this['round'] + 1}")
                first, calls = serving.predict_calls("serving", 3)
                self.add("predict", "als", min(calls), first=first, **about, **this)

    # What als_tune finds

    def tuned(self) -> None:
        rows: list[list] = []
        self.options.results.mkdir(parents=True, exist_ok=True)
        for name in ("ml-100k", "lastfm", "ml-1m"):
            ratings = movielens(HERE.parent, name)
            if ratings is None:
                self.note(f"{name} is not here: nothing was tuned")
                continue
            self.say(f"tuning: {name}")
            load(self.connection, ratings, name.replace("-", "_"))
            tuning.measure(self.connection, ratings, rows, self.options.results / "tuning.md")

    # What the recommendations are worth

    def quality(self, ratings: Ratings, feedback: str, program: str, factors: int, trials: int) -> None:
        if ratings.name not in self.splits:
            self.splits[ratings.name] = quality.Quality(self.connection, ratings, os.cpu_count() or 1)
        setting, measures, seconds = self.splits[ratings.name].row(feedback, program, factors, trials)
        self.say(f"quality: {ratings.name}, {feedback}, {program}, {trials} trials: {measures}, {setting}")
        self.worth.append({"data": ratings.name, "feedback": feedback, "program": program, "factors": factors, "trials": trials,
                           "setting": setting, "measures": measures, "seconds": seconds})


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench/run.sh", description="als against its peers")
    parser.add_argument("--quick", action="store_true", help="without M, one point of lambda and alpha, no rank 256, no HNSW, and without what does not depend on the machine")
    parser.add_argument("--only", default=",".join(PARTS), help=f"of {','.join(PARTS)}; or scale alone, an hour, or lists or sharded alone, ten minutes")
    parser.add_argument("--data", default="", help=f"of S,M,ml-1m,{SKEWED},{WIDE}; for quality of {','.join(quality.DATA)}")
    parser.add_argument("--ranks", default="64,128",
                        help=f"of iterations and loss; default 64,128, of iterations 256 too, of quality's defaults {quality.RANK}")
    parser.add_argument("--processes", default="", help="default 1,2 where there is more than one core")
    parser.add_argument("--points", default=",".join(str(number) for number, _ in enumerate(GRID, 1)),
                        help="of loss and ablation, by number: " + ", ".join(f"{number}: lambda {point[0]:g}, alpha {point[1]:g}" for number, point in enumerate(GRID, 1)))
    parser.add_argument("--peers", default=",".join(PEERS), help="of loss; default all: %(default)s")
    parser.add_argument("--trials", default="20,60", help="budgets of tuning, for quality; default %(default)s")
    parser.add_argument("--minutes", type=float, default=0, help="begins nothing new after so many; what is done is kept")
    parser.add_argument("--count", action="store_true",
                        help="only counts the iterations to a loss, for a later run: takes no quiet machine")
    parser.add_argument("--rounds", type=int, default=0, help="default 5, quick 3")
    parser.add_argument("--calls", type=int, default=300, help="recommendations per round")
    parser.add_argument("--scale", type=float, default=1.0, help="shrinks the seeded data, to try the bench itself")
    parser.add_argument("--patience", type=float, default=None,
                        help="seconds to wait for a quiet moment, default 20, quick 5")
    parser.add_argument("--results", type=Path, default=None, help="default results/KIND-OF-MACHINE")
    parser.add_argument("--add", action="store_true",
                        help="to the results of this machine that are there, but for the same parts of the same data")
    options = parser.parse_args()
    options.given = [f"--{name} {shlex.quote(str(getattr(options, name)))}" for name in ("ranks", "processes", "points", "peers", "trials", "minutes", "rounds", "patience")
                     if getattr(options, name) != parser.get_default(name)]
    options.results = options.results or HERE / "results" / machine.kind()
    options.ranks_given = options.ranks != parser.get_default("ranks")
    options.points = [GRID[int(number) - 1] for number in options.points.split(",")]
    options.peers = options.peers.split(",")
    if not set(options.peers) <= set(PEERS):
        parser.error(f"no such peers: {', '.join(set(options.peers) - set(PEERS))}")
    options.ranks = [int(rank) for rank in options.ranks.split(",")]
    options.trials = [int(trials) for trials in options.trials.split(",")]
    options.rounds = options.rounds or (3 if options.quick else 5)
    if options.quick:
        options.points = GRID[:1]
        if options.only == parser.get_default("only"):
            options.only = ",".join(part for part in PARTS if part not in ("quality", "tuning"))
    if options.patience is None:
        options.patience = 5 if options.quick else 20
    return options


def prepare(bench: Bench, wanted: list[str]) -> None:
    """Makes the data and loads them."""
    options = bench.options
    shapes = {"S": ("MovieLens-1M's shape", 6040, 3706, 1_000_000),
              "M": ("MovieLens-20M's shape", 138_493, 26_744, 20_000_000),
              SKEWED: ("one item with a tenth of all ratings", 150_000, 3706, 1_000_000),
              WIDE: ("a million items", 20_000, 1_000_000, 3_000_000)}

    def scaled(number: int) -> int:
        return max(50, int(number * options.scale))

    for name in wanted:
        bench.say(f"data: {name}")
        if name in shapes:
            title, users, items, count = shapes[name]
            # the density stays when the shape shrinks
            make = skewed if name == SKEWED else generate
            ratings = make(name, title, scaled(users), scaled(items), int(count * options.scale ** 2))
        else:
            ratings = public(HERE.parent, name)
            if ratings is None:
                bench.note(f"{name} is not here: skipped")
                continue
        bench.datasets[name] = ratings
        load(bench.connection, ratings, name.replace("-", "_"))


def rows(bench: Bench, parts: list[str], processes: list[int]):
    """What is to be measured, the most telling first."""
    options, datasets = bench.options, bench.datasets
    usual = [name for name in ("ml-1m", "S", "M") if name in datasets]
    if "loss" in parts:
        for point in options.points:
            for name in usual:
                for rank in options.ranks:
                    for count in processes[::-1]:
                        yield bench.time_to_loss, datasets[name], rank, *point, count
    if "iterations" in parts:
        for name in ["S"] if options.quick else [*usual, *({SKEWED} & set(datasets))]:
            for rank in options.ranks if options.quick or options.ranks_given or name in ("M", SKEWED) else RANKS:
                for count in processes[::-1]:
                    yield bench.iterations, datasets[name], rank, count
    if "reading" in parts:
        for name in usual:
            for count in processes[::-1]:
                yield bench.reading, datasets[name], count
    if "job" in parts:
        for name in usual:
            for count in processes[::-1]:
                yield bench.job, datasets[name], count
    if "explicit" in parts and "ml-1m" in datasets:
        for count in processes[::-1]:
            yield bench.explicit, datasets["ml-1m"], count
    if "ablation" in parts:
        for point in options.points:
            for name in usual[:2]:
                yield bench.ablation, datasets[name], options.ranks[0], *point, 1
    if {"serving", "everyone", "predict"} & set(parts):
        for name in (*usual, WIDE):
            if name in datasets:
                for rank in options.ranks:
                    yield bench.serving, datasets[name], rank, parts
    if "quality" in parts:
        for row in quality.rows([datasets[name] for name in quality.DATA if name in datasets],
                                options.ranks if options.ranks_given else [quality.RANK], options.trials):
            yield bench.quality, *row
    if "tuning" in parts:
        yield bench.tuned,


def measure(bench: Bench) -> None:
    options = bench.options
    parts = options.only.split(",")
    if options.data:
        wanted = options.data.split(",")
    elif set(parts) <= {"quality", "tuning"}:
        wanted = []
    elif set(parts) <= {"explicit", "ablation"}:
        wanted = ["ml-1m"]
    else:
        wanted = ["ml-1m", "S"] + ([] if options.quick else ["M"])
        wanted += [SKEWED] if "iterations" in parts and not options.quick else []
        wanted += [WIDE] if {"serving", "everyone", "predict"} & set(parts) else []
    if "quality" in parts and not options.data:
        wanted = list(dict.fromkeys([*wanted, *quality.DATA]))
    processes = [int(count) for count in options.processes.split(",")] if options.processes else \
        [1, 2] if (os.cpu_count() or 1) > 1 else [1]
    prepare(bench, wanted)
    for function, *arguments in rows(bench, parts, processes):
        if bench.late():
            bench.note(f"{options.minutes:g} minutes were over: what is missing was not measured")
            break
        function(*arguments)
        bench.save()


def main() -> None:
    options = arguments()
    if options.only == "scale":
        options.results = HERE / "results"
        scale.measure(options)
        return
    for alone in (lists, sharded):
        if options.only == alone.__name__:
            alone.measure(options)
            return
    bench = Bench(options)
    if options.add and (options.results / "samples.json").exists():
        here, bench.earlier = machine.describe(bench.connection)[0], earlier(options)
        there = bench.earlier["machine"]
        if here != there:
            raise SystemExit(f"the results that are there are another machine's: {there}, not {here}")
    try:
        measure(bench)
    except BaseException as error:
        bench.note(f"Cut short ({type(error).__name__}): what is missing was not measured")
        raise
    finally:
        # also of what was measured until something failed or was cancelled
        bench.save()
        if (options.results / "samples.json").exists():
            report.write(options.results)


ROW = ("part", "data", "rank", "processes", "regularization", "alpha")
WORTH = ("data", "feedback", "program", "factors", "trials")


def together(old: dict, new: dict) -> dict:
    """Both runs' results, the new ones in place of the same rows.
    The software may be another: all ratios are those of programs beside each other."""
    result = {"machine": new["machine"], "data": old["data"] | new["data"],
              "bandwidth": max(old["bandwidth"], new["bandwidth"]), "best calibration": {
                  count: min(run["best calibration"][count] for run in (old, new) if count in run["best calibration"])
                  for count in sorted(old["best calibration"] | new["best calibration"])}}
    for kind, names in (("samples", ROW), ("quality", WORTH)):
        replaced = {tuple(entry.get(name) for name in names) for entry in new[kind]}
        result[kind] = [entry | {} for entry in old[kind] if tuple(entry.get(name) for name in names) not in replaced]
        result[kind] += [entry | {"run": len(old["runs"])} for entry in new[kind]]
    # runs of which nothing is left are forgotten
    runs = old["runs"] + new["runs"]
    entries = result["samples"] + result["quality"]
    left = sorted({entry["run"] for entry in entries})
    for entry in entries:
        entry["run"] = left.index(entry["run"])
    result["runs"] = [runs[number] for number in left]
    return result


def earlier(options: argparse.Namespace) -> dict:
    with open(options.results / "samples.json", encoding="utf-8") as file:
        return json.load(file)


def finish(bench: Bench, minutes: float) -> None:
    options = bench.options
    command = ["bench/run.sh"]
    command += ["--quick"] if options.quick else []
    command += [f"--scale {options.scale:g}"] if options.scale != 1 else []
    command += [f"--only {options.only}"] if options.only != ",".join(PARTS) else []
    command += [f"--data {options.data}"] if options.data else []
    command += options.given
    command += ["--add"] if options.add else []
    hardware, about = machine.describe(bench.connection)
    run = {"command": " ".join(command), "minutes": minutes, "als": about.pop("als"), "date": about.pop("date"),
           "software": about, "notes": list(dict.fromkeys(bench.notes))}
    result = {"machine": hardware, "runs": [run], "data": {name: ratings.describe() for name, ratings in bench.datasets.items()},
              "best calibration": {str(count): best for count, best in bench.calibration.best.items()},
              "bandwidth": bench.bandwidth, "samples": [entry | {"run": 0} for entry in bench.samples],
              "quality": [entry | {"run": 0} for entry in bench.worth]}
    if bench.earlier:
        result = together(bench.earlier, result)
    options.results.mkdir(parents=True, exist_ok=True)
    with open(options.results / "samples.json", "w", encoding="utf-8") as file:
        json.dump(result, file, separators=(",", ":"))


if __name__ == "__main__":
    main()
