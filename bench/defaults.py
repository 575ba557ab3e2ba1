"""What one gets without tuning: als with what it chooses, beside popularity, its peers'
own defaults, and the best of a search, on the same split."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import psycopg
from cmfrec import CMF_implicit
from implicit.als import AlternatingLeastSquares
from irspack import IALSRecommender
from irspack.recommenders.ials import IALSConfig

from data import Ratings
from quality import ITERATIONS, Split, ranking
from report import table

TRIALS = 60
# alpha times the usual rating; powers of the root of ten
CONFIDENCE = [10 ** (step / 2) for step in range(-2, 5)]
IMPLICIT = {"regularization_scaling": 1, "regularization": [10 ** (step / 4) for step in range(-14, -3)]}
EXPLICIT = {"regularization_scaling": [0, 0.5, 1], "regularization": [10 ** (step / 8) for step in range(-12, 13)]}


class Defaults:
    def __init__(self, connection: psycopg.Connection, ratings: Ratings, processes: int):
        self.connection, self.ratings, self.processes = connection, ratings, processes
        self.split = Split(connection, ratings)
        self.rest, self.test = self.split.matrix(self.split.rest), self.split.matrix(self.split.test)

    def als(self, factors: int, arguments: str = "", feedback: str = "implicit") -> float:
        """NDCG or RMSE of a training with these arguments."""
        self.connection.execute("DROP TABLE IF EXISTS untuned")
        self.connection.execute(f"SELECT als_train('untuned', %s, feedback => %s, factors => {factors} {arguments})",
                                (self.split.rest, feedback))
        return self.evaluated("untuned", feedback)

    def searched(self, factors: int, feedback: str) -> float:
        """The best of the trials and of their iterations, chosen by what it is to be measured
        on: the test set of some thousand users."""
        grid = dict(IMPLICIT if feedback == "implicit" else EXPLICIT, factors=factors, iterations=ITERATIONS)
        if feedback == "implicit":
            usual = float(np.sqrt(np.abs(self.rest.data)).mean()) ** 2
            grid["alpha"] = [confidence / usual for confidence in CONFIDENCE]
        self.connection.execute("DROP TABLE IF EXISTS searched")
        self.connection.execute("SELECT als_tune('searched', %s, %s::jsonb, trials => %s, validation => %s, feedback => %s)",
                                (self.split.rest, json.dumps(grid), TRIALS,
                                 f"{self.split.test} AND user_id % {max(1, self.split.shape[0] // 1000)} = 0", feedback))
        return self.evaluated("searched", feedback)

    def evaluated(self, model: str, feedback: str) -> float:
        return self.connection.execute("SELECT value FROM als_evaluate(%s::regclass, %s) WHERE metric = CASE %s WHEN 'explicit' THEN 'rmse' ELSE 'ndcg' END",
                                       (model, self.split.test, feedback)).fetchone()[0]

    def ranked(self, users: np.ndarray, items: np.ndarray) -> float:
        return ranking((users, items), self.rest, self.test)["ndcg"]

    def popularity(self) -> float:
        counts = np.asarray(self.rest.getnnz(axis=0), np.float64).reshape(-1, 1)
        return self.ranked(np.ones((self.rest.shape[0], 1)), counts)

    def implicit(self, factors: int) -> float:
        model = AlternatingLeastSquares(factors=factors, num_threads=self.processes, random_state=42)
        model.fit(self.rest, show_progress=False)
        return self.ranked(model.user_factors, model.item_factors)

    def cmfrec(self, factors: int) -> float:
        model = CMF_implicit(k=factors, random_state=42, nthreads=self.processes)
        model.fit(self.rest.tocoo())
        return self.ranked(model.A_, model.B_)

    def irspack(self, factors: int) -> float:
        # its configuration's defaults: the constructor's give pairs without a rating no weight
        model = IALSRecommender.from_config(self.rest, IALSConfig(n_components=factors, n_threads=self.processes)).learn()
        return self.ranked(model.get_user_embedding(), model.get_item_embedding())

    def constant(self) -> float:
        """The RMSE of the mean."""
        return float(np.sqrt(np.mean((self.test.data - self.rest.data.mean()) ** 2)))

    def implicit_row(self, factors: int) -> list:
        return [self.popularity(), self.als(factors), self.searched(factors, "implicit"),
                self.als(factors, ", alpha => 40, regularization => 0.01"),
                self.implicit(factors), self.als(factors, ", alpha => 1, regularization => 0.1, regularization_by => 'ratings'"),
                self.cmfrec(factors), self.irspack(factors)]

    def explicit_row(self, factors: int) -> list:
        return [self.constant(), self.als(factors, feedback="explicit"), self.searched(factors, "explicit"),
                self.als(factors, ", regularization => 0.1, biases => false", feedback="explicit")]


def tables(rows: dict[str, list[list]]) -> str:
    def text(row: list) -> list[str]:
        return [*map(str, row[:2]), *(f"{value:.4f}" for value in row[2:])]

    return "\n".join([
        "# Without tuning\n",
        f"NDCG@10, a fifth of the pairs held out by `als_holdout(..., {0.2}, 1)`, {ITERATIONS} iterations of als, and every "
        "program with its own defaults but for the factors. `searched` is the best of "
        f"{TRIALS} trials of als, chosen by the test set of a thousand users. Spark's are Spark's objective, minimized by als.\n",
        table(["data", "factors", "popularity", "**als**", "als, searched", "als, the textbook's 40 and 0.01", "implicit", "Spark",
               "cmfrec", "irspack"], [text(row) for row in rows["implicit"]]),
        "RMSE of explicit feedback, likewise:\n",
        table(["data", "factors", "the mean", "**als**", "als, searched", "Spark"], [text(row) for row in rows["explicit"]])])


def measure(connection: psycopg.Connection, ratings: Ratings, processes: int, rows: dict[str, list[list]], path: Path,
            ranks: tuple[int, ...] = (16, 64, 128)) -> None:
    """Adds to the rows, and writes the tables of all of them."""
    these = Defaults(connection, ratings, processes)
    for factors in ranks:
        rows["implicit"].append([ratings.name, factors, *these.implicit_row(factors)])
        if ratings.name.startswith("ml-"):
            rows["explicit"].append([ratings.name, factors, *these.explicit_row(factors)])
        path.write_text(tables(rows), encoding="utf-8")
