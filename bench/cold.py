"""What items that nobody has rated are worth with features: als beside popularity and features
alone.  A tenth of the items loses all ratings; of the others a tenth is set aside."""

from __future__ import annotations

import argparse
import gzip
import os
import re
from pathlib import Path
from typing import Callable

import numpy as np
import psycopg
import scipy.sparse as sp

import data

PROJECT = Path(__file__).resolve().parent.parent
K, COLD, ASIDE, FACTORS, BLOCK = 20, 0.1, 0.1, 64, 512

Score = Callable[[np.ndarray], np.ndarray]


def movie_features() -> list[tuple[int, str]]:
    """Genres, and the year of the title in fives; movies that are rated, by their indices."""
    shared = os.environ.get("ALS_SHARED")
    folder = (Path(shared) if shared else PROJECT.parent / "shared") / "data" / "ml-1m"
    with gzip.open(folder / "ratings.dat.gz", "rt") as stream:
        rated = sorted({int(line.split("::")[1]) for line in stream})
    index = {movie: place for place, movie in enumerate(rated)}
    pairs = []
    for line in (folder / "movies.dat").read_text(encoding="latin-1").splitlines():
        movie, title, genres = line.split("::")
        if int(movie) not in index:
            continue
        year = int(re.search(r"\((\d{4})\)\s*$", title).group(1))
        pairs += [(index[int(movie)], name) for name in [*genres.split("|"), f"year {year // 5 * 5}"]]
    return pairs


class Split:
    """Ratings to train with, and two sets to test: of cold items, and of the others."""

    def __init__(self, ratings: data.Ratings, seed: int = 1):
        rng = np.random.default_rng(seed)
        pairs = ratings.csr().tocoo()
        self.shape = pairs.shape
        self.cold = rng.random(self.shape[1]) < COLD
        is_cold = self.cold[pairs.col]
        aside = ~is_cold & (rng.random(pairs.nnz) < ASIDE)
        self.training, self.warm_test, self.cold_test = (
            sp.csr_matrix((pairs.data[keep], (pairs.row[keep], pairs.col[keep])), self.shape)
            for keep in (~is_cold & ~aside, aside, is_cold))
        self.known = self.training.getnnz(axis=0) > 0


def ndcg(split: Split, score: Score, test: sp.csr_matrix, among: np.ndarray) -> tuple[float, float, float]:
    """NDCG and recall at K among some items, and the standard error of the former."""
    users = np.flatnonzero((test.getnnz(axis=1) > 0) & (split.training.getnnz(axis=1) > 0))
    discount = 1 / np.log2(np.arange(2, K + 2))
    values, recalls = [], []
    for block in np.array_split(users, -(-len(users) // BLOCK)):
        scores = np.where(among, score(block), -np.inf)
        scores[split.training[block].nonzero()] = -np.inf
        best = np.argsort(-scores, axis=1, kind="stable")[:, :K]
        hits = np.take_along_axis(test[block].toarray() > 0, best, 1)
        relevant = test[block].getnnz(axis=1)
        values.append(hits @ discount / np.cumsum(discount)[np.minimum(relevant, K) - 1])
        recalls.append(hits.sum(axis=1) / np.minimum(relevant, K))
    gains = np.concatenate(values)
    return float(gains.mean()), float(np.concatenate(recalls).mean()), float(gains.std() / np.sqrt(len(gains)))


def report(name: str, split: Split, score: Score) -> None:
    everything = split.known | split.cold
    cells = []
    for test, among in ((split.cold_test, split.cold), (split.cold_test + split.warm_test, everything),
                        (split.warm_test, split.known)):
        gain, recall, error = ndcg(split, score, test, among)
        cells.append(f"{gain:.4f} ± {error:.4f} | {recall:.4f}")
    print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def ours(connection: psycopg.Connection, split: Split, options: str) -> Score:
    (seconds,) = connection.execute(
        f"SELECT seconds FROM als_train('cold', 'training', factors => {FACTORS}{options})").fetchone()
    sides = []
    for side, size in zip(("user", "item"), split.shape):
        factors = np.zeros((size, FACTORS))
        for number, row in connection.execute(f"SELECT {side}_id, factors FROM cold_{side}s"):
            factors[number - 1] = row
        sides.append(factors)
    print(f"<!-- {options}: {seconds:.1f} s -->")
    return lambda users: sides[0][users] @ sides[1].T


def cosine(split: Split, features: sp.csr_matrix) -> Score:
    """By how much the features of items are those of what the user has."""
    norms = np.sqrt(np.maximum(features.multiply(features).sum(axis=1).A1, 1e-12))
    unit = sp.diags(1 / norms) @ features
    profiles = (split.training > 0).astype(float) @ unit
    return lambda users: (profiles[users] @ unit.T).toarray()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--grid", nargs="*", default=["1", "10", "100"], help="values of feature_regularization")
    arguments = parser.parse_args()
    ratings = data.movielens(PROJECT)
    split = Split(ratings)
    pairs = movie_features()
    names = sorted({name for _, name in pairs})
    place = {name: number for number, name in enumerate(names)}
    features = sp.csr_matrix((np.ones(len(pairs)), ([item for item, _ in pairs], [place[name] for _, name in pairs])),
                             (split.shape[1], len(names)))
    with psycopg.connect("", autocommit=True) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS als")
        connection.execute("DROP TABLE IF EXISTS training, features")
        connection.execute("CREATE TABLE training (user_id integer, item_id integer, rating real)")
        triples = split.training.tocoo()
        data.copy_in(connection, "training", {"user_id": "integer", "item_id": "integer", "rating": "real"},
                     triples.row + 1, triples.col + 1, triples.data)
        connection.execute("CREATE TABLE features (item_id integer, feature text)")
        with connection.cursor() as cursor, cursor.copy("COPY features FROM STDIN") as copy:
            for item, name in pairs:
                copy.write_row((item + 1, name))
        print("| | NDCG@20 among cold items | recall@20 | NDCG@20 among all | recall@20 | NDCG@20 of warm items | recall@20 |")
        print("|---|---|---|---|---|---|---|")
        counts = split.training.getnnz(axis=0).astype(float)
        report("popularity", split, lambda users: np.broadcast_to(counts, (len(users), len(counts))))
        report("cosine of features", split, cosine(split, features))
        report("als, no features", split, ours(connection, split, ""))
        for value in arguments.grid:
            report(f"als, {value}", split, ours(connection, split, ", item_features => 'features', "
                                                f"feature_regularization => {value}"))


if __name__ == "__main__":
    main()
