"""The objective that all programs are judged by, independent of any of them."""

import numpy as np
import scipy.sparse as sp


def loss(users: np.ndarray, items: np.ndarray, ratings: sp.csr_matrix, alpha: float, regularization: float) -> float:
    """Hu, Koren and Volinsky's objective over all pairs, c = 1 + alpha r, in
    double precision.  The sum over all pairs of (x.y)^2 is that of the product
    of the Gram matrices; pairs with a rating are put right one by one."""
    x, y = users.astype(np.float64), items.astype(np.float64)
    total = np.sum((x.T @ x) * (y.T @ y)) + regularization * (np.sum(x * x) + np.sum(y * y))
    rows = max(1, (1 << 22) // len(y))
    for start in range(0, len(x), rows):
        part = ratings[start:start + rows]
        of = np.repeat(np.arange(part.shape[0]), np.diff(part.indptr))
        scores = (x[start:start + rows] @ y.T)[of, part.indices]
        total += np.sum((1 + alpha * part.data.astype(np.float64)) * (1 - scores) ** 2 - scores ** 2)
    return float(total)
