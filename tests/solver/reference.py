"""The optimum that SciPy comes to, and rows as the solvers take them."""

import numpy as np
import scipy.optimize
import scipy.sparse
from scipy.special import logsumexp

from crossent.kernels.regression import FeatureRows, SparseRows


def reference(features: np.ndarray, target: np.ndarray, weight: np.ndarray, penalty: np.ndarray) -> float:
    """The lowest mean cross entropy plus penalty; targets are distributions."""
    n, num_classes = target.shape
    whole = np.hstack([features, np.ones((n, 1))])

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        theta = flat.reshape(-1, num_classes)
        logits = whole @ theta
        log_sum = logsumexp(logits, axis=1, keepdims=True)
        total = target.sum(1, keepdims=True)
        loss = (weight[:, None] * target * (log_sum - logits)).sum()
        slopes = weight[:, None] * (total * np.exp(logits - log_sum) - target)
        scale = 1 / (weight[:, None] * total).sum()
        gradient = scale * whole.T @ slopes + penalty[:, None] * theta
        return scale * loss + (penalty[:, None] * theta**2).sum() / 2, gradient.ravel()

    start = np.zeros(whole.shape[1] * num_classes)
    options = {"maxiter": 20_000, "maxfun": 50_000, "ftol": 1e-15, "gtol": 1e-10}
    return float(scipy.optimize.minimize(objective, start, jac=True, method="L-BFGS-B", options=options).fun)


def sparse_rows(features: np.ndarray) -> FeatureRows:
    csr = scipy.sparse.csr_array(features)
    elements = SparseRows(csr.indptr.astype(np.int64), csr.indices.astype(np.int32), csr.data)
    return FeatureRows(np.empty((len(features), 0), features.dtype), elements, features.shape[1])
