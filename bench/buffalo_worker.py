"""A training by buffalo, in a process of its own: it wants another numpy than the rest.

Reads a request as JSON from its argument, and writes {"seconds": [...], "losses": [...]}."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from buffalo import ALS, ALSOption, MatrixMarketOptions, log

import loss as objective


def data(matrix: Path) -> object:
    """Its form of the ratings, made of the matrix the first time."""
    options = MatrixMarketOptions().get_default_option()
    options.input.main = sp.load_npz(matrix)
    options.data.path = str(matrix.with_suffix(".h5"))
    options.data.tmp_dir = str(matrix.parent)
    options.data.use_cache = True
    options.data.pop("validation")
    return options


def train(request: dict) -> dict:
    options = ALSOption().get_default_option()
    options.d, options.num_workers, options.optimizer = request["factors"], request["processes"], request["solver"]
    options.alpha, options.reg_u, options.reg_i = request["alpha"], request["regularization"], request["regularization"]
    options.num_cg_max_iters, options.compute_loss_on_training = 3, False
    matrix = Path(request["matrix"])
    model = ALS(options, data_opt=data(matrix))
    model.initialize()
    model.P[:] = 0
    model.Q[:] = np.random.default_rng(42).normal(0, request["scale"], model.Q.shape)
    model.obj.initialize_model(model.P, model.Q)
    ratings = sp.load_npz(matrix) if request["target"] is not None else None
    buffer = model._get_buffer()
    seconds, losses = [], []
    while len(seconds) < request["iterations"]:
        start = time.perf_counter()
        model._iterate(buffer, group="rowwise")
        model._iterate(buffer, group="colwise")
        seconds.append(time.perf_counter() - start)
        if ratings is not None:
            losses.append(objective.loss(model.P, model.Q, ratings, request["alpha"], request["regularization"]))
            if losses[-1] <= request["target"]:
                break
    return {"seconds": seconds, "losses": losses}


if __name__ == "__main__":
    log.set_log_level(log.WARN)
    print(json.dumps(train(json.loads(sys.argv[1]))))
