"""Runs the measurements and hands all samples to the report."""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np

import defaults
import loss as objective
import machine
import ours
import peers
import quality
import report
import scale
import serving
from data import Ratings, generate, load, movielens, packages, skewed
from time_to_loss import TimeToLoss

HERE = Path(__file__).resolve().parent
RANK, ALPHA, REGULARIZATION, ITERATIONS = 64, 40.0, 0.01, 15
PARTS = ("iterations", "loss", "job", "serving", "everyone", "predict", "quality", "defaults")

# Iterations of als, implicit and cmfrec, by solver: few where they take long.
# The first does not count for als and implicit, as factors and caches are cold
# then; implicit's Cholesky solver on M takes minutes for one.
# Those of CG are as many for all, so that their losses compare, but for M.
COUNTS = {"cg": (15, 15, 15), "cholesky": (5, 3, 2)}
COUNTS_LARGE = {"cg": (4, 3, 2), "cholesky": (3, 0, 1)}
LARGE = 10_000_000

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

    # Seconds per iteration; of reading and sorting

    def iterations(self, ratings: Ratings, rank: int, processes: int) -> None:
        csr = ratings.csr()
        coo, matrix = csr.tocoo(), peers.confidences(csr, ALPHA)
        settings = {"factors": rank, "regularization": REGULARIZATION, "processes": processes}
        large = len(ratings.values) > LARGE

        def judge(solver: str, factors: peers.Factors | None = None) -> dict:
            """als' factors, if no others are given."""
            if large or solver != "cg":
                return {}
            factors = factors or ours.factors_of("bench_model", rank, ratings.shape)
            return {"loss": objective.loss(*factors, csr, ALPHA, REGULARIZATION)}

        for this in self.rounds(processes, 2 if large else None):
            self.say(f"iterations: {ratings.name}, rank {rank}, {processes} processes, round {this['round'] + 1}")
            about = {"data": ratings.name, "rank": rank, **this}
            for solver, counts in (COUNTS_LARGE if large else COUNTS).items():
                for steps in (2, 3) if solver == "cg" else (3,):
                    run = ours.train(self.connection, "bench_model", ratings.name.replace("-", "_"), alpha=ALPHA,
                                     solver=solver, cg_steps=steps, iterations=counts[0], **settings)
                    self.add("iterations", f"als {solver}" + (" 2 steps" if steps == 2 else ""), run.per_iteration,
                             **judge(solver), **about)
                if run.workers != processes - 1:
                    self.note(f"als had {run.workers} workers, not {processes - 1}")
                if solver == "cg":
                    self.add("reading", "als reading", run.read, **about)
                    self.add("reading", "als sorting", run.sort, **about)
                    self.add("reading", "als writing", run.write, **about)
                    self.add("reading", "als iteration", run.per_iteration, **about)
                if counts[1]:
                    model, seconds = peers.implicit_fit(matrix, solver=solver, iterations=counts[1], **settings)
                    self.add("iterations", f"implicit {solver}", float(np.median(seconds[1:])),
                             **judge(solver, (model.user_factors, model.item_factors)), **about)
                factors, total = peers.cmfrec_fit(coo, alpha=ALPHA, solver=solver, iterations=counts[2], **settings)
                self.add("iterations", f"cmfrec {solver}", total / counts[2], **judge(solver, factors), **about)

    # Seconds to a loss

    def time_to_loss(self, ratings: Ratings, regularization: float, alpha: float, processes: int) -> None:
        trainings = TimeToLoss(self.connection, ratings, self.note, factors=RANK, regularization=regularization,
                               alpha=alpha, processes=processes)
        target = trainings.target(ITERATIONS)
        for this in self.rounds(processes):
            self.say(f"loss: {ratings.name}, lambda {regularization:g}, alpha {alpha:g}, round {this['round'] + 1}")
            about = {"data": ratings.name, "rank": RANK, "regularization": regularization, "alpha": alpha, **this}
            for program, curve in trainings.curves(target):
                self.add("loss", program, **curve.sample(target), **about)

    # From a table of ratings to tables of factors

    def job(self, ratings: Ratings, processes: int) -> None:
        table = ratings.name.replace("-", "_")
        settings = {"factors": RANK, "regularization": REGULARIZATION, "alpha": ALPHA, "iterations": ITERATIONS,
                    "processes": processes}
        for this in self.rounds(processes, 2 if len(ratings.values) > LARGE else None):
            self.say(f"whole job: {ratings.name}, {processes} processes, round {this['round'] + 1}")
            about = {"data": ratings.name, "rank": RANK, **this}
            run = ours.train(self.connection, "bench_model", table, solver="cg", **settings)
            self.add("job", "als", run.wall, **about)
            self.add("job", "implicit", peers.implicit_job(self.connection, table, **settings), **about)

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
                    search.index()
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
        if "predict" in parts:
            serving.make_pairs(connection, ratings, 1_000_000)
            for this in self.rounds(1):
                self.say(f"predictions: {ratings.name}, rank {rank}, round {this['round'] + 1}")
                first, calls = serving.predict_calls("serving", 3)
                self.add("predict", "als", min(calls), first=first, **about, **this)

    # What one gets without tuning

    def untuned(self) -> None:
        rows: dict[str, list[list]] = {"implicit": [], "explicit": []}
        self.options.results.mkdir(parents=True, exist_ok=True)
        for name in ("ml-100k", "lastfm", "ml-1m", "packages"):
            ratings = packages(HERE.parent) if name == "packages" else movielens(HERE.parent, name)
            if ratings is None:
                self.note(f"{name} is not here: nothing was trained with defaults")
                continue
            self.say(f"defaults: {name}")
            load(self.connection, ratings, name.replace("-", "_"))
            defaults.measure(self.connection, ratings, os.cpu_count() or 1, rows, self.options.results / "defaults.md")

    # What the recommendations are worth

    def quality(self, ratings: Ratings) -> None:
        load(self.connection, ratings, ratings.name.replace("-", "_"))
        for name, setting, measures in quality.Quality(self.connection, ratings, os.cpu_count() or 1).run():
            self.say(f"quality: {ratings.name}, {name}: {measures}, {setting}")
            self.worth.append({"data": ratings.name, "program": name, "setting": setting, "measures": measures})


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench/run.sh", description="als against its peers")
    parser.add_argument("--quick", action="store_true", help="without M, time to a loss in one round, no HNSW")
    parser.add_argument("--only", default=",".join(PARTS), help=f"of {','.join(PARTS)}; or scale alone, an hour")
    parser.add_argument("--data", default="", help=f"of S,M,ml-1m,{SKEWED},{WIDE}")
    parser.add_argument("--rounds", type=int, default=0, help="default 5, quick 3")
    parser.add_argument("--calls", type=int, default=300, help="recommendations per round")
    parser.add_argument("--scale", type=float, default=1.0, help="shrinks the seeded data, to try the bench itself")
    parser.add_argument("--patience", type=float, default=None,
                        help="seconds to wait for a quiet moment, default 20, quick 5")
    parser.add_argument("--results", type=Path, default=HERE / "results")
    parser.add_argument("--add", action="store_true",
                        help="to the results of this machine that are there, but for the same parts of the same data")
    options = parser.parse_args()
    options.given = [f"--{name} {getattr(options, name):g}" for name in ("rounds", "patience")
                     if getattr(options, name) not in (None, 0)]
    options.rounds = options.rounds or (3 if options.quick else 5)
    if options.patience is None:
        options.patience = 5 if options.quick else 20
    return options


def measure(bench: Bench, datasets: dict[str, Ratings]) -> None:
    options = bench.options
    parts = options.only.split(",")
    served = {"serving", "everyone", "predict"} & set(parts)
    if options.data:
        wanted = options.data.split(",")
    elif set(parts) <= {"quality", "defaults"}:
        wanted = []
    else:
        wanted = ["S", "ml-1m"] + ([] if options.quick else ["M"])
        wanted += [SKEWED] if "iterations" in parts else []
        wanted += [WIDE] if served else []
    processes = [1, 2] if (os.cpu_count() or 1) > 1 else [1]
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
            ratings = movielens(HERE.parent)
            if ratings is None:
                bench.note("MovieLens-1M is not here: skipped")
                continue
        datasets[name] = ratings
        load(bench.connection, ratings, name.replace("-", "_"))

    for name, ratings in list(datasets.items()):
        if "iterations" in parts and name != WIDE:
            for rank in (64, 128) if name != "ml-1m" or not options.quick else (64,):
                for count in processes:
                    bench.iterations(ratings, rank, count)
        if "job" in parts and name not in (SKEWED, WIDE):
            for count in processes:
                bench.job(ratings, count)
    for name, ratings in list(datasets.items()):
        if served and name != SKEWED:
            for rank in (64, 128):
                bench.serving(ratings, rank, parts)
    if "loss" in parts and "S" in datasets:
        rounds, options.rounds = options.rounds, 1 if options.quick else min(3, options.rounds)
        for alpha in (40.0, 1.0):
            for regularization in (0.01, 1.0, 10.0, 100.0):
                bench.time_to_loss(datasets["S"], regularization, alpha, 1)
        options.rounds = rounds
    if "quality" in parts:
        for name in ("ml-100k", "ml-1m"):
            ratings = movielens(HERE.parent, name)
            if ratings is None:
                bench.note(f"{name} is not here: nothing was tuned")
            else:
                datasets[name] = ratings
                bench.quality(ratings)
    if "defaults" in parts:
        bench.untuned()


def main() -> None:
    options = arguments()
    if options.only == "scale":
        scale.measure(options)
        return
    bench = Bench(options)
    if options.add:
        here, there = machine.describe(bench.connection)[0], earlier(options)["machine"]
        if here != there:
            raise SystemExit(f"the results that are there are another machine's: {there}, not {here}")
    started = time.time()
    datasets: dict[str, Ratings] = {}
    try:
        measure(bench, datasets)
    except BaseException as error:
        bench.note(f"Cut short ({type(error).__name__}): what is missing was not measured")
        raise
    finally:
        # also of what was measured until something failed or was cancelled
        if bench.samples or bench.worth:
            finish(bench, datasets, (time.time() - started) / 60)


def together(old: dict, new: dict) -> dict:
    """Both runs' results, the new ones in place of the same parts of the same data.
    The software may be another: all ratios are those of programs beside each other."""
    result = {"machine": new["machine"], "data": old["data"] | new["data"],
              "bandwidth": max(old["bandwidth"], new["bandwidth"]), "best calibration": {
                  count: min(run["best calibration"][count] for run in (old, new) if count in run["best calibration"])
                  for count in sorted(old["best calibration"] | new["best calibration"])}}
    for kind, names in (("samples", ("part", "data")), ("quality", ("data", "program"))):
        replaced = {tuple(entry[name] for name in names) for entry in new[kind]}
        result[kind] = [entry for entry in old[kind] if tuple(entry[name] for name in names) not in replaced]
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


def finish(bench: Bench, datasets: dict[str, Ratings], minutes: float) -> None:
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
    result = {"machine": hardware, "runs": [run], "data": {name: ratings.describe() for name, ratings in datasets.items()},
              "best calibration": {str(count): best for count, best in bench.calibration.best.items()},
              "bandwidth": machine.bandwidth(), "samples": [entry | {"run": 0} for entry in bench.samples],
              "quality": [entry | {"run": 0} for entry in bench.worth]}
    if options.add:
        result = together(earlier(options), result)
    options.results.mkdir(parents=True, exist_ok=True)
    with open(options.results / "samples.json", "w", encoding="utf-8") as file:
        json.dump(result, file, separators=(",", ":"))
    report.write(options.results)


if __name__ == "__main__":
    main()
