"""implicit and cmfrec, each fed what makes it minimize als's objective."""

from __future__ import annotations

import time
from typing import Callable

import numpy as np
import psycopg
import scipy.sparse as sp
from cmfrec import CMF_implicit
from implicit.als import AlternatingLeastSquares

from data import copy_in, copy_out

Factors = tuple[np.ndarray, np.ndarray]


SCALE = 0.25  # standard deviation of the factors that als starts from


class Enough(Exception):
    """Raised by a watcher to end a training."""


def confidences(ratings: sp.csr_matrix, alpha: float) -> sp.csr_matrix:
    """implicit takes the matrix's values for c itself, not for c - 1."""
    matrix = ratings.copy()
    matrix.data = (1 + alpha * matrix.data).astype(np.float32)
    return matrix


def implicit_fit(matrix: sp.csr_matrix, *, factors: int, regularization: float, solver: str, iterations: int,
                 processes: int, watch: Callable[[Factors, list[float]], None] | None = None
                 ) -> tuple[AlternatingLeastSquares, list[float]]:
    """The model, and the seconds of each iteration as implicit counts them.
    It starts from factors of the same scale as als'."""
    model = AlternatingLeastSquares(factors=factors, regularization=regularization, alpha=1.0, dtype=np.float32,
                                    use_cg=solver == "cg", iterations=iterations, num_threads=processes,
                                    random_state=42)
    model.user_factors = np.zeros((matrix.shape[0], factors), np.float32)
    model.item_factors = np.random.default_rng(42).normal(0, SCALE, (matrix.shape[1], factors)).astype(np.float32)
    seconds: list[float] = []

    def callback(iteration: int, elapsed: float, _loss: object) -> None:
        seconds.append(elapsed)
        if watch:
            watch((model.user_factors, model.item_factors), seconds)

    try:
        model.fit(matrix, show_progress=False, callback=callback)
    except Enough:
        pass
    return model, seconds


def cmfrec_fit(matrix: sp.coo_matrix, *, factors: int, regularization: float, alpha: float, solver: str,
               iterations: int, processes: int) -> tuple[Factors, float]:
    """The factors, and the seconds of all iterations: those of the training,
    less those of one with no iterations."""
    def fit(count: int) -> tuple[CMF_implicit, float]:
        model = CMF_implicit(k=factors, lambda_=float(regularization), alpha=float(alpha), use_cg=solver == "cg",
                             max_cg_steps=3, finalize_chol=False, niter=count, use_float=True,
                             precompute_for_predictions=False, produce_dicts=False, random_state=42,
                             nthreads=processes)
        start = time.perf_counter()
        model.fit(matrix)
        return model, time.perf_counter() - start

    idle = fit(0)[1]
    model, seconds = fit(iterations)
    return (model.A_, model.B_), seconds - idle


def implicit_job(connection: psycopg.Connection, table: str, *, factors: int, regularization: float, alpha: float,
                 iterations: int, processes: int) -> float:
    """From a table of ratings to tables of factors with keys, by way of
    implicit: seconds."""
    for name in ("job_users", "job_items"):
        connection.execute(f"DROP TABLE IF EXISTS {name}")
    start = time.perf_counter()
    rows = copy_out(f"SELECT user_id, item_id, rating FROM {table}",
                    {"user_id": "integer", "item_id": "integer", "rating": "real"})
    user_ids, users = np.unique(rows["user_id"].astype(np.int32), return_inverse=True)
    item_ids, items = np.unique(rows["item_id"].astype(np.int32), return_inverse=True)
    values = (1 + alpha * rows["rating"].astype(np.float32)).astype(np.float32)
    matrix = sp.csr_matrix((values, (users, items)), shape=(len(user_ids), len(item_ids)))
    model, _ = implicit_fit(matrix, factors=factors, regularization=regularization, solver="cg",
                            iterations=iterations, processes=processes)
    with connection.transaction():
        for name, ids, matrix in (("job_users", user_ids, model.user_factors),
                                  ("job_items", item_ids, model.item_factors)):
            connection.execute(f"CREATE TABLE {name} (id integer, factors real[])")
            copy_in(connection, name, {"id": "integer", "factors": factors}, ids, matrix)
            connection.execute(f"ALTER TABLE {name} ADD PRIMARY KEY (id)")
    return time.perf_counter() - start


def implicit_serving(factors: Factors, processes: int = 1) -> AlternatingLeastSquares:
    """implicit with someone else's factors, so that all serve the same model."""
    model = AlternatingLeastSquares(factors=factors[0].shape[1], num_threads=processes)
    model.user_factors, model.item_factors = factors
    return model
