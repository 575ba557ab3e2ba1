"""Seconds until the loss is low enough, of als and its peers.

How many iterations a program needs is counted first: that takes no quiet machine.  What
is timed then are trainings of so many iterations, in which no loss is computed."""

from __future__ import annotations

import json
import math
from importlib.metadata import version
from pathlib import Path
from typing import Callable

import numpy as np
import psycopg

import loss as objective
import ours
import peers
from data import Ratings, copy_in

EXACT = 15  # iterations of exact ALS, which set the targets
TARGETS = (1.01, 1.001)  # times the loss of these
LONGEST = 50  # iterations that a program gets at most; one that is exact needs no more than EXACT
MODEL = "bench_model"
OURS = ("als cg", "als cholesky")
PEERS = ("implicit cg", "irspack cg", "irspack ialspp", "buffalo manual_cg", "buffalo ialspp", "cmfrec cg",
         "irspack cholesky", "cmfrec cholesky")
LARGE = 10_000_000  # ratings; of these, no more than SHARE iterations of a peer are timed
SHARE = 4


class Counts:
    """Iterations to each target by what they depend on, kept in a file: computing losses takes longer than training."""

    def __init__(self, path: Path):
        self.path = path
        self.known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}

    def get(self, key: tuple, count: Callable[[], list]) -> list:
        name = " ".join(map(str, key))
        if name not in self.known:
            self.known[name] = count()
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text(json.dumps(self.known, indent=0, sort_keys=True), encoding="utf-8")
        return self.known[name]


def start_randomly(connection: psycopg.Connection, ratings: Ratings, factors: int) -> None:
    """A model of the factors that the peers start from, for a warm start."""
    sizes = ratings.shape
    values = (np.zeros((sizes[0], factors), np.float32), peers.starting_items(sizes[1], factors))
    connection.execute(f"DROP TABLE IF EXISTS {MODEL}, random_users, random_items")
    for side, size, matrix in zip(("user", "item"), sizes, values):
        connection.execute(f"CREATE TABLE random_{side}s ({side}_id integer, factors real[])")
        copy_in(connection, f"random_{side}s", {f"{side}_id": "integer", "factors": factors},
                np.arange(1, size + 1), matrix)
    connection.execute(f"SELECT als_import('{MODEL}', 'random_users', 'random_items')")


def reached(losses: dict[int, float], target: float) -> int | None:
    return min((number for number, loss in losses.items() if loss <= target), default=None)


class TimeToLoss:
    """Trainings of all programs with the same ratings and parameters."""

    def __init__(self, connection: psycopg.Connection, ratings: Ratings, note: Callable[[str], None], counts: Counts, *,
                 factors: int, regularization: float, alpha: float):
        self.connection, self.ratings, self.note, self.counts = connection, ratings, note, counts
        self.csr = ratings.csr()
        self.alpha = alpha
        self.settings = {"factors": factors, "regularization": regularization}
        self.large = self.csr.nnz > LARGE
        self.peers = peers.Peers(ratings.name, self.csr, alpha=alpha, **self.settings)
        self.key = (ratings.name, self.csr.nnz, factors, f"{regularization:g}", f"{alpha:g}")

    # Counting

    def targets(self) -> list[float]:
        """By als' Cholesky solver, from random factors."""
        exact, = self.counts.get((*self.key, "exact"), lambda: [self.train("cholesky", EXACT, random=True) and self.judge()])
        return [factor * exact for factor in TARGETS]

    def judge(self, factors: peers.Factors | None = None) -> float:
        """The loss of als' factors, if no others are given."""
        factors = factors or ours.factors_of(MODEL, self.settings["factors"], self.ratings.shape)
        return objective.loss(*factors, self.csr, self.alpha, self.settings["regularization"])

    def als(self, solver: str, random: bool = False) -> list[int | None]:
        """als says its losses; those at the targets are computed anew."""
        targets = self.targets()
        longest = 2 * EXACT if solver == "cholesky" else LONGEST
        said = dict(enumerate(self.train(solver, longest, random=random).losses, 1))
        found = [reached(said, target) for target in targets]
        for number in sorted({number for number in found if number}):
            self.train(solver, number, random=random)
            computed = self.judge()
            if abs(computed / said[number] - 1) > 1e-4:
                self.note(f"als says {said[number]:.8g} of a loss that is {computed:.8g} ({self.key}, {solver}, {number} iterations)")
        return found

    def peer(self, program: str) -> list[int | None]:
        targets = self.targets()
        longest = EXACT if program == "irspack cholesky" else LONGEST
        losses = self.peers.losses(program, self.judge, targets[1], longest, 1)
        return [reached(losses, target) for target in targets]

    def count(self, version_of_als: str, programs: list[str], say: Callable[[str], None]) -> dict[str, list[int | None]]:
        """Of als and these peers."""
        found = {}
        for program in OURS:
            solver = program.split()[1]
            found[program] = self.counts.get((*self.key, program, version_of_als), lambda: self.als(solver))
        for program in programs:
            if peers.available(program) and not (self.large and "cholesky" in program):
                found[program] = self.counts.get((*self.key, program, version_of(program)), lambda: self.peer(program))
        say(", ".join(f"{program} {' '.join('-' if n is None else str(n) for n in numbers)}" for program, numbers in found.items()))
        return found

    def ablation(self, version_of_als: str) -> list[int | None]:
        """als' iterations from random factors."""
        return self.counts.get((*self.key, "als random", version_of_als), lambda: self.als("cg", random=True))

    # Timing

    def train(self, solver: str, iterations: int, processes: int = 1, random: bool = False, **more) -> ours.Training:
        if random:
            start_randomly(self.connection, self.ratings, self.settings["factors"])
        return ours.train(self.connection, MODEL, self.ratings.name.replace("-", "_"), alpha=self.alpha, solver=solver,
                          iterations=iterations, processes=processes, warm_start=random, fresh=not random,
                          **self.settings, **more)

    def seconds(self, program: str, numbers: list[int | None], processes: int) -> list[float]:
        """To each target, NaN for those that are not reached."""
        most = max((number for number in numbers if number), default=0)
        if most == 0:
            return [math.nan] * len(numbers)
        if program.startswith("als"):
            solver = program.split()[1]
            each = self.train("cg" if solver == "random" else solver, most, processes, random=solver == "random").iterations
        else:
            each = self.peers.seconds(program, min(most, SHARE) if self.large else most, processes)
            each += [float(np.median(each[1:]))] * (most - len(each))
        return [math.nan if number is None else float(sum(each[:number])) for number in numbers]


def version_of(program: str) -> str:
    """buffalo is not installed beside the others."""
    name = program.split()[0]
    return "2" if name == "buffalo" else version(name)
