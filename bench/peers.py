"""The peers, each fed what makes it minimize als's objective."""

from __future__ import annotations

import contextlib
import io
import json
import multiprocessing
import os
import subprocess
import time
from pathlib import Path
from typing import Callable

import numpy as np
import psycopg
import scipy.sparse as sp
from cmfrec import CMF, CMF_implicit
from implicit.als import AlternatingLeastSquares
from irspack.recommenders._ials_core import IALSModelConfigBuilder, IALSSolverConfigBuilder, IALSTrainer, LossType, SolverType

from data import copy_in, copy_out

Factors = tuple[np.ndarray, np.ndarray]
Watch = Callable[[Factors, list[float]], None]

SCALE = 0.25  # standard deviation of the random factors that all start from, but cmfrec
PATIENCE = 60  # seconds, with LIBMF
SUBSPACE = 64  # of iALS++: irspack's default; buffalo's is 32

# buffalo wants an old numpy
BUFFALO = Path(__file__).resolve().parent / ".venv" / "buffalo" / "bin" / "python"

# What each program calls its ways to solve
CG = ("implicit cg", "cmfrec cg", "irspack cg", "irspack ialspp", "buffalo manual_cg", "buffalo ialspp")
CHOLESKY = ("implicit cholesky", "cmfrec cholesky", "irspack cholesky", "buffalo llt")


class Enough(Exception):
    """Raised by a watcher to end a training."""


def available(program: str) -> bool:
    return not program.startswith("buffalo") or BUFFALO.exists()


def confidences(ratings: sp.csr_matrix, alpha: float) -> sp.csr_matrix:
    """implicit takes the matrix's values for c itself, not for c - 1."""
    matrix = ratings.copy()
    matrix.data = (1 + alpha * matrix.data).astype(np.float32)
    return matrix


def starting_items(count: int, factors: int) -> np.ndarray:
    return np.random.default_rng(42).normal(0, SCALE, (count, factors)).astype(np.float32)


def implicit_fit(matrix: sp.csr_matrix, *, factors: int, regularization: float, solver: str, iterations: int,
                 processes: int, watch: Watch | None = None) -> tuple[AlternatingLeastSquares, list[float]]:
    """The model, and the seconds of each iteration as implicit counts them."""
    model = AlternatingLeastSquares(factors=factors, regularization=regularization, alpha=1.0, dtype=np.float32,
                                    use_cg=solver == "cg", iterations=iterations, num_threads=processes,
                                    random_state=42)
    model.user_factors = np.zeros((matrix.shape[0], factors), np.float32)
    model.item_factors = starting_items(matrix.shape[1], factors)
    seconds: list[float] = []

    def callback(iteration: int, elapsed: float, _loss: object) -> None:
        seconds.append(elapsed)
        if watch:
            watch((model.user_factors, model.item_factors), seconds)

    with contextlib.suppress(Enough):
        model.fit(matrix, show_progress=False, callback=callback)
    return model, seconds


def irspack_fit(ratings: sp.csr_matrix, *, factors: int, regularization: float, alpha: float, solver: str,
                iterations: int, processes: int, watch: Watch | None = None) -> tuple[Factors, list[float]]:
    """The factors, and the seconds of each iteration.  Its "original" loss with alpha0 = 1 and nu = 0 has
    c = 1 + the matrix's values."""
    matrix = ratings.copy()
    matrix.data = (alpha * matrix.data).astype(np.float32)
    model = (IALSModelConfigBuilder().set_K(factors).set_alpha0(1.0).set_reg(regularization).set_nu(0.0)
             .set_loss_type(LossType.ORIGINAL).set_init_stdev(SCALE).set_random_seed(42).build())
    solving = (IALSSolverConfigBuilder().set_n_threads(processes).set_solver_type(getattr(SolverType, solver.upper()))
               .set_max_cg_steps(3).set_ialspp_iteration(1).set_ialspp_subspace_dimension(SUBSPACE).build())
    trainer = IALSTrainer(model, matrix)
    trainer.user = np.zeros((matrix.shape[0], factors), np.float32)
    trainer.item = starting_items(matrix.shape[1], factors)
    seconds: list[float] = []
    with contextlib.suppress(Enough):
        for _ in range(iterations):
            start = time.perf_counter()
            trainer.step(solving)
            seconds.append(time.perf_counter() - start)
            if watch:
                watch((trainer.user, trainer.item), seconds)
    return (trainer.user, trainer.item), seconds


def buffalo_fit(ratings: sp.csr_matrix, *, name: str, factors: int, regularization: float, alpha: float, solver: str,
                iterations: int, processes: int, target: float | None = None) -> tuple[list[float], list[float]]:
    """The seconds of each iteration and, if there is a target for them, the losses."""
    folder = Path(os.environ.get("MPLCONFIGDIR", "/tmp")) / "buffalo"
    folder.mkdir(exist_ok=True)
    matrix = folder / f"{name}-{ratings.nnz}.npz"
    if not matrix.exists():
        sp.save_npz(matrix, ratings, compressed=False)
    request = {"matrix": str(matrix), "factors": factors, "regularization": float(regularization), "alpha": float(alpha),
               "solver": solver, "iterations": iterations, "processes": processes, "scale": SCALE, "target": target}
    output = subprocess.run([BUFFALO, Path(__file__).with_name("buffalo_worker.py"), json.dumps(request)],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True, text=True).stdout
    answer = json.loads(output.splitlines()[-1])
    return answer["seconds"], answer["losses"]


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


class Peers:
    """All of them on the same ratings, with the same parameters."""

    def __init__(self, name: str, csr: sp.csr_matrix, *, factors: int, regularization: float, alpha: float):
        self.name, self.csr, self.coo, self.confidences = name, csr, csr.tocoo(), confidences(csr, alpha)
        self.settings = {"factors": factors, "regularization": regularization}
        self.alpha = alpha

    def seconds(self, program: str, iterations: int, processes: int) -> list[float]:
        """Of each iteration; cmfrec has no callback, so that its iterations are all as long."""
        peer, solver = program.split()
        settings = {**self.settings, "solver": solver, "iterations": iterations, "processes": processes}
        if peer == "implicit":
            return implicit_fit(self.confidences, **settings)[1]
        if peer == "irspack":
            return irspack_fit(self.csr, alpha=self.alpha, **settings)[1]
        if peer == "buffalo":
            return buffalo_fit(self.csr, name=self.name, alpha=self.alpha, **settings)[0]
        return [cmfrec_fit(self.coo, alpha=self.alpha, **settings)[1] / iterations] * iterations

    def losses(self, program: str, judge: Callable[[Factors], float], target: float, longest: int, processes: int
               ) -> dict[int, float]:
        """The loss after so many iterations, until it is at the target."""
        peer, solver = program.split()
        settings = {**self.settings, "solver": solver, "iterations": longest, "processes": processes}
        if peer == "buffalo":
            _, losses = buffalo_fit(self.csr, name=self.name, alpha=self.alpha, target=target, **settings)
            return dict(enumerate(losses, 1))
        if peer == "cmfrec":
            return self.cmfrec_losses(solver, judge, target, longest, processes)
        found: dict[int, float] = {}

        def watch(factors: Factors, seconds: list[float]) -> None:
            found[len(seconds)] = judge(factors)
            if found[len(seconds)] <= target:
                raise Enough

        if peer == "implicit":
            implicit_fit(self.confidences, watch=watch, **settings)
        else:
            irspack_fit(self.csr, alpha=self.alpha, watch=watch, **settings)
        return found

    def cmfrec_losses(self, solver: str, judge: Callable[[Factors], float], target: float, longest: int, processes: int
                      ) -> dict[int, float]:
        """Trained anew: with the most iterations, and if that does, with ever more of them."""
        found: dict[int, float] = {}
        for iterations in (longest, 5, 10, 12, 14, 16, 18, 20, 25, 30, 40):
            factors, _ = cmfrec_fit(self.coo, alpha=self.alpha, solver=solver, iterations=iterations,
                                          processes=processes, **self.settings)
            found[iterations] = judge(factors)
            if (iterations == longest) == (found[iterations] > target):
                break
        return found


def job(connection: psycopg.Connection, program: str, table: str, *, factors: int, regularization: float, alpha: float,
        iterations: int, processes: int) -> float:
    """From a table of ratings to tables of factors with keys, by way of implicit or irspack: seconds."""
    peer, solver = program.split()
    settings = {"factors": factors, "regularization": regularization, "solver": solver, "iterations": iterations,
                "processes": processes}
    for name in ("job_users", "job_items"):
        connection.execute(f"DROP TABLE IF EXISTS {name}")
    start = time.perf_counter()
    rows = copy_out(f"SELECT user_id, item_id, rating FROM {table}",
                    {"user_id": "integer", "item_id": "integer", "rating": "real"})
    user_ids, users = np.unique(rows["user_id"].astype(np.int32), return_inverse=True)
    item_ids, items = np.unique(rows["item_id"].astype(np.int32), return_inverse=True)
    matrix = sp.csr_matrix((rows["rating"].astype(np.float32), (users, items)), shape=(len(user_ids), len(item_ids)))
    if peer == "implicit":
        model, _ = implicit_fit(confidences(matrix, alpha), **settings)
        found = model.user_factors, model.item_factors
    else:
        found, _ = irspack_fit(matrix, alpha=alpha, **settings)
    with connection.transaction():
        for name, ids, matrix in zip(("job_users", "job_items"), (user_ids, item_ids), found):
            connection.execute(f"CREATE TABLE {name} (id integer, factors real[])")
            copy_in(connection, name, {"id": "integer", "factors": factors}, ids, matrix)
            connection.execute(f"ALTER TABLE {name} ADD PRIMARY KEY (id)")
    return time.perf_counter() - start


def implicit_serving(factors: Factors, processes: int = 1) -> AlternatingLeastSquares:
    """implicit with someone else's factors, so that all serve the same model."""
    model = AlternatingLeastSquares(factors=factors[0].shape[1], num_threads=processes)
    model.user_factors, model.item_factors = factors
    return model


# Explicit ratings: predictions of the test set, and the seconds of so many iterations


def cmfrec_explicit(training: sp.csr_matrix, test: sp.coo_matrix, *, factors: int, regularization: float, solver: str,
                    iterations: int, processes: int) -> tuple[np.ndarray, float]:
    """lambda times the number of a row's ratings."""
    matrix = training.tocoo()

    def fit(count: int) -> tuple[CMF, float]:
        model = CMF(k=factors, lambda_=regularization, scale_lam=True, niter=count, use_float=True, use_cg=solver == "cg",
                    finalize_chol=False, precompute_for_predictions=False, produce_dicts=False, random_state=42,
                    nthreads=processes, verbose=False)
        start = time.perf_counter()
        model.fit(matrix)
        return model, time.perf_counter() - start

    idle = fit(0)[1]
    model, seconds = fit(iterations)
    return model.predict(test.row, test.col), seconds - idle


def libmf_explicit(*arguments, **settings) -> tuple[np.ndarray, float]:
    """Its threads now and then wait for each other for ever, where there are few ratings: tried again then."""
    for _ in range(5):
        with multiprocessing.get_context("fork").Pool(1) as pool:
            with contextlib.suppress(multiprocessing.TimeoutError):
                return pool.apply_async(libmf_fit, arguments, settings).get(timeout=PATIENCE)
    raise RuntimeError("LIBMF does not end")


def libmf_fit(training: sp.csr_matrix, test: sp.coo_matrix, *, factors: int, regularization: float, rate: float,
                   iterations: int, processes: int) -> tuple[np.ndarray, float]:
    """Gradient descent.  It has no biases, so that it is given the ratings as they are."""
    with contextlib.redirect_stdout(io.StringIO()):
        from libmf import mf  # says where it lies
    matrix = training.tocoo()
    rows = np.column_stack([matrix.row, matrix.col, matrix.data]).astype(np.float32)

    def fit(count: int) -> tuple[mf.MF, float]:
        model = mf.MF(k=factors, nr_threads=processes, nr_iters=count, lambda_p2=regularization, lambda_q2=regularization,
                      lambda_p1=0.0, lambda_q1=0.0, eta=rate, quiet=True)
        start = time.perf_counter()
        model.fit(rows)
        return model, time.perf_counter() - start

    idle = fit(1)[1]
    model, seconds = fit(iterations + 1)
    p, q = model.p_factors(), model.q_factors()
    return np.sum(p[test.row] * q[test.col], axis=1), seconds - idle
