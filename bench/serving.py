"""Recommendations and predictions, timed one by one."""

from __future__ import annotations

import time

import numpy as np
import psycopg
import scipy.sparse as sp

import ours
import peers
from data import Ratings, copy_in, copy_out

RECOMMEND = "SELECT item_id, score FROM als_recommend(%s::regclass, %s::integer, 10)"


RECALL = 0.95  # of the ten best, that an approximate search has to find


def clock(call, *arguments) -> float:
    start = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - start


class Calls:
    """One call for each user, in turn: the seconds, and the items by index."""

    def __init__(self, recommend, users: np.ndarray):
        for user in users[:10]:
            recommend(user)
        self.each, self.items = [], []
        for user in users:
            start = time.perf_counter()
            items = recommend(user)
            self.each.append(time.perf_counter() - start)
            self.items.append(items)

    def seconds(self) -> dict:
        return {"seconds": float(np.median(self.each)), "p99": float(np.percentile(self.each, 99))}

    def recall(self, exact: Calls) -> float:
        """How many of the exact ones it has found."""
        pairs = list(zip(self.items, exact.items))
        return sum(len(set(found) & set(best)) for found, best in pairs) / sum(len(best) for _, best in pairs)


def als_calls(model: str, users: np.ndarray) -> tuple[float, float, Calls]:
    """The first call after a change of the model, when it has to be read; the
    first one of the next connection; and that connection's later ones."""
    def recommend(connection: psycopg.Connection, user: int) -> list[int]:
        rows = connection.execute(RECOMMEND, (model, int(user) + 1), prepare=True).fetchall()
        return [item - 1 for item, _ in rows]

    with ours.connect() as connection:
        # changes no row, but makes everybody forget what is kept
        connection.execute(f"UPDATE {model}_items SET factors = factors WHERE false")
    with ours.connect() as loader, ours.connect() as connection:
        loading = clock(recommend, loader, users[0])
        for user in users[:10]:
            recommend(loader, user)
        first = clock(recommend, connection, users[0])
        return loading, first, Calls(lambda user: recommend(connection, user), users)


def implicit_calls(factors: peers.Factors, ratings: Ratings, users: np.ndarray) -> Calls:
    model, matrix = peers.implicit_serving(factors), ratings.csr()

    def recommend(user: int) -> list[int]:
        return list(model.recommend(user, matrix[user], N=10, filter_already_liked_items=True)[0])

    return Calls(recommend, users)


def als_everyone(connection: psycopg.Connection, model: str, processes: int, exclude_seen: bool) -> float:
    """Into a table, and what was seen read from one."""
    connection.execute("DROP TABLE IF EXISTS everyone")
    return clock(connection.execute, "CREATE TABLE everyone AS SELECT * FROM als_recommend_all("
                 f"'{model}', 10, exclude_seen => {exclude_seen}, workers => {processes - 1})")


def implicit_everyone(factors: peers.Factors, ratings: Ratings, processes: int, exclude_seen: bool) -> float:
    """From memory into memory."""
    model, matrix = peers.implicit_serving(factors, processes), ratings.csr()
    return clock(lambda: model.recommend(np.arange(matrix.shape[0]), matrix, N=10,
                                         filter_already_liked_items=exclude_seen))


def implicit_everyone_tables(connection: psycopg.Connection, table: str, factors: peers.Factors, processes: int) -> float:
    """What was seen from a table, and the lists into one, as als does it.  The factors are there already."""
    connection.execute("DROP TABLE IF EXISTS everyone")
    model = peers.implicit_serving(factors, processes)
    users = np.arange(len(factors[0]))

    def run() -> None:
        rows = copy_out(f"SELECT user_id, item_id FROM {table}", {"user_id": "integer", "item_id": "integer"})
        seen = sp.csr_matrix((np.ones(len(rows), np.float32), (rows["user_id"] - 1, rows["item_id"] - 1)),
                             shape=(len(users), len(factors[1])))
        items, scores = model.recommend(users, seen, N=10, filter_already_liked_items=True)
        connection.execute("CREATE TABLE everyone (user_id integer, item_id integer, score real)")
        copy_in(connection, "everyone", {"user_id": "integer", "item_id": "integer", "score": "real"},
                np.repeat(users + 1, 10), items.ravel() + 1, scores.ravel())
    return clock(run)


class Vectors:
    """pgvector, if the server has it: inner products, seen items left out."""

    QUERY = """SELECT item_id, -(factors <#> (SELECT factors::vector FROM {model}_users WHERE user_id = %s))
               FROM vector_items WHERE item_id NOT IN (SELECT item_id FROM {table} WHERE user_id = %s)
               ORDER BY factors <#> (SELECT factors::vector FROM {model}_users WHERE user_id = %s) LIMIT 10"""

    def __init__(self, connection: psycopg.Connection, model: str, table: str, factors: int):
        self.connection, self.query = connection, self.QUERY.format(model=model, table=table)
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        connection.execute("DROP TABLE IF EXISTS vector_items")
        connection.execute(f"CREATE TABLE vector_items AS SELECT item_id, factors::vector({factors}) FROM {model}_items")
        connection.execute("VACUUM (ANALYZE) vector_items")

    def index(self, users: np.ndarray, exact: Calls) -> str:
        """HNSW that finds 95 % of the ten best, if any of its settings does: the cheapest."""
        self.connection.execute("SET max_parallel_maintenance_workers = 1")
        for m, construction in ((16, 64), (32, 128)):
            self.connection.execute("DROP INDEX IF EXISTS vector_items_hnsw")
            self.connection.execute("CREATE INDEX vector_items_hnsw ON vector_items USING hnsw (factors vector_ip_ops) "
                                    f"WITH (m = {m}, ef_construction = {construction})")
            for search in (40, 100, 200, 400, 1000):
                self.connection.execute(f"SET hnsw.ef_search = {search}")
                if self.calls(users).recall(exact) >= RECALL:
                    return f"m {m}, ef_construction {construction}, ef_search {search}"
        return f"m {m}, ef_construction {construction}, ef_search {search}, the most tried"

    def calls(self, users: np.ndarray) -> Calls:
        def recommend(user: int) -> list[int]:
            rows = self.connection.execute(self.query, (int(user) + 1,) * 3, prepare=True).fetchall()
            return [item - 1 for item, _ in rows]

        return Calls(recommend, users)

    @staticmethod
    def available(connection: psycopg.Connection) -> bool:
        return connection.execute(
            "SELECT count(*) FROM pg_available_extensions WHERE name = 'vector'").fetchone()[0] > 0


def make_pairs(connection: psycopg.Connection, ratings: Ratings, count: int) -> None:
    rng = np.random.default_rng(7)
    users, items = ratings.shape
    connection.execute("DROP TABLE IF EXISTS pairs")
    connection.execute("CREATE TABLE pairs (user_id integer, item_id integer)")
    copy_in(connection, "pairs", {"user_id": "integer", "item_id": "integer"},
            rng.integers(1, users + 1, count), rng.integers(1, items + 1, count))
    connection.execute("VACUUM (ANALYZE) pairs")


def predict_calls(model: str, times: int) -> tuple[float, list[float]]:
    """Seconds of a first query in a connection, which fills the cache, and of the next ones."""
    with ours.connect() as connection:
        def predict() -> None:
            connection.execute(f"SELECT sum(als_predict('{model}', user_id, item_id)) FROM pairs").fetchall()

        return clock(predict), [clock(predict) for _ in range(times)]
