"""The programs that know features: each trains on what has ratings, and says the factors of all."""

from __future__ import annotations

import contextlib
import io
from typing import NamedTuple

import numpy as np
import psycopg
import scipy.sparse as sp
from cmfrec import CMF, CMF_implicit
from irspack.recommenders import IALSRecommender

import data
from cold_data import Features

FACTORS, ITERATIONS = 64, 15

Settings = dict[str, float]


class Factors(NamedTuple):
    users: np.ndarray
    items: np.ndarray
    user_biases: np.ndarray | float = 0.0
    item_biases: np.ndarray | float = 0.0
    mean: float = 0.0


class Program:
    """settings() draws those of a trial, the first of which has no random numbers: the defaults."""

    name: str

    def settings(self, rng: np.random.Generator | None) -> Settings:
        raise NotImplementedError

    def fit(self, training: sp.csr_matrix, items: Features | None, users: Features | None, settings: Settings,
            explicit: bool = False) -> Factors:
        raise NotImplementedError


def spread(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


class Als(Program):
    name = "als"

    def __init__(self, connection: psycopg.Connection):
        self.connection = connection
        self.loaded: object = None

    def settings(self, rng: np.random.Generator | None) -> Settings:
        """Of what als chooses from the ratings, so many times."""
        if rng is None:
            return {"regularization": 1.0, "alpha": 1.0, "feature_regularization": 10.0}
        return {"regularization": spread(rng, 0.03, 3), "alpha": spread(rng, 0.1, 10),
                "feature_regularization": spread(rng, 1, 1000)}

    def load(self, training: sp.csr_matrix, items: Features | None, users: Features | None) -> None:
        if self.loaded is training:
            return
        self.loaded = training
        pairs = training.tocoo()
        self.connection.execute("DROP TABLE IF EXISTS training, item_features, user_features")
        self.connection.execute("CREATE TABLE training (user_id integer, item_id integer, rating real)")
        data.copy_in(self.connection, "training", {"user_id": "integer", "item_id": "integer", "rating": "real"},
                     pairs.row + 1, pairs.col + 1, pairs.data)
        for side, features in (("item", items), ("user", users)):
            self.connection.execute(f"CREATE TABLE {side}_features (id integer, feature text)")
            if features:
                known = features.matrix.tocoo()
                with self.connection.cursor() as cursor, cursor.copy(f"COPY {side}_features FROM STDIN") as copy:
                    for row, column in zip(known.row.tolist(), known.col.tolist()):
                        copy.write_row((row + 1, features.names[column]))
        self.connection.execute("ANALYZE training")
        self.chosen: dict[bool, tuple[float, float, float]] = {}

    def fit(self, training: sp.csr_matrix, items: Features | None, users: Features | None, settings: Settings,
            explicit: bool = False, without: bool = False) -> Factors:
        self.load(training, items, users)
        model = "cold_stars" if explicit else "cold"
        options = f", factors => {FACTORS}" + (", feedback => 'explicit'" if explicit else "")
        if explicit not in self.chosen:
            self.chosen[explicit] = self.connection.execute(
                "SELECT regularization, regularization_scaling, alpha "
                f"FROM als_train('{model}', 'training', iterations => 1{options})").fetchone()
        regularization, scaling, alpha = self.chosen[explicit]
        options += f", regularization => {regularization * settings['regularization']}, regularization_scaling => {scaling}"
        if not explicit:
            options += f", alpha => {alpha * settings['alpha']}"
        if not without:
            options += f", feature_regularization => {settings['feature_regularization']}"
            options += ", item_features => 'item_features'" if items else ""
            options += ", user_features => 'user_features'" if users else ""
        (mean,) = self.connection.execute(f"SELECT mean_rating FROM als_train('{model}', 'training', "
                                          f"iterations => {ITERATIONS}{options})").fetchone()
        sides = []
        for side, size in zip(("user", "item"), training.shape):
            rows = data.copy_out(f"SELECT {side}_id, bias, factors FROM (SELECT {side}_id, "
                                 f"{'bias' if explicit else '0::real AS bias'}, factors FROM {model}_{side}s) f",
                                 {"id": "integer", "bias": "real", "factors": FACTORS})
            factors, biases = np.zeros((size, FACTORS), np.float32), np.zeros(size, np.float32)
            factors[rows["id"] - 1], biases[rows["id"] - 1] = rows["factors"]["value"], rows["bias"]
            sides.append((factors, biases))
        return Factors(sides[0][0], sides[1][0], sides[0][1], sides[1][1], mean or 0.0)


class Irspack(Program):
    """Its objective is als'; a cold row's factors are solved with no ratings, all other rows' pairs
    counting 0, and drawn to its features."""

    name = "irspack"

    def settings(self, rng: np.random.Generator | None) -> Settings:
        """The ranges that it tunes by default, and als' for features; the defaults of alpha0 and of
        what holds features, 0, are no use."""
        if rng is None:
            return {"alpha0": 0.1, "reg": 1e-3, "feature_regularization": 10.0}
        return {"alpha0": spread(rng, 0.003, 1), "reg": spread(rng, 1e-4, 1e-1),
                "feature_regularization": spread(rng, 1, 1000)}

    def fit(self, training: sp.csr_matrix, items: Features | None, users: Features | None, settings: Settings,
            explicit: bool = False) -> Factors:
        rated = [np.flatnonzero(training.getnnz(axis=1 - side)) for side in (0, 1)]
        matrix = training[rated[0]][:, rated[1]].astype(np.float64)
        matrix.data /= np.median(matrix.data)
        hold = [settings["feature_regularization"] * settings["reg"] *
                (settings["alpha0"] * matrix.shape[1 - side] + matrix.nnz / matrix.shape[side]) for side in (0, 1)]
        model = IALSRecommender(
            matrix, n_components=FACTORS, alpha0=settings["alpha0"], reg=settings["reg"], n_threads=1,
            user_features=users.matrix[rated[0]] if users else None, lambda_user_feature=hold[0] if users else 0,
            item_features=items.matrix[rated[1]] if items else None, lambda_item_feature=hold[1] if items else 0)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            model.learn()
        factors = [np.zeros((size, FACTORS), np.float32) for size in training.shape]
        factors[0][rated[0]], factors[1][rated[1]] = model.get_user_embedding(), model.get_item_embedding()
        cold = [np.setdiff1d(np.arange(size), rows) for size, rows in zip(training.shape, rated)]
        if users:
            factors[0][cold[0]] = model.compute_user_embedding_from_features(users.matrix[cold[0]])
        if items:
            factors[1][cold[1]] = model.compute_item_embedding_from_features(items.matrix[cold[1]])
        return Factors(*factors)


class Cmfrec(Program):
    """Ratings and features are factored together."""

    name = "cmfrec"

    def __init__(self, conjugate: bool = False):
        """By conjugate gradient, where Cholesky takes too long."""
        self.conjugate = conjugate

    def settings(self, rng: np.random.Generator | None) -> Settings:
        if rng is None:
            return {"lambda": 1.0, "alpha": 1.0, "weight": 10.0}
        return {"lambda": spread(rng, 0.1, 1000), "alpha": spread(rng, 0.1, 30), "weight": spread(rng, 0.1, 1000)}

    def fit(self, training: sp.csr_matrix, items: Features | None, users: Features | None, settings: Settings,
            explicit: bool = False) -> Factors:
        rated = [np.flatnonzero(training.getnnz(axis=1 - side)) for side in (0, 1)]
        matrix = training[rated[0]][:, rated[1]].tocoo()
        kind = {"k": FACTORS, "w_user": settings["weight"], "w_item": settings["weight"], "niter": ITERATIONS,
                "NA_as_zero_user": True, "NA_as_zero_item": True, "center_U": False, "center_I": False,
                "use_float": False, "use_cg": self.conjugate, "nthreads": 1, "random_state": 1}
        if explicit:
            model = CMF(lambda_=settings["lambda"], scale_lam=settings["scaled"] > 0, **kind)
        else:
            model = CMF_implicit(lambda_=settings["lambda"], alpha=settings["alpha"], **kind)
        model.fit(matrix, U=users.matrix[rated[0]].tocoo() if users else None,
                  I=items.matrix[rated[1]].tocoo() if items else None)
        factors = [np.zeros((size, FACTORS), np.float32) for size in training.shape]
        factors[0][rated[0]], factors[1][rated[1]] = model.A_, model.B_
        for side, (features, cold_factors, prefix) in enumerate(
                ((users, model.factors_cold, "U"), (items, model.item_factors_cold, "I"))):
            if features:
                for row in np.setdiff1d(np.arange(training.shape[side]), rated[side]):
                    entries = features.matrix[row]
                    factors[side][row] = cold_factors(**{f"{prefix}_col": entries.indices.astype(np.int32),
                                                         f"{prefix}_val": entries.data})
        if not explicit:
            return Factors(*factors)
        biases = [np.zeros(size, np.float32) for size in training.shape]
        biases[0][rated[0]], biases[1][rated[1]] = model.user_bias_, model.item_bias_
        return Factors(*factors, *biases, model.glob_mean_)


class CmfrecExplicit(Cmfrec):
    def settings(self, rng: np.random.Generator | None) -> Settings:
        """Its documentation scales lambda for explicit feedback either way."""
        if rng is None:
            return {"lambda": 10.0, "weight": 1.0, "scaled": 0.0}
        scaled = float(rng.random() < 0.5)
        return {"lambda": spread(rng, 0.01, 1) if scaled else spread(rng, 1, 100), "weight": spread(rng, 0.01, 100),
                "scaled": scaled}
