"""The table of "Neural collaborative filtering" (He et al., WWW 2017) for MovieLens-1M, by als: the
last item of each user among 99 sampled ones.  Takes the folder with the authors' ml-1m.test.rating
and ml-1m.test.negative; all other ratings are to train with."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import numpy as np
import psycopg

import data

PROJECT = Path(__file__).resolve().parent.parent
SEEDS = (1, 2, 3)

# iALS's in "Revisiting the performance of iALS on item recommendation benchmarks" (Rendle et al. 2021), in
# our objective as docs/reference.md has it
LAMBDA, UNOBSERVED = 0.007, 0.3
PUBLISHED = {"iterations": 12, "alpha": 1 / UNOBSERVED, "regularization": (1 + UNOBSERVED) * LAMBDA,
             "regularization_scaling": 1}

RANKS = """
WITH ranks AS (
    SELECT 1 + count(*) FILTER (WHERE als_predict('ncf', user_id, negative) >= score) AS rank
    FROM among, LATERAL (SELECT als_predict('ncf', user_id, positive) AS score) AS of_positive
    GROUP BY user_id, score)
SELECT avg((rank <= 10)::int)::float8, avg(CASE WHEN rank <= 10 THEN 1 / log(2, 1 + rank) ELSE 0 END)::float8 FROM ranks"""


def numbers(path: Path) -> list[list[int]]:
    return [[int(number) for number in re.findall(r"\d+", line)] for line in path.read_text(encoding="ascii").splitlines()]


def in_order(ids: np.ndarray) -> np.ndarray:
    """Numbers from 0 on, by first appearance, which are the authors' items."""
    _, first, inverse = np.unique(ids, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]


def load(connection: psycopg.Connection, folder: Path) -> None:
    ratings = data.movielens(PROJECT)
    if ratings is None:
        raise SystemExit("MovieLens-1M is not here")
    positive = {user: item for user, item, *_ in numbers(folder / "ml-1m.test.rating")}
    negatives = {user: rest for user, _, *rest in numbers(folder / "ml-1m.test.negative")}
    users, items = ratings.users, in_order(ratings.items)
    held_out = np.array([positive[user] for user in range(len(positive))])[users] == items
    if held_out.sum() != len(positive):
        raise SystemExit("the test's pairs are not MovieLens-1M's")
    integers = {"user_id": "integer", "item_id": "integer"}
    connection.execute("DROP TABLE IF EXISTS training, among")
    connection.execute("CREATE TABLE training (user_id integer, item_id integer)")
    data.copy_in(connection, "training", integers, users[~held_out], items[~held_out])
    connection.execute("CREATE TABLE among (user_id integer, positive integer, negative integer)")
    rows = np.array([(user, positive[user], negative) for user, rest in negatives.items() for negative in rest])
    data.copy_in(connection, "among", {"user_id": "integer", "positive": "integer", "negative": "integer"}, *rows.T)


def measure(connection: psycopg.Connection, settings: dict) -> np.ndarray:
    """HR@10 and NDCG@10, means over the seeds."""
    arguments = "".join(f", {name} => {value}" for name, value in settings.items())
    figures = []
    for seed in SEEDS:
        connection.execute("DROP TABLE IF EXISTS ncf")
        connection.execute(f"SELECT als_train('ncf', 'training', rating_column => NULL, seed => {seed}{arguments})")
        figures.append(connection.execute(RANKS).fetchone())
    return np.mean(figures, axis=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--factors", type=int, nargs="*", default=[8, 16, 32, 64, 192])
    arguments = parser.parse_args()
    with psycopg.connect("", autocommit=True) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS als")
        load(connection, arguments.folder)
        print("| factors | HR@10, parameters chosen | NDCG@10 | HR@10, the paper's parameters | NDCG@10 |")
        print("|---|---|---|---|---|")
        for factors in arguments.factors:
            figures = [*measure(connection, {"factors": factors}), *measure(connection, {"factors": factors, **PUBLISHED})]
            print(f"| {factors} | " + " | ".join(f"{figure:.4f}" for figure in figures) + " |", flush=True)


if __name__ == "__main__":
    main()
