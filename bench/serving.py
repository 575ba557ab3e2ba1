"""Recommendations and predictions, timed one by one.

    python serving.py [CALLS]    # from bench's environment: what lists cost beside a plain call

makes a model of 100,000 items of 64 factors that are like trained ones: their spectrum falls,
and few are long. It prints the median of each kind of call in alternating rounds, and how many
times that of the plain call it is.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import psycopg

import ours
import peers
from data import Ratings, copy_in

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


LISTS = {
    "plain": "als_recommend('lists', {user}, 10)",
    "min_score": "als_recommend('lists', {user}, 10, min_score => 0.1)",
    "diversity 0.1": "als_recommend('lists', {user}, 10, diversity => 0.1)",
    "diversity 0.3": "als_recommend('lists', {user}, 10, diversity => 0.3)",
    "diversity 0.7": "als_recommend('lists', {user}, 10, diversity => 0.7)",
    "groups, 200": "als_recommend('lists', {user}, 10, groups => 'list_groups', per_group => 2)",
    "groups, half in one": "als_recommend('lists', {user}, 10, groups => 'list_halves', per_group => 2)",
    "boost, 100 items": "als_recommend('lists', {user}, 10, boost => 'list_boosts')",
    "all three": "als_recommend('lists', {user}, 10, diversity => 0.3, groups => 'list_groups', per_group => 2, boost => 'list_boosts')",
    "four users, average": "als_recommend_together('lists', ARRAY[{user}, {user} + 1, {user} + 2, {user} + 3], 10)",
    "four users, least misery": "als_recommend_together('lists', ARRAY[{user}, {user} + 1, {user} + 2, {user} + 3], 10, by => 'least_misery')",
    "audience": "als_audience('lists', {user}, 10)",
    "similar items": "als_similar_items('lists', {user}, 10)",
    "similar items of 5,000": "als_similar_items('lists', {user}, 10, candidates => (SELECT ids FROM list_candidates))",
}


def make_lists(connection: psycopg.Connection, items: int, users: int, rank: int) -> None:
    """A model of random factors; 20 ratings a user, groups, boosts, candidates."""
    rng = np.random.default_rng(11)
    spectrum = 1 / np.sqrt(np.arange(1, rank + 1))
    connection.execute("DROP TABLE IF EXISTS lists, list_users, list_items, list_ratings, list_groups, list_halves, list_boosts, list_candidates CASCADE")
    for side, count in (("user", users), ("item", items)):
        factors = rng.normal(size=(count, rank)) * spectrum * rng.gamma(1, 0.2, size=(count, 1))
        connection.execute(f"CREATE TABLE list_{side}s ({side}_id integer, factors real[])")
        with connection.cursor().copy(f"COPY list_{side}s FROM STDIN") as copy:
            for id_, row in enumerate(factors, 1):
                copy.write_row((id_, [float(x) for x in row]))
    connection.execute(f"""
        CREATE TABLE list_ratings AS
            SELECT DISTINCT user_id, 1 + (user_id * 7919 + n * 104729) % {items} AS item_id, 1 AS rating FROM list_users, generate_series(1, 20) n;
        CREATE INDEX ON list_ratings (user_id);
        CREATE INDEX ON list_ratings (item_id);
        CREATE TABLE list_groups AS SELECT item_id, item_id % 200 AS in_group FROM list_items;
        CREATE TABLE list_halves AS SELECT item_id, CASE WHEN item_id % 2 = 0 THEN 0 ELSE item_id % 200 END AS in_group FROM list_items;
        CREATE INDEX ON list_groups (item_id);
        CREATE INDEX ON list_halves (item_id);
        CREATE TABLE list_boosts AS SELECT item_id, 0.1 AS amount FROM list_items WHERE item_id % 1000 = 7;
        CREATE TABLE list_candidates AS SELECT array_agg(item_id) AS ids FROM list_items WHERE item_id % 20 = 3;
        SELECT als_import('lists', 'list_users', 'list_items', 'list_ratings', regularization => 0.1, alpha => 1)""")
    connection.execute("VACUUM ANALYZE")


def time_lists(connection: psycopg.Connection, calls: int, rounds: int = 5) -> dict[str, float]:
    """The median of each kind, in seconds."""
    each: dict[str, list[float]] = {name: [] for name in LISTS}
    for round_ in range(rounds + 1):  # of which the first makes caches and indexes
        for name, query in LISTS.items():
            for user in range(1, max(calls // rounds, 1) + 1):
                seconds = clock(lambda: connection.execute(f"SELECT count(*) FROM {query.format(user=user)}").fetchall())
                if round_ > 0:
                    each[name].append(seconds)
    return {name: float(np.median(seconds)) for name, seconds in each.items()}


if __name__ == "__main__":
    with ours.connect() as server:
        server.execute("CREATE EXTENSION IF NOT EXISTS als")
        make_lists(server, items=100_000, users=20_000, rank=64)
        medians = time_lists(server, int(sys.argv[1]) if len(sys.argv) > 1 else 500)
    for kind, median in medians.items():
        print(f"{kind:24} {1000 * median:8.2f} ms {median / medians['plain']:6.2f} times plain")
