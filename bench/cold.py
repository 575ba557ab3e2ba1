"""What features are worth: items and users that nobody has rated, and others.  als beside popularity,
the cosine of features, irspack and cmfrec, each with the best of as many settings."""

from __future__ import annotations

import argparse
import time
from typing import Callable, Sequence

import numpy as np
import psycopg
import scipy.sparse as sp

import cold_data
from cold_data import Data, Features, ItemSplit, UserSplit
from cold_peers import Als, Cmfrec, CmfrecExplicit, Factors, Irspack, Program, Settings

K, BLOCK, MOST = 20, 512, 5000
HEADS = " | ".join(f"{which}: NDCG@20 | recall@20" for which in (
    "cold items among themselves", "all items", "warm items", "warm items, 5 ratings"))
GRID = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)

Score = Callable[[np.ndarray], np.ndarray]


def ranking(score: Score, training: sp.csr_matrix, test: sp.csr_matrix, items: np.ndarray,
            users: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """NDCG and recall at K of each user, among some items."""
    users = users[test[users][:, items].getnnz(axis=1) > 0]
    users = np.random.default_rng(1).permutation(users)[:MOST]
    discount = 1 / np.log2(np.arange(2, K + 2))
    gains, recalls = [], []
    for block in np.array_split(users, -(-len(users) // BLOCK)):
        scores = np.array(score(block), dtype=np.float32)[:, items]
        scores[training[block][:, items].nonzero()] = -np.inf
        best = np.argpartition(-scores, K, axis=1)[:, :K]
        best = np.take_along_axis(best, np.argsort(-np.take_along_axis(scores, best, 1), axis=1, kind="stable"), 1)
        relevant = test[block][:, items]
        hits = np.take_along_axis(relevant.toarray() > 0, best, 1)
        count = np.minimum(relevant.getnnz(axis=1), K)
        gains.append(hits @ discount / np.cumsum(discount)[count - 1])
        recalls.append(hits.sum(axis=1) / count)
    return np.concatenate(gains), np.concatenate(recalls)


class Table:
    """NDCG and recall of programs, printed as they come with the standard error over users; of several
    divisions then the means, and by how much they differ from those of one program, with that over divisions."""

    def __init__(self, heads: str, base: str):
        self.heads, self.base = heads, base
        self.rows: dict[str, list[list[tuple[float, float]]]] = {}

    def begin(self, title: str) -> None:
        print(f"\n{title}\n\n| | {self.heads} |\n|---{'|---' * (self.heads.count('|') + 1)}|", flush=True)

    def put(self, name: str, cells: list[tuple[float, float, float]]) -> None:
        texts = [f"{gain:.4f} ± {error:.4f} | {recall:.4f}" for gain, error, recall in cells]
        print(f"| {name} | {' | '.join(texts)} |", flush=True)

    def add(self, name: str, cells: list[tuple[np.ndarray, np.ndarray]]) -> None:
        self.put(name, [(gains.mean(), gains.std() / np.sqrt(len(gains)), recalls.mean()) for gains, recalls in cells])
        self.rows.setdefault(name, []).append([(gains.mean(), recalls.mean()) for gains, recalls in cells])

    def summary(self, divisions: int) -> None:
        if divisions == 1:
            return
        for base in (None, self.base) if self.base in self.rows else (None,):
            self.begin(f"Less {base}" if base else f"Means of {divisions} divisions")
            for name, values in self.rows.items():
                differences = np.array(values) - np.array(self.rows[base] if base else 0.0)
                errors = differences.std(axis=0, ddof=1) / np.sqrt(divisions)
                self.put(name, [(gain, error, recall) for (gain, recall), (error, _) in zip(differences.mean(axis=0), errors)])


def scoring(factors: Factors) -> Score:
    return lambda users: factors.users[users] @ factors.items.T


def popularity(training: sp.csr_matrix) -> Score:
    counts = training.getnnz(axis=0).astype(np.float32)
    return lambda users: np.broadcast_to(counts, (len(users), len(counts)))


def unit(features: sp.csr_matrix) -> sp.csr_matrix:
    norms = np.sqrt(np.maximum(np.asarray(features.multiply(features).sum(axis=1)).ravel(), 1e-12))
    return (sp.diags(1 / norms) @ features).tocsr()


def item_cosine(training: sp.csr_matrix, features: sp.csr_matrix) -> Score:
    """By how much the features of items are those of what the user has."""
    items = unit(features)
    profiles = (training > 0).astype(np.float32) @ items
    return lambda users: (profiles[users] @ items.T).toarray()


def user_cosine(training: sp.csr_matrix, features: sp.csr_matrix) -> Score:
    """What users with the same features have."""
    users = unit(features)
    profiles = users.T @ (training > 0).astype(np.float32)
    return lambda block: (users[block] @ profiles).toarray()


def cold_items(split: ItemSplit, score: Score) -> np.ndarray:
    some = np.flatnonzero(split.training.getnnz(axis=1))
    return ranking(score, split.training, split.cold_test, np.flatnonzero(split.cold), some)[0]


def cold_users(split: UserSplit, score: Score) -> np.ndarray:
    return ranking(score, split.training, split.cold_test, np.flatnonzero(split.known), np.flatnonzero(split.cold))[0]


def measured_items(split: ItemSplit, score: Score) -> list[tuple[np.ndarray, np.ndarray]]:
    some = np.flatnonzero(split.training.getnnz(axis=1))
    short, others = some[split.short[some]], some[~split.short[some]]
    known, everything = np.flatnonzero(split.known), np.flatnonzero(split.known | split.cold)
    return [ranking(score, split.training, *which) for which in (
        (split.cold_test, np.flatnonzero(split.cold), some), (split.cold_test + split.warm_test, everything, some),
        (split.warm_test, known, others), (split.warm_test, known, short))]


def rounded(settings: Settings) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in settings.items())


def tune(program: Program, trials: int, fit: Callable[[Settings], float]) -> Settings:
    """The best of so many settings."""
    rng = np.random.default_rng(7)
    best: tuple[float, Settings] | None = None
    start = time.perf_counter()
    for trial in range(trials):
        settings = program.settings(rng if trial else None)
        value = fit(settings)
        print(f"<!-- {program.name}: {rounded(settings)}: {value:.4f} -->", flush=True)
        if best is None or value > best[0]:
            best = value, settings
    print(f"<!-- {program.name}: {time.perf_counter() - start:.0f} s -->", flush=True)
    return best[1]


def measure_items(given: Data, programs: list[Program], trials: int, divisions: int) -> None:
    table = Table(HEADS, "als, defaults")
    for division in range(1, divisions + 1):
        split = ItemSplit(given.ratings, division)
        inner = ItemSplit(split.training, division + 1, split.cold)

        def add(name: str, score: Score) -> None:
            table.add(name, measured_items(split, score))

        table.begin(given.describe())
        add("popularity", popularity(split.training))
        add("cosine of features", item_cosine(split.training, given.items.matrix))
        for program in programs:
            def fit(settings: Settings) -> float:
                return float(cold_items(inner, scoring(program.fit(inner.training, given.items, None, settings))).mean())

            if isinstance(program, Als):
                defaults = program.settings(None)
                add("als, no features", scoring(program.fit(split.training, given.items, None, defaults, without=True)))
                add("als, defaults", scoring(program.fit(split.training, given.items, None, defaults)))
            if trials:
                best = tune(program, trials, fit)
                if isinstance(program, Als):
                    add("als, no features, same settings",
                        scoring(program.fit(split.training, given.items, None, best, without=True)))
                add(f"{program.name}, tuned", scoring(program.fit(split.training, given.items, None, best)))
    table.summary(divisions)


def measure_grid(given: Data, program: Als, grid: Sequence[float], divisions: int) -> None:
    """How strongly the factors of features are held at 0, with all else as als chooses it."""
    table = Table(HEADS, "no features")
    for division in range(1, divisions + 1):
        split = ItemSplit(given.ratings, division)
        table.begin(given.describe())
        settings = program.settings(None)
        table.add("no features", measured_items(split, scoring(
            program.fit(split.training, given.items, None, settings, without=True))))
        for value in grid:
            settings["feature_regularization"] = value
            table.add(f"{value:g}", measured_items(split, scoring(program.fit(split.training, given.items, None, settings))))
    table.summary(divisions)


def measure_users(given: Data, programs: list[Program], trials: int, divisions: int) -> None:
    if given.users is None:
        return
    table = Table("cold users: NDCG@20 | recall@20", "als, defaults")
    for division in range(1, divisions + 1):
        split = UserSplit(given.ratings, division)
        inner = UserSplit(split.training, division + 1, split.cold)
        known, cold = np.flatnonzero(split.known), np.flatnonzero(split.cold)

        def add(name: str, score: Score) -> None:
            table.add(name, [ranking(score, split.training, split.cold_test, known, cold)])

        table.begin(given.describe())
        add("popularity", popularity(split.training))
        add("cosine of features", user_cosine(split.training, given.users.matrix))
        for program in programs:
            def fit(settings: Settings) -> float:
                return float(cold_users(inner, scoring(program.fit(inner.training, None, given.users, settings))).mean())

            if isinstance(program, Als):
                add("als, defaults", scoring(program.fit(split.training, None, given.users, program.settings(None))))
            if trials:
                best = tune(program, trials, fit)
                add(f"{program.name}, tuned", scoring(program.fit(split.training, None, given.users, best)))
    table.summary(divisions)


def errors(split: ItemSplit, factors: Factors) -> np.ndarray:
    """Squared errors of the ratings of cold items, by users that have others."""
    test = split.cold_test.tocoo()
    keep = split.training.getnnz(axis=1)[test.row] > 0
    row, column = test.row[keep], test.col[keep]
    said = factors.mean + np.sum(factors.users[row] * factors.items[column], axis=1)
    said = said + np.broadcast_to(factors.user_biases, split.shape[0])[row]
    said = said + np.broadcast_to(factors.item_biases, split.shape[1])[column]
    return (said - test.data[keep]) ** 2


def measure_stars(given: Data, programs: list[Program], trials: int) -> None:
    if not given.stars:
        return
    split = ItemSplit(given.ratings, 1)
    inner = ItemSplit(split.training, 2, split.cold)

    def report(name: str, factors: Factors) -> None:
        squares = errors(split, factors)
        root = np.sqrt(squares.mean())
        print(f"| {name} | {root:.4f} ± {squares.std() / np.sqrt(len(squares)) / 2 / root:.4f} |", flush=True)

    print("\n| | cold items: RMSE |\n|---|---|", flush=True)
    users, items = split.shape
    mean = float(split.training.data.mean())
    sums = np.asarray(split.training.sum(axis=1)).ravel() - mean * split.training.getnnz(axis=1)
    report("mean and users' biases", Factors(np.zeros((users, 1)), np.zeros((items, 1)),
                                             sums / (split.training.getnnz(axis=1) + 10), 0.0, mean))
    for program in programs:
        def fit(settings: Settings) -> float:
            return -float(errors(inner, program.fit(inner.training, given.items, None, settings, True)).mean() ** 0.5)

        if isinstance(program, Als):
            report("als, defaults", program.fit(split.training, given.items, None, program.settings(None), True))
        if trials:
            report(f"{program.name}, tuned",
                   program.fit(split.training, given.items, None, tune(program, trials, fit), True))


PARTS = ("items", "users", "stars", "grid")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", nargs="*", default=list(cold_data.SETS), choices=list(cold_data.SETS))
    parser.add_argument("--only", nargs="*", default=list(PARTS), choices=PARTS)
    parser.add_argument("--programs", nargs="*", default=["als", "irspack", "cmfrec"])
    parser.add_argument("--grid", nargs="*", type=float, default=GRID, help="values of feature_regularization")
    parser.add_argument("--trials", type=int, default=12, help="0: als' defaults alone")
    parser.add_argument("--divisions", type=int, default=1, help="of rankings: as many, and their means")
    arguments = parser.parse_args()
    with psycopg.connect("", autocommit=True) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS als")
        connection.execute("SET client_min_messages = warning")
        for name in arguments.data:
            given = cold_data.SETS[name]()
            programs: list[Program] = [program for program in (Als(connection), Irspack(), Cmfrec(name == "packages"))
                                       if program.name in arguments.programs]
            if "items" in arguments.only:
                measure_items(given, programs, arguments.trials, arguments.divisions)
            if "users" in arguments.only:
                measure_users(given, programs, arguments.trials, arguments.divisions)
            if "grid" in arguments.only:
                measure_grid(given, Als(connection), arguments.grid, arguments.divisions)
            if "stars" in arguments.only:
                measure_stars(given, [program for program in (Als(connection), CmfrecExplicit())
                                      if program.name in arguments.programs], arguments.trials)


if __name__ == "__main__":
    main()
