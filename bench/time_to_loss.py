"""The loss after each iteration, and the seconds until it is low enough, of als and its peers."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Callable, Iterator

import numpy as np
import psycopg

import loss as objective
import ours
import peers
from data import Ratings

LONGEST = 30  # iterations that a program gets at most
HOPELESS = 12  # a peer is stopped that has taken so many times als' seconds
MODEL = "bench_model"


@dataclass
class Curve:
    """Losses by the number of iterations, which need not be every number; and
    the seconds that so many iterations take."""

    losses: dict[int, float] = field(default_factory=dict)
    seconds: dict[int, float] = field(default_factory=dict)

    def reached(self, target: float) -> int | None:
        return min((number for number, loss in self.losses.items() if loss <= target), default=None)

    def seconds_to(self, target: float) -> float:
        """NaN if it was not reached."""
        reached = self.reached(target)
        return math.nan if reached is None else self.seconds[reached]

    def sample(self, target: float) -> dict:
        numbers = sorted(self.losses)
        return {"seconds": self.seconds_to(target), "reached": self.reached(target), "target": target,
                "longest": max(self.seconds[number] for number in numbers),
                "curve": [[self.seconds[number], self.losses[number], number] for number in numbers]}


class TimeToLoss:
    """Trainings of all programs with the same ratings, parameters and number of processes."""

    def __init__(self, connection: psycopg.Connection, ratings: Ratings, note: Callable[[str], None], *,
                 factors: int, regularization: float, alpha: float, processes: int):
        self.connection, self.ratings, self.note = connection, ratings, note
        self.csr = ratings.csr()
        self.coo, self.confidences = self.csr.tocoo(), peers.confidences(self.csr, alpha)
        self.alpha = alpha
        self.settings = {"factors": factors, "regularization": regularization, "processes": processes}

    def target(self, iterations: int) -> float:
        """1.01 times the loss of als' Cholesky solver."""
        self.train("cholesky", iterations)
        return 1.01 * self.loss_of_model()

    def curves(self, target: float) -> Iterator[tuple[str, Curve]]:
        """Each program's until it is at the target, or hopelessly behind als."""
        limit = math.inf
        for solver in ("cg", "cholesky"):
            curve = self.als(solver, target)
            if curve.reached(target):
                limit = min(limit, HOPELESS * curve.seconds_to(target))
            yield f"als {solver}", curve
        for solver in ("cg", "cholesky"):
            yield f"implicit {solver}", self.implicit(solver, target, limit)
            yield f"cmfrec {solver}", self.cmfrec(solver, target, limit)

    def als(self, solver: str, target: float) -> Curve:
        """The seconds are those of one long training.  The losses are those of
        another one, taken up again for each iteration: its factors are the same."""
        run = self.train(solver, LONGEST)
        curve = Curve(seconds=by_iteration(run.iterations))
        for number in range(1, LONGEST + 1):
            self.train(solver, 1, warm_start=number > 1, fresh=number == 1, verbose=False)
            curve.losses[number] = self.loss_of_model()
            self.compare(run.losses[number - 1], curve.losses[number], f"{solver}, iteration {number}")
            if curve.losses[number] <= target:
                break
        return curve

    def implicit(self, solver: str, target: float, limit: float) -> Curve:
        curve = Curve()

        def watch(factors: peers.Factors, seconds: list[float]) -> None:
            curve.losses[len(seconds)] = self.loss(factors)
            if curve.losses[len(seconds)] <= target or sum(seconds) > limit:
                raise peers.Enough

        _, seconds = peers.implicit_fit(self.confidences, solver=solver, iterations=LONGEST, watch=watch,
                                        **self.settings)
        curve.seconds = by_iteration(seconds)
        return curve

    def cmfrec(self, solver: str, target: float, limit: float) -> Curve:
        """Without a callback: trained anew with twice as many iterations each
        time, then with numbers between the last two."""
        curve = Curve()

        def is_enough(iterations: int) -> bool:
            factors, curve.seconds[iterations] = peers.cmfrec_fit(self.coo, alpha=self.alpha, solver=solver,
                                                                  iterations=iterations, **self.settings)
            curve.losses[iterations] = self.loss(factors)
            return curve.losses[iterations] <= target

        low, high = 0, 2
        while not is_enough(high) and high < LONGEST and curve.seconds[high] < limit:
            low, high = high, min(2 * high, LONGEST)
        while curve.losses[high] <= target and high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if is_enough(middle) else (middle, high)
        return curve

    def train(self, solver: str, iterations: int, **more: bool) -> ours.Training:
        return ours.train(self.connection, MODEL, self.ratings.name.replace("-", "_"), alpha=self.alpha,
                          solver=solver, iterations=iterations, **self.settings, **more)

    def loss(self, factors: peers.Factors) -> float:
        return objective.loss(*factors, self.csr, self.alpha, self.settings["regularization"])

    def loss_of_model(self) -> float:
        return self.loss(ours.factors_of(MODEL, self.settings["factors"], self.ratings.shape))

    def compare(self, said: float, computed: float, where: str) -> None:
        """als' own loss with the one computed from its factors."""
        if abs(computed / said - 1) > 1e-4:
            self.note(f"als says {said:.8g} of a loss that is {computed:.8g} (lambda "
                      f"{self.settings['regularization']:g}, alpha {self.alpha:g}, {where})")


def by_iteration(seconds: list[float]) -> dict[int, float]:
    """The sums of the first 1, 2, ... of them."""
    return dict(enumerate(map(float, np.cumsum(seconds)), 1))
