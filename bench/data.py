"""Ratings to measure with, seeded or MovieLens', and binary COPY both ways."""

from __future__ import annotations

import gzip
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psycopg
import scipy.sparse as sp

GENRES = 20


@dataclass
class Ratings:
    """Ratings by dense indices; in tables, ids are the indices plus 1."""

    name: str
    title: str
    users: np.ndarray
    items: np.ndarray
    values: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        return int(self.users.max()) + 1, int(self.items.max()) + 1

    def csr(self) -> sp.csr_matrix:
        return sp.csr_matrix((self.values, (self.users, self.items)), shape=self.shape)

    def describe(self) -> str:
        users, items = self.shape
        return f"{self.title}: {users:,} users, {items:,} items, {len(self.values):,} ratings"


def power_law(rng: np.random.Generator, size: int, exponent: float, draws: int) -> np.ndarray:
    """Ranks by Zipf and Mandelbrot's law, 0 the most popular."""
    weights = (np.arange(size) + 0.005 * size + 2.0) ** -exponent
    cumulative = np.cumsum(weights)
    return np.searchsorted(cumulative, rng.random(draws) * cumulative[-1])


def generate(name: str, title: str, users: int, items: int, count: int, seed: int = 42) -> Ratings:
    """Unique pairs; users and items by power laws; tastes in the form of
    genres, three to a user, which half of a user's ratings keep to."""
    rng = np.random.default_rng(seed)
    genres = min(GENRES, items)
    tastes = rng.integers(0, genres, (users, 3))
    # one rating at least of everybody and everything
    least = max(users, items)
    pairs = np.unique((np.arange(least) % users).astype(np.int64) * items + np.arange(least) % items)
    kept = len(pairs)
    chosen = pairs
    while len(chosen) < count:
        draws = int((count - len(chosen)) * 1.3) + 1000
        user = power_law(rng, users, 0.9, draws)
        item = power_law(rng, items, 1.0, draws)
        genre = tastes[user, rng.integers(0, 3, draws)]
        keeps = (rng.random(draws) < 0.5) & (item // genres * genres + genre < items)
        item = np.where(keeps, item // genres * genres + genre, item)
        chosen = np.union1d(chosen, user.astype(np.int64) * items + item)
    surplus = np.setdiff1d(chosen, pairs, assume_unique=True)
    if count > kept:
        chosen = np.concatenate([pairs, rng.permutation(surplus)[: count - kept]])
    else:
        chosen = pairs
    chosen = rng.permutation(chosen)
    user_order, item_order = rng.permutation(users), rng.permutation(items)
    values = rng.choice(np.arange(1, 11) / 2, len(chosen), p=np.array([1, 2, 1, 5, 4, 15, 9, 26, 12, 25]) / 100)
    return Ratings(name, title, user_order[chosen // items].astype(np.int32),
                   item_order[chosen % items].astype(np.int32), values.astype(np.float32))


def skewed(name: str, title: str, users: int, items: int, count: int) -> Ratings:
    """A tenth of all ratings, or one of each user, are for one item."""
    ratings = generate(name, title, users, items, count - min(users, count // 10))
    other = ratings.items != 0
    fans = np.random.default_rng(43).permutation(users)[:count // 10]
    return Ratings(name, title, np.concatenate([ratings.users[other], fans.astype(np.int32)]),
                   np.concatenate([ratings.items[other], np.zeros(len(fans), np.int32)]),
                   np.concatenate([ratings.values[other], np.full(len(fans), 3, np.float32)]))


def movielens(project: Path, name: str = "ml-1m") -> Ratings | None:
    """MovieLens-1M or 100K, or Last.fm's plays, where it is at hand; it may not be
    copied into the project."""
    file, separator, columns, title = {"ml-1m": ("ratings.dat.gz", b"::", 4, "MovieLens-1M"),
                                       "ml-100k": ("u.data.gz", b"\t", 4, "MovieLens-100K"),
                                       "lastfm": ("plays.tsv.gz", b"\t", 3, "Last.fm, plays")}[name]
    shared = os.environ.get("ALS_SHARED")
    path = (Path(shared) if shared else project.parent / "shared") / "data" / name / file
    if not path.is_file():
        return None
    with gzip.open(path, "rb") as stream:
        table = np.array(stream.read().replace(separator, b" ").split(), dtype=np.int64).reshape(-1, columns)
    return Ratings(name, title, places(table[:, 0]), places(table[:, 1]), table[:, 2].astype(np.float32))


def packages(project: Path) -> Ratings:
    """The demo's: which package of Debian depends on which."""
    with gzip.open(project / "demo" / "debian-packages.tsv.gz", "rt", encoding="utf-8") as stream:
        pairs = np.array([line.rstrip("\n").split("\t") for line in stream])
    return Ratings("packages", "Debian's packages", places(pairs[:, 0]), places(pairs[:, 1]),
                   np.ones(len(pairs), np.float32))


def public(project: Path, name: str) -> Ratings | None:
    """Ratings of people or packages, where they are at hand."""
    return packages(project) if name == "packages" else movielens(project, name)


def places(ids: np.ndarray) -> np.ndarray:
    """Indices without gaps."""
    return np.unique(ids, return_inverse=True)[1].astype(np.int32)


# Binary COPY.  All our columns are of fixed width, so that a table is one
# record array.

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
TYPES = {"integer": ">i4", "real": ">f4"}


def record_type(columns: dict[str, str | int]) -> np.dtype:
    """columns: names with "integer", "real", or the length of a real[]."""
    fields: list = [("fields", ">i2")]
    for name, kind in columns.items():
        fields.append((f"{name} width", ">i4"))
        if isinstance(kind, int):
            fields += [(f"{name} header", ">i4", (5,)),
                       (name, [("width", ">i4"), ("value", ">f4")], (kind,))]
        else:
            fields.append((name, TYPES[kind]))
    return np.dtype(fields)


def copy_in(connection: psycopg.Connection, table: str, columns: dict[str, str | int], *values: np.ndarray) -> None:
    kind = record_type(columns)
    with connection.cursor() as cursor, cursor.copy(f"COPY {table} FROM STDIN (FORMAT binary)") as copy:
        copy.write(HEADER)
        for start in range(0, len(values[0]), 1 << 17):
            part = [column[start:start + (1 << 17)] for column in values]
            records = np.empty(len(part[0]), kind)
            records["fields"] = len(columns)
            for (name, length), column in zip(columns.items(), part):
                if isinstance(length, int):
                    records[f"{name} width"] = 20 + 8 * length
                    records[f"{name} header"] = (1, 0, 700, length, 1)
                    records[name]["width"] = 4
                    records[name]["value"] = column
                else:
                    records[f"{name} width"] = 4
                    records[name] = column
            copy.write(records.tobytes())
        copy.write(TRAILER)


def copy_out(query: str, columns: dict[str, str | int]) -> np.ndarray:
    """By psql, which takes rows in C, where psycopg has a Python object each."""
    output = subprocess.run(["psql", "-X", "-q", "-c", f"COPY ({query}) TO STDOUT (FORMAT binary)"],
                            check=True, stdout=subprocess.PIPE).stdout
    return np.frombuffer(output, record_type(columns), offset=len(HEADER),
                         count=(len(output) - len(HEADER) - len(TRAILER)) // record_type(columns).itemsize)


def load(connection: psycopg.Connection, ratings: Ratings, table: str) -> None:
    connection.execute(f"DROP TABLE IF EXISTS {table}")
    connection.execute(f"CREATE TABLE {table} (user_id integer, item_id integer, rating real)")
    copy_in(connection, table, {"user_id": "integer", "item_id": "integer", "rating": "real"},
            ratings.users + 1, ratings.items + 1, ratings.values)
    connection.execute(f"ALTER TABLE {table} ADD PRIMARY KEY (user_id, item_id)")
    connection.execute(f"VACUUM (ANALYZE) {table}")
