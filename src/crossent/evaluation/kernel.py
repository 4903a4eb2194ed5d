"""The kernel calibration error: calibration of all probabilities of a row together, without bins."""

import numpy as np
import numpy.typing as npt

from crossent.evaluation.debiased import root
from crossent.evaluation.intervals import RESAMPLES, Resampled
from crossent.evaluation.metrics import FloatArray, IntArray, Scores, check_rows

# Up to this number of pairs, all pairs of rows are compared. Above it, only pairs within blocks of rows: a block has at
# least the second number of rows, and all blocks together about the first number of pairs.
PAIRS, FEWEST_ROWS = 4_000_000, 200
BANDWIDTH_ROWS = 2000


def kernel_calibration_error(
    probs: Scores, target: IntArray, rng: np.random.Generator, *, sample_weight: FloatArray | None = None
) -> Resampled:
    """Return the kernel calibration error, and what it is on bootstrap resamples of the rows.

    The squared error is the mean over pairs of rows of

        exp(-|p - q| / bandwidth) * (e_y - p) . (e_z - q)

    with their probabilities p and q, labels y and z, unit vectors e and Euclidean distance. Where the probabilities are
    right, its mean is 0: the labels of two rows then miss their probabilities independently. Where rows of like
    probabilities miss them alike it is positive.

    Up to 2,000 rows all pairs are taken. Beyond, the rows are dealt at random into equal blocks and the pairs
    within blocks are taken (fewer rows than there are blocks may be left out): unbiased too, in time that grows with
    the rows. The bandwidth is the median distance between rows of different probabilities; labels have no part in it.

    Parameters
    ----------
    probs
        ``(n, K)`` probabilities.
    target
        ``(n,)`` class indices.
    rng
        Deals the rows into blocks and draws the resamples.
    sample_weight
        ``(n,)``, above 0: how many rows each row counts as. None: as one. A pair counts as the product of its two.

    Returns
    -------
    Resampled
        The root of the unbiased squared error, 0 where that is negative; NaN for a single row.

    Raises
    ------
    ShapeError
        If the shapes do not fit, or a class index is out of range.

    Notes
    -----
    Source: Widmann, Lindsten and Zachariah 2019, "Calibration Tests in Multi-Class Classification: A Unifying
    Framework", the unbiased estimators, the Laplacian kernel and the bandwidth. A resample counts pairs of different
    rows only, so that rows drawn twice do not make it larger. The interval of the resamples is wider than need be where
    the error is near 0: chance moves the rows once, and the resamples once more.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> probs, target = np.tile([0.9, 0.1], (400, 1)), np.repeat([0, 1], 200)
    >>> round(kernel_calibration_error(probs, target, rng).value, 2)
    0.56
    """
    check_rows(probs, target)
    if len(target) < 2:
        return Resampled(np.nan, np.full(RESAMPLES, np.nan))
    blocks = deal_blocks(len(target), rng)
    bandwidth = median_distance(probs[blocks.ravel()[:BANDWIDTH_ROWS]].astype(np.float64))
    size = blocks.shape[1]
    repeats = rng.multinomial(size, np.full(size, 1 / size), size=RESAMPLES).astype(np.float32)
    weight = np.ones(len(target)) if sample_weight is None else sample_weight
    squared, draws = 0.0, np.zeros(RESAMPLES)
    for block in blocks:
        of_row = weight[block]
        products = pair_products(probs[block].astype(np.float64), target[block], bandwidth) * np.outer(of_row, of_row)
        pairs = (of_row.sum() ** 2 - (of_row**2).sum()) * len(blocks)
        squared += products.sum() / pairs
        drawn = np.einsum("ri,ri->r", repeats @ products.astype(np.float32), repeats) / pairs
        # A resample may hold heavier rows than the block; without weights both hold as much.
        drawn *= (of_row.sum() / (repeats @ of_row)) ** 2
        # The same resamples serve all blocks, each time in another order: drawing them is what takes long.
        draws += rng.permutation(drawn)
    return Resampled(root(squared), np.sqrt(np.maximum(draws, 0.0)))


def deal_blocks(rows: int, rng: np.random.Generator) -> npt.NDArray[np.intp]:
    """Deal rows at random into blocks of equal size; returns ``(blocks, size)`` positions.

    Examples
    --------
    >>> deal_blocks(100, np.random.default_rng(0)).shape, deal_blocks(100_000, np.random.default_rng(0)).shape
    ((1, 100), (500, 200))
    """
    blocks = -(-rows // max(FEWEST_ROWS, PAIRS // rows))
    return rng.permutation(rows)[: blocks * (rows // blocks)].reshape(blocks, -1)


def median_distance(probs: FloatArray) -> float:
    """Return the median Euclidean distance between ``(m, K)`` rows that differ; 1 where all are the same.

    Examples
    --------
    >>> round(median_distance(np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])), 4)
    1.4142
    """
    distances = _distances(probs @ probs.T)
    # Below the rounding of the squares two rows count as the same.
    different = distances[np.triu_indices(len(probs), 1)]
    different = different[different > 1e-6]
    return float(np.median(different)) if different.size else 1.0


def pair_products(probs: FloatArray, target: IntArray, bandwidth: float) -> FloatArray:
    """Return the terms of the squared error of every pair of ``(m, K)`` rows, ``(m, m)``, with 0 on the diagonal.

    Examples
    --------
    >>> pair_products(np.array([[0.5, 0.5], [0.5, 0.5]]), np.array([0, 1]), 1.0).round(2)
    array([[ 0. , -0.5],
           [-0.5,  0. ]])
    """
    inner = probs @ probs.T
    of_target = probs[:, target]
    misses = (target[:, None] == target) - of_target - of_target.T + inner
    products = np.exp(-_distances(inner) / bandwidth) * misses
    np.fill_diagonal(products, 0.0)
    return np.asarray(products)


def _distances(inner: FloatArray) -> FloatArray:
    squares = inner.diagonal()
    return np.asarray(np.sqrt(np.maximum(squares[:, None] + squares - 2 * inner, 0.0)))
