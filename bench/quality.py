"""What recommendations are worth: als after als_tune, its peers at the best of
the same settings, on the same split."""

from __future__ import annotations

import itertools
import json

import numpy as np
import psycopg
import scipy.sparse as sp
from cmfrec import CMF

import peers
from data import Ratings

K, ITERATIONS = 10, 15
TEST, VALIDATION = 0.2, 0.1
IMPLICIT = {"factors": [32, 64, 128], "regularization": [10, 30, 100, 300], "alpha": [0.5, 2, 8]}
# lambda is multiplied by thousands of items or users here
SCALED = {"factors": [32, 64, 128], "regularization": [0.001, 0.003, 0.01, 0.03], "alpha": [0.5, 2, 8],
          "regularization_scaling": [1]}
EXPLICIT = {"factors": [8, 16, 32, 64], "regularization": [0.03, 0.05, 0.07, 0.1, 0.15]}
PARAMETERS = tuple(SCALED)


def points(grid: dict[str, list]) -> list[dict]:
    return [dict(zip(grid, values)) for values in itertools.product(*grid.values())]


class Split:
    """Ratings in three parts, by als_holdout."""

    def __init__(self, connection: psycopg.Connection, ratings: Ratings):
        self.table, self.shape = ratings.name.replace("-", "_"), ratings.shape
        self.test = f"SELECT * FROM {self.table} WHERE als_holdout(user_id, item_id, {TEST}, 1)"
        self.rest = f"SELECT * FROM {self.table} WHERE NOT als_holdout(user_id, item_id, {TEST}, 1)"
        self.validation = f"{self.rest} AND als_holdout(user_id, item_id, {VALIDATION}, 2)"
        self.training = f"{self.rest} AND NOT als_holdout(user_id, item_id, {VALIDATION}, 2)"
        self.connection = connection

    def matrix(self, query: str) -> sp.csr_matrix:
        rows = np.array(self.connection.execute(query).fetchall(), np.float64)
        return sp.csr_matrix((rows[:, 2].astype(np.float32), (rows[:, 0].astype(int) - 1, rows[:, 1].astype(int) - 1)),
                             self.shape)


def ranking(factors: peers.Factors, training: sp.csr_matrix, test: sp.csr_matrix) -> dict[str, float]:
    """Means over the users with a test item that has been trained with: als_evaluate's
    definitions, written down once more."""
    users, items = factors
    known = np.asarray(training.getnnz(axis=0)).ravel() > 0
    discount = 1 / np.log2(np.arange(2, K + 2))
    sums, count = np.zeros(3), 0
    for user in range(test.shape[0]):
        wanted = test.indices[test.indptr[user]:test.indptr[user + 1]]
        wanted = wanted[known[wanted]]
        seen = training.indices[training.indptr[user]:training.indptr[user + 1]]
        if not len(wanted) or not len(seen):
            continue
        scores = np.where(known, items @ users[user], -np.inf)
        scores[seen] = -np.inf
        best = np.argpartition(-scores, K)[:K]
        hits = np.isin(best[np.argsort(-scores[best], kind="stable")], wanted)
        sums += ((hits * discount).sum() / discount[:min(K, len(wanted))].sum(), hits.sum() / len(wanted), hits.mean())
        count += 1
    return dict(zip(("ndcg", "recall", "precision"), sums / count))


def rmse(predicted: np.ndarray, test: sp.coo_matrix) -> float:
    return float(np.sqrt(np.mean((predicted - test.data) ** 2)))


class Quality:
    def __init__(self, connection: psycopg.Connection, ratings: Ratings, processes: int):
        self.split, self.processes, self.connection = Split(connection, ratings), processes, connection
        self.rest, self.test = self.split.matrix(self.split.rest), self.split.matrix(self.split.test)
        self.training, self.validation = self.split.matrix(self.split.training), self.split.matrix(self.split.validation)

    def als(self, grid: dict[str, list], feedback: str) -> tuple[dict, dict]:
        """The best setting that als_tune finds, and what als_evaluate says of
        it once it has been trained with all but the test ratings."""
        self.connection.execute("DROP TABLE IF EXISTS tuned, quality")
        best = self.connection.execute(
            "SELECT parameters FROM als_tune('tuned', %s, %s::jsonb, validation => %s, feedback => %s, "
            "workers => %s) LIMIT 1", (self.split.training, json.dumps(grid), self.split.validation, feedback,
                                       self.processes - 1)).fetchone()[0]
        arguments = ", ".join(f"{name} => {best[name]}" for name in PARAMETERS if name in best)
        self.connection.execute(f"SELECT als_train('quality', %s, feedback => %s, iterations => {ITERATIONS}, {arguments})",
                                (self.split.rest, feedback))
        return best, dict(self.connection.execute("SELECT metric, value FROM als_evaluate('quality', %s) "
                                                  "WHERE metric IN ('ndcg', 'recall', 'precision', 'rmse')",
                                                  (self.split.test,)).fetchall())

    def peer(self, fit, grid: dict[str, list]) -> tuple[dict, dict]:
        """The best setting on the validation part, and the measures of what it
        makes of all but the test ratings."""
        best = max(points(grid), key=lambda point: ranking(fit(self.training, point), self.training,
                                                           self.validation)["ndcg"])
        return best, ranking(fit(self.rest, best), self.rest, self.test)

    def implicit(self, matrix: sp.csr_matrix, point: dict) -> peers.Factors:
        model, _ = peers.implicit_fit(peers.confidences(matrix, point["alpha"]), factors=point["factors"],
                                      regularization=point["regularization"], solver="cg", iterations=ITERATIONS,
                                      processes=self.processes)
        return model.user_factors, model.item_factors

    def cmfrec(self, matrix: sp.csr_matrix, point: dict) -> peers.Factors:
        return peers.cmfrec_fit(matrix.tocoo(), **point, solver="cholesky", iterations=ITERATIONS,
                                processes=self.processes)[0]

    def cmfrec_explicit(self, grid: dict[str, list]) -> tuple[dict, dict]:
        def error(matrix: sp.csr_matrix, test: sp.csr_matrix, point: dict) -> float:
            model = CMF(k=point["factors"], lambda_=point["regularization"], scale_lam=True, niter=ITERATIONS,
                        use_float=True, use_cg=False, random_state=42, nthreads=self.processes, verbose=False)
            model.fit(matrix.tocoo())
            known = test.tocoo()
            keep = ((np.asarray(matrix.getnnz(axis=1)).ravel()[known.row] > 0) &
                    (np.asarray(matrix.getnnz(axis=0)).ravel()[known.col] > 0))
            known = sp.coo_matrix((known.data[keep], (known.row[keep], known.col[keep])), test.shape)
            return rmse(model.predict(known.row, known.col), known)

        best = min(points(grid), key=lambda point: error(self.training, self.validation, point))
        return best, {"rmse": error(self.rest, self.test, best)}

    def run(self):
        """Name, best setting and measures of each program."""
        yield "als", *self.als(IMPLICIT, "implicit")
        yield "als, regularization_scaling 1", *self.als(SCALED, "implicit")
        yield "implicit", *self.peer(self.implicit, IMPLICIT)
        yield "cmfrec", *self.peer(self.cmfrec, IMPLICIT)
        yield "als, explicit", *self.als(EXPLICIT, "explicit")
        yield "cmfrec, explicit", *self.cmfrec_explicit(EXPLICIT)
