"""What recommendations are worth: als and its peers with their defaults and tuned, beside
popularity, item-kNN and EASE, all on the same split."""

from __future__ import annotations

import contextlib
import io
import itertools
import time
from typing import Callable, Iterator

import numpy as np
import psycopg
import scipy.sparse as sp
from cmfrec import CMF, CMF_implicit
from implicit.als import AlternatingLeastSquares
from irspack import IALSRecommender
from irspack.recommenders.ials import IALSConfig
from psycopg import sql
from scipy.linalg import lapack
from threadpoolctl import threadpool_limits

import peers
from data import Ratings

DATA = ("ml-1m", "lastfm", "packages", "ml-100k")  # the most telling first
STARS = ("ml-1m", "ml-100k")  # whose ratings may be predicted
K, ITERATIONS, RANK = 10, 15, 100
TEST, VALIDATION = 0.2, 0.1
VALIDATED = 10_000  # users, at most
BLOCK = 512  # users that are scored at once

# What random settings are drawn from: log-uniform, alpha in units of one over the usual rating.
# als_tune looks for factors in the same range, and for the rest where it finds good.
FACTORS = (16, 128)
RANGES = {"implicit": {"regularization": (0.1, 1000), "alpha": (0.1, 100)},
          "cmfrec": {"regularization": (0.1, 1000), "alpha": (0.1, 100)},
          # what it tunes itself by default
          "irspack": {"regularization": (1e-4, 1e-1), "alpha0": (3e-3, 1)}}
RANGES_EXPLICIT = {"cmfrec": {"regularization": (0.01, 1)}}  # times the number of a row's ratings
SPARK = {"alpha": 1, "regularization": 0.1, "regularization_by": "ratings"}
SPARK_EXPLICIT = {"regularization": 0.1, "biases": False}
TEXTBOOK = {"alpha": 40, "regularization": 0.01}
NEIGHBOURS = ({"neighbours": 20}, {"neighbours": 50}, {"neighbours": 100}, {"neighbours": 200}, {"neighbours": 400})
EASE = ({"regularization": 10}, {"regularization": 50}, {"regularization": 200}, {"regularization": 800},
        {"regularization": 3000})
EASE_ITEMS, EASE_SOON = 20_000, 5_000  # of more items it is not computed, or last of all

Score = Callable[[np.ndarray], np.ndarray]  # of users: a row each, with a score for each item
Fit = Callable[[sp.csr_matrix, dict], Score]


class Split:
    """Ratings in three parts, by als_holdout.  If there are very many users, some of them validate."""

    def __init__(self, connection: psycopg.Connection, ratings: Ratings):
        self.table, self.shape = ratings.name.replace("-", "_"), ratings.shape
        self.test = f"SELECT * FROM {self.table} WHERE als_holdout(user_id, item_id, {TEST}, 1)"
        self.rest = f"SELECT * FROM {self.table} WHERE NOT als_holdout(user_id, item_id, {TEST}, 1)"
        aside = f"(als_holdout(user_id, item_id, {VALIDATION}, 2) AND user_id % {-(-self.shape[0] // VALIDATED)} = 0)"
        self.validation, self.training = f"{self.rest} AND {aside}", f"{self.rest} AND NOT {aside}"
        self.connection = connection

    def matrix(self, query: str) -> sp.csr_matrix:
        rows = np.array(self.connection.execute(query).fetchall(), np.float64)
        return sp.csr_matrix((rows[:, 2].astype(np.float32), (rows[:, 0].astype(int) - 1, rows[:, 1].astype(int) - 1)),
                             self.shape)


# als_evaluate's definitions, written down once more


def ranking(score: Score, training: sp.csr_matrix, test: sp.csr_matrix) -> dict[str, float]:
    """Means over the users with a test item that has been trained with."""
    known = training.getnnz(axis=0) > 0
    wanted = (test @ sp.diags_array(known.astype(np.float32))).tocsr()
    wanted.eliminate_zeros()
    users = np.flatnonzero((wanted.getnnz(axis=1) > 0) & (training.getnnz(axis=1) > 0))
    discount = 1 / np.log2(np.arange(2, K + 2))
    ndcg = recall = 0.0
    recommended = np.zeros(len(known), bool)
    for block in np.array_split(users, -(-len(users) // BLOCK)):
        scores = np.where(known, score(block), -np.inf)
        scores[training[block].nonzero()] = -np.inf
        best = np.argpartition(-scores, K, axis=1)[:, :K]
        order = np.argsort(-np.take_along_axis(scores, best, 1), axis=1, kind="stable")
        best = np.take_along_axis(best, order, 1)
        hits = np.take_along_axis(wanted[block].toarray() > 0, best, 1)
        relevant = wanted[block].getnnz(axis=1)
        ndcg += float((hits @ discount / np.cumsum(discount)[np.minimum(relevant, K) - 1]).sum())
        recall += float((hits.sum(axis=1) / relevant).sum())
        recommended[best] = True
    return {"ndcg": ndcg / len(users), "recall": recall / len(users), "coverage": float(recommended.sum() / known.sum())}


def known_pairs(training: sp.csr_matrix, test: sp.csr_matrix) -> sp.coo_matrix:
    """Those of users and items that have been trained with."""
    pairs = test.tocoo()
    keep = (training.getnnz(axis=1) > 0)[pairs.row] & (training.getnnz(axis=0) > 0)[pairs.col]
    return sp.coo_matrix((pairs.data[keep], (pairs.row[keep], pairs.col[keep])), test.shape)


def rmse(predicted: np.ndarray | float, test: sp.coo_matrix) -> float:
    return float(np.sqrt(np.mean((predicted - test.data) ** 2)))


# Models that are none of ALS; a pair counts 1


def ones(matrix: sp.csr_matrix) -> sp.csr_matrix:
    return sp.csr_matrix((np.ones(matrix.nnz), matrix.indices, matrix.indptr), matrix.shape)


def popularity(matrix: sp.csr_matrix, point: dict) -> Score:
    counts = matrix.getnnz(axis=0).astype(np.float64)
    return lambda users: np.broadcast_to(counts, (len(users), len(counts)))


def item_knn(matrix: sp.csr_matrix, point: dict) -> Score:
    """An item's cosines with its nearest neighbours, summed up over those that the user has."""
    pairs = ones(matrix)
    lengths = np.sqrt(np.maximum(pairs.getnnz(axis=0), 1))
    cosines = (sp.diags_array(1 / lengths) @ (pairs.T @ pairs) @ sp.diags_array(1 / lengths)).tocsr()
    cosines.setdiag(0)
    cosines.eliminate_zeros()
    for row in range(cosines.shape[0]):
        values = cosines.data[cosines.indptr[row]:cosines.indptr[row + 1]]
        if len(values) > point["neighbours"]:
            values[np.argpartition(-values, point["neighbours"])[point["neighbours"]:]] = 0
    cosines.eliminate_zeros()
    nearest = cosines.T.tocsr()
    return lambda users: (pairs[users] @ nearest).toarray()


def ease(matrix: sp.csr_matrix, point: dict) -> Score:
    """Steck, "Embarrassingly Shallow Autoencoders for Sparse Data" (2019): with P the inverse of X'X + lambda I,
    B = I - P / diag(P)."""
    pairs = ones(matrix)
    gram = (pairs.T @ pairs).toarray(order="F")
    gram[np.diag_indices_from(gram)] += point["regularization"]
    factor, failed = lapack.dpotrf(gram, lower=1, overwrite_a=1)
    inverse, failed_too = lapack.dpotri(factor, lower=1, overwrite_c=1)
    if failed or failed_too:
        raise ArithmeticError("X'X + lambda I is singular")
    inverse += np.tril(inverse, -1).T  # above the diagonal are zeros
    weights = inverse / -np.diag(inverse)
    np.fill_diagonal(weights, 0)
    return lambda users: pairs[users] @ weights


# Peers, with their own defaults where the point says nothing else


def inner(users: np.ndarray, items: np.ndarray) -> Score:
    return lambda block: users[block] @ items.T


class Programs:
    def __init__(self, processes: int):
        self.processes = processes

    def implicit(self, matrix: sp.csr_matrix, point: dict) -> Score:
        tuned = "alpha" in point
        settings = {"regularization": point["regularization"], "iterations": ITERATIONS} if tuned else {}
        model = AlternatingLeastSquares(factors=point["factors"], num_threads=self.processes, random_state=42, **settings)
        model.fit(peers.confidences(matrix, point["alpha"]) if tuned else matrix, show_progress=False)
        return inner(model.user_factors, model.item_factors)

    def cmfrec(self, matrix: sp.csr_matrix, point: dict) -> Score:
        settings = {"lambda_": point["regularization"], "alpha": point["alpha"], "niter": ITERATIONS, "use_float": True} \
            if "alpha" in point else {}
        model = CMF_implicit(k=point["factors"], random_state=42, nthreads=self.processes, **settings)
        model.fit(matrix.tocoo())
        return inner(model.A_, model.B_)

    def irspack(self, matrix: sp.csr_matrix, point: dict) -> Score:
        # its configuration's defaults: the constructor's give pairs without a rating no weight
        settings = {"reg": point["regularization"], "alpha0": point["alpha0"], "train_epochs": ITERATIONS} \
            if "alpha0" in point else {}
        if settings:
            # its range expects ratings about 1
            matrix = matrix / usual(matrix)
        config = IALSConfig(n_components=point["factors"], n_threads=self.processes, **settings)
        with contextlib.redirect_stdout(io.StringIO()):  # its bar of progress
            model = IALSRecommender.from_config(matrix, config).learn()
        return inner(model.get_user_embedding(), model.get_item_embedding())

    def cmfrec_explicit(self, matrix: sp.csr_matrix, point: dict) -> CMF:
        settings = {"lambda_": point["regularization"], "scale_lam": True, "niter": ITERATIONS, "use_float": True} \
            if "regularization" in point else {}
        model = CMF(k=point["factors"], random_state=42, nthreads=self.processes, verbose=False, **settings)
        return model.fit(matrix.tocoo())


def usual(matrix: sp.csr_matrix) -> float:
    return float(np.sqrt(np.abs(matrix.data)).mean()) ** 2


def random_points(ranges: dict[str, tuple[float, float]], usual_rating: float) -> Iterator[dict]:
    """The same ones each time, so that more trials begin as fewer do."""
    rng = np.random.default_rng(42)
    while True:
        drawn = {name: float(np.exp(rng.uniform(*np.log(ends)))) for name, ends in {"factors": FACTORS, **ranges}.items()}
        drawn["factors"] = round(drawn["factors"])
        if "alpha" in drawn:
            drawn["alpha"] /= usual_rating
        yield drawn


class Quality:
    """One data set's rows.  What has been tried for a small budget counts for a larger one."""

    def __init__(self, connection: psycopg.Connection, ratings: Ratings, processes: int):
        self.split, self.processes, self.connection = Split(connection, ratings), processes, connection
        self.rest, self.test = self.split.matrix(self.split.rest), self.split.matrix(self.split.test)
        self.training, self.validation = self.split.matrix(self.split.training), self.split.matrix(self.split.validation)
        self.programs = Programs(processes)
        self.tried: dict[tuple[str, str], list[tuple[float, dict, float]]] = {}  # score, point, seconds

    # als

    def als(self, feedback: str, settings: dict) -> tuple[dict, float]:
        """Trains with all but the test ratings: what als_evaluate says of it, and the seconds it took."""
        self.connection.execute("DROP TABLE IF EXISTS quality")
        arguments = "".join(f", {name} => {{}}" for name in settings)
        query = sql.SQL(f"SELECT als_train('quality', {{}}, feedback => {{}}, workers => {{}}{arguments})").format(
            *map(sql.Literal, (self.split.rest, feedback, self.processes - 1, *settings.values())))
        start = time.perf_counter()
        self.connection.execute(query)
        seconds = time.perf_counter() - start
        metrics = ["rmse"] if feedback == "explicit" else ["ndcg", "recall", "coverage"]
        return dict(self.connection.execute("SELECT metric, value FROM als_evaluate('quality', %s, k => %s) WHERE metric = ANY (%s)",
                                            (self.split.test, K, metrics)).fetchall()), seconds

    def searched(self, feedback: str, trials: int) -> tuple[dict, dict, float]:
        """als_tune's own search, and a training with the best on all but the test ratings."""
        self.connection.execute("DROP TABLE IF EXISTS tuned")
        start = time.perf_counter()
        best, iterations = self.connection.execute(
            "SELECT parameters, best_iteration FROM als_tune('tuned', %s, trials => %s, validation => %s, feedback => %s, "
            "workers => %s) WHERE rank = 1", (self.split.training, trials, self.split.validation, feedback,
                                              self.processes - 1)).fetchone()
        seconds = time.perf_counter() - start
        best = {**best, "iterations": iterations}
        measures, more = self.als(feedback, best)
        return best, measures, seconds + more

    # Others

    def judged(self, feedback: str, model, training: sp.csr_matrix, test: sp.csr_matrix) -> dict:
        if feedback == "implicit":
            return ranking(model, training, test)
        pairs = known_pairs(training, test)
        return {"rmse": rmse(model.predict(pairs.row, pairs.col), pairs)}

    def tuned(self, feedback: str, program: str, fit: Fit, points: Iterator[dict], trials: int) -> tuple[dict, dict, float]:
        """The best of so many points on the validation part, trained with all but the test ratings."""
        tried = self.tried.setdefault((feedback, program), [])
        for point in itertools.islice(points, len(tried), trials):
            start = time.perf_counter()
            score = self.judged(feedback, fit(self.training, point), self.training, self.validation)
            tried.append((score["ndcg"] if feedback == "implicit" else -score["rmse"], point, time.perf_counter() - start))
        best = max(tried[:trials], key=lambda trial: trial[0])[1]
        start = time.perf_counter()
        model = fit(self.rest, best)
        seconds = time.perf_counter() - start + sum(trial[2] for trial in tried[:trials])
        return best, self.judged(feedback, model, self.rest, self.test), seconds

    def fixed(self, feedback: str, fit: Fit, point: dict) -> tuple[dict, dict, float]:
        start = time.perf_counter()
        model = fit(self.rest, point)
        seconds = time.perf_counter() - start
        return point, self.judged(feedback, model, self.rest, self.test), seconds

    def row(self, feedback: str, program: str, factors: int, trials: int) -> tuple[dict, dict, float | None]:
        """Setting, measures, and the wall clock of tuning and training."""
        with threadpool_limits(self.processes) if program in ("popularity", "item-kNN", "EASE") else threadpool_limits(1):
            if program == "als":
                return self.searched(feedback, trials) if trials else \
                    ({"factors": factors}, *self.als(feedback, {"factors": factors}))
            if program in ("Spark's", "the textbook's"):
                settings = {"factors": factors, **(TEXTBOOK if program != "Spark's" else
                                                   SPARK if feedback == "implicit" else SPARK_EXPLICIT)}
                # als' seconds, not theirs
                return settings, self.als(feedback, settings)[0], None
            if program == "the mean":
                return {}, {"rmse": rmse(self.rest.data.mean(), known_pairs(self.rest, self.test))}, None
            if program == "popularity":
                return self.fixed(feedback, popularity, {})
            if program == "item-kNN":
                return self.tuned(feedback, program, item_knn, iter(NEIGHBOURS), len(NEIGHBOURS))
            if program == "EASE":
                return self.tuned(feedback, program, ease, iter(EASE), len(EASE))
            fit = getattr(self.programs, program if feedback == "implicit" else f"{program}_explicit")
            if not trials:
                return self.fixed(feedback, fit, {"factors": factors})
            ranges = (RANGES if feedback == "implicit" else RANGES_EXPLICIT)[program]
            return self.tuned(feedback, program, fit, random_points(ranges, usual(self.rest)), trials)


def rows(datasets: list[Ratings], ranks: list[int], budgets: list[int]) -> Iterator[tuple[Ratings, str, str, int, int]]:
    """Data, feedback, program, factors and trials of each row, both 0 where they mean nothing; the most telling first."""
    def deep(ratings: Ratings, soon: bool) -> list[str]:
        items = ratings.shape[1]
        return ["EASE"] if items <= EASE_ITEMS and (items <= EASE_SOON) == soon else []

    for ratings in datasets:
        for program in ("popularity", "item-kNN", *deep(ratings, True)):
            yield ratings, "implicit", program, 0, 0
        for rank in ranks:
            for program in ("als", *RANGES, "Spark's", "the textbook's"):
                yield ratings, "implicit", program, rank, 0
        if ratings.name in STARS:
            yield ratings, "explicit", "the mean", 0, 0
            for rank in ranks:
                for program in ("als", *RANGES_EXPLICIT, "Spark's"):
                    yield ratings, "explicit", program, rank, 0
    for trials in budgets:
        # als' first: they are the cheapest
        for programs, theirs in ((("als",), ("als",)), (RANGES, RANGES_EXPLICIT)):
            for ratings in datasets:
                for program in programs:
                    yield ratings, "implicit", program, 0, trials
                for program in theirs if ratings.name in STARS else ():
                    yield ratings, "explicit", program, 0, trials
    for ratings in datasets:
        for program in deep(ratings, False):
            yield ratings, "implicit", program, 0, 0
