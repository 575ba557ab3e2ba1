"""Explicit ratings: seconds until the error of a held out part is as low as it gets."""

from __future__ import annotations

import math
from typing import Callable

import numpy as np
import psycopg
import scipy.sparse as sp

import ours
import peers
from data import Ratings
from quality import Split, rmse
from time_to_loss import Counts, reached, version_of

MARGIN = 0.001  # above the lowest error of all
NUMBERS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 20, 25, 30, 40, 50, 60, 80, 100, 120)
LONGEST = {"als": 30, "cmfrec cg": 30, "cmfrec cholesky": 30, "libmf": 120}


class Explicit:
    """Each program with the setting whose error is the lowest, of a few around what is usual."""

    FACTORS = 64
    SETTINGS = {
        "als": [{"regularization": value} for value in (0.05, 0.06, 0.07, 0.08)],
        "cmfrec cg": [{"regularization": value} for value in (0.05, 0.06, 0.07, 0.08)],
        "cmfrec cholesky": [{"regularization": value} for value in (0.05, 0.06, 0.07, 0.08)],
        "libmf": [{"regularization": value, "rate": rate} for value in (0.03, 0.05, 0.07) for rate in (0.05, 0.1)],
    }

    def __init__(self, connection: psycopg.Connection, ratings: Ratings, processes: int, counts: Counts, version: str,
                 say: Callable[[str], None]):
        self.connection, self.processes, self.counts, self.version, self.say = connection, processes, counts, version, say
        self.name = f"{ratings.name} {len(ratings.values)}"
        split = Split(connection, ratings)
        self.rest, self.tested = split.rest, split.test
        self.training = split.matrix(split.rest)
        test = split.matrix(split.test).tocoo()
        known = ((np.asarray(self.training.getnnz(axis=1)).ravel()[test.row] > 0) &
                 (np.asarray(self.training.getnnz(axis=0)).ravel()[test.col] > 0))
        self.test = sp.coo_matrix((test.data[known], (test.row[known], test.col[known])), test.shape)
        self.programs = list(self.SETTINGS)
        self.best: dict[str, dict] = {}
        self.errors: dict[str, float] = {}
        self.reached: dict[str, tuple[int | None, ...]] = {}

    def setting(self, program: str) -> str:
        return ", ".join(f"{name} {value:g}" for name, value in self.best[program].items())

    def train(self, program: str, setting: dict, iterations: int) -> tuple[float, float]:
        """Error and seconds after so many iterations."""
        if program == "als":
            run = ours.train_explicit(self.connection, "explicit", self.rest, factors=self.FACTORS,
                                      regularization_scaling=1, iterations=iterations, processes=self.processes, **setting)
            error, = self.connection.execute("SELECT value FROM als_evaluate('explicit', %s) WHERE metric = 'rmse'", (self.tested,)).fetchone()
            return error, sum(run.iterations)
        if program == "libmf":
            predicted, seconds = peers.libmf_explicit(self.training, self.test, factors=self.FACTORS, iterations=iterations,
                                                      processes=self.processes, **setting)
        else:
            predicted, seconds = peers.cmfrec_explicit(self.training, self.test, factors=self.FACTORS, iterations=iterations,
                                                       solver=program.split()[1], processes=self.processes, **setting)
        return rmse(predicted, self.test), seconds

    def search(self, program: str) -> list:
        """The setting with the lowest error at a usual number of iterations, and errors by numbers of them."""
        setting = min(self.SETTINGS[program], key=lambda setting: self.train(program, setting, LONGEST[program] // 2)[0])
        numbers = [number for number in NUMBERS if number <= LONGEST[program]]
        return [setting, [[number, self.train(program, setting, number)[0]] for number in numbers]]

    def targets(self) -> tuple[float, float]:
        """The lowest error of all, and the lowest that each of them reaches; and a little."""
        curves: dict[str, dict[int, float]] = {}
        for program in self.programs:
            version = self.version if program == "als" else version_of(program)
            self.best[program], curve = self.counts.get(("explicit", self.name, program, version), lambda: self.search(program))
            curves[program] = dict(curve)
            self.errors[program] = min(curves[program].values())
            self.say(f"explicit: {program}, {self.setting(program)}: error {self.errors[program]:.4f}")
        targets = min(self.errors.values()) + MARGIN, max(self.errors.values()) + MARGIN
        for program, curve in curves.items():
            self.reached[program] = tuple(reached(curve, target) for target in targets)
        return targets

    def seconds(self, program: str) -> list[float]:
        return [math.nan if iterations is None else self.train(program, self.best[program], iterations)[1]
                for iterations in self.reached[program]]
