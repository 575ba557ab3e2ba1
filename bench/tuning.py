"""What als_tune finds, and how long it takes: a search of 20 and of 60 trials beside a grid of
60 combinations, on the same split and the same ratings to validate on."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import psycopg

from data import Ratings
from quality import Split
from report import table

# alpha times the usual rating; the rest covers what is good for all of the data
CONFIDENCE = [0.2, 0.6, 2, 6]
IMPLICIT = {"factors": [32, 64, 128], "regularization_scaling": 1, "regularization": [0.001, 0.003, 0.01, 0.03, 0.1]}
EXPLICIT = {"factors": [32, 64, 128], "regularization_scaling": [0.5, 1],
            "regularization": [0.03, 0.05, 0.07, 0.1, 0.2, 0.4, 0.7, 1, 1.5, 2]}
ROUNDS = 3


class Tuning:
    def __init__(self, connection: psycopg.Connection, ratings: Ratings):
        self.connection, self.name, self.split = connection, ratings.name, Split(connection, ratings)
        usual = float(np.sqrt(np.abs(ratings.values)).mean()) ** 2
        self.grids = {"implicit": IMPLICIT | {"alpha": [confidence / usual for confidence in CONFIDENCE]},
                      "explicit": EXPLICIT}

    def tune(self, feedback: str, grid: dict | None, trials: int) -> tuple[float, list]:
        """Seconds, and what came of it."""
        self.connection.execute("DROP TABLE IF EXISTS tuned")
        started = time.perf_counter()
        found = self.connection.execute(
            "SELECT count(*), sum(iterations), sum((parameters->>'factors')::int * iterations), "
            "max(metric) FILTER (WHERE rank = 1), max(baseline) "
            "FROM als_tune('tuned', %s, %s::jsonb, trials => %s, feedback => %s)",
            (self.split.rest, None if grid is None else json.dumps(grid), trials, feedback)).fetchone()
        seconds = time.perf_counter() - started
        test = self.connection.execute(
            "SELECT value FROM als_evaluate('tuned', %s) WHERE metric = %s",
            (self.split.test, "rmse" if feedback == "explicit" else "ndcg")).fetchone()[0]
        return seconds, [*found, test]

    def rows(self, feedback: str) -> list[list]:
        """In rounds, all of them in turn; the median of the seconds, and their ratio to the grid's by rounds."""
        ways = {"search, 20 trials": (None, 20), "search, 60 trials": (None, 60),
                "grid of 60": (self.grids[feedback], 60)}
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        found = {}
        for _ in range(ROUNDS):
            for way, (grid, trials) in ways.items():
                took, found[way] = self.tune(feedback, grid, trials)
                seconds[way].append(took)
        return [[self.name, feedback, way, f"{np.median(took):.3g} s",
                 f"{np.median(np.array(took) / np.array(seconds['grid of 60'])):.2f}",
                 *(f"{count:,}" for count in found[way][:3]), *(f"{value:.4f}" for value in found[way][3:])]
                for way, took in seconds.items()]


def measure(connection: psycopg.Connection, ratings: Ratings, rows: list[list], path: Path) -> None:
    """Adds to the rows, and writes the table of all of them."""
    these = Tuning(connection, ratings)
    rows += these.rows("implicit")
    if ratings.name.startswith("ml-"):
        rows += these.rows("explicit")
    path.write_text("\n".join([
        "# als_tune\n",
        "A fifth of the ratings held out by `als_holdout(..., 0.2, 1)` is the test; of the rest als_tune sets a tenth "
        "aside. NDCG@10, or RMSE of explicit feedback, of the best trial on the latter, of what there is without a model "
        f"on the same, and of the model that is left on the test. Seconds are medians of {ROUNDS} rounds in turn, and "
        "their ratio to the grid's that of a round.\n",
        table(["data", "feedback", "", "seconds", "ratio", "trials", "iterations", "times factors", "best", "baseline", "test"],
              rows)]), encoding="utf-8")
