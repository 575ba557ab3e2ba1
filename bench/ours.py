"""als, by way of a connection."""

from __future__ import annotations

import contextlib
import re
import time
from dataclasses import dataclass, field
from typing import Iterator

import numpy as np
import psycopg

from data import copy_out

SETTINGS = "-c maintenance_work_mem=2GB -c max_parallel_maintenance_workers=8 -c als.cache_size=2GB"


def connect() -> psycopg.Connection:
    return psycopg.connect(autocommit=True, options=SETTINGS)


@dataclass
class Training:
    wall: float = 0.0
    read: float = 0.0
    sort: float = 0.0
    write: float = 0.0
    workers: int = 0
    iterations: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)

    @property
    def per_iteration(self) -> float:
        """Median over all iterations but the first."""
        return float(np.median(self.iterations[1:] or self.iterations))


def train(connection: psycopg.Connection, model: str, table: str, *, factors: int, regularization: float,
          alpha: float, solver: str, iterations: int, processes: int, cg_steps: int = 3, warm_start: bool = False,
          fresh: bool = True, verbose: bool = True) -> Training:
    if fresh:
        connection.execute(f"DROP TABLE IF EXISTS {model}")
    with noticed(connection) as training:
        start = time.perf_counter()
        row = connection.execute(
            """SELECT losses, workers FROM als_train(%s, %s, factors => %s, regularization => %s, alpha => %s,
                   solver => %s, cg_steps => %s, iterations => %s, workers => %s, warm_start => %s, verbose => %s)""",
            (model, table, factors, regularization, alpha, solver, cg_steps, iterations, processes - 1,
             warm_start, verbose)).fetchone()
        training.wall = time.perf_counter() - start
    training.losses, training.workers = row
    return training


def train_explicit(connection: psycopg.Connection, model: str, query: str, *, factors: int, regularization: float,
                   regularization_scaling: float, iterations: int, processes: int) -> Training:
    connection.execute(f"DROP TABLE IF EXISTS {model}")
    with noticed(connection) as training:
        connection.execute(
            """SELECT als_train(%s, %s, feedback => 'explicit', factors => %s, regularization => %s,
                   regularization_scaling => %s, iterations => %s, workers => %s, verbose => true)""",
            (model, query, factors, regularization, regularization_scaling, iterations, processes - 1))
    return training


@contextlib.contextmanager
def noticed(connection: psycopg.Connection) -> Iterator[Training]:
    """What the notices of a training say."""
    training = Training()

    def notice(diagnostic: psycopg.errors.Diagnostic) -> None:
        text = diagnostic.message_primary or ""
        seconds = re.search(r"([0-9.]+) s\b", text)
        if text.startswith("iteration ") and seconds:
            training.iterations.append(float(seconds[1]))
        for phase in ("read", "sort", "write"):
            if re.match({"read": "read ", "sort": "sorted ", "write": "wrote "}[phase], text) and seconds:
                setattr(training, phase, float(seconds[1]))

    connection.add_notice_handler(notice)
    try:
        yield training
    finally:
        connection.remove_notice_handler(notice)


def side(table: str, column: str, factors: int, size: int) -> np.ndarray:
    rows = copy_out(f"SELECT {column}, factors FROM {table}", {"id": "integer", "factors": factors})
    matrix = np.zeros((size, factors), np.float32)
    matrix[rows["id"] - 1] = rows["factors"]["value"]
    return matrix


def factors_of(model: str, factors: int, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    return (side(f"{model}_users", "user_id", factors, shape[0]),
            side(f"{model}_items", "item_id", factors, shape[1]))
