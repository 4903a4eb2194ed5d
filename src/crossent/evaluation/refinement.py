"""Splits a loss into the part that a recalibration could remove, and the rest."""

import numpy as np

from crossent.calibration.temperature import best_temperature
from crossent.evaluation.metrics import FloatArray, IntArray, Scores, check_rows
from crossent.logits import log_softmax

FOLDS = 5
# A probability of 0 stays 0 at every temperature. The recalibration uses this small probability instead.
_LOWEST = -80.0


def recalibrate(
    log_probs: Scores, target: IntArray, rng: np.random.Generator, weight: FloatArray | None = None
) -> FloatArray:
    """Return log-probabilities after the best recalibration, which other rows choose for each row.

    A proper loss is the sum of the loss after the best recalibration, its *refinement* (how well the model tells
    classes apart), and the part that this recalibration removes, its *calibration error*. If a row took part in
    choosing its own recalibration, refinement would look too small. So the rows are divided at random into five parts,
    and each part is recalibrated by the others.

    Parameters
    ----------
    log_probs
        ``(n, K)`` log-probabilities of two rows or more; -inf stands for probability 0.
    target
        ``(n,)`` class indices.
    rng
        Deals the rows.
    weight
        ``(n,)``, above 0: how many rows each row counts as. None: as one.

    Returns
    -------
    FloatArray
        ``(n, K)`` finite log-probabilities.

    Raises
    ------
    ShapeError
        If the shapes do not fit, or a class index is out of range.

    Notes
    -----
    Sources: Bröcker 2009, "Reliability, Sufficiency, and the Decomposition of Proper Scores"; Berta, Holzmüller, Jordan
    and Bach 2025, "Rethinking Early Stopping: Refine, Then Calibrate", for refinement as the loss after a temperature.
    Errors that a temperature cannot correct count as refinement.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> honest = rng.normal(size=(20_000, 3))
    >>> target = (honest + rng.gumbel(size=honest.shape)).argmax(axis=1)
    >>> recalibrated = recalibrate(log_softmax(3 * honest), target, rng)
    >>> bool(np.abs(recalibrated - log_softmax(honest)).max() < 0.2)
    True
    """
    check_rows(log_probs, target)
    logits = np.maximum(log_probs, _LOWEST).astype(np.float32)
    fold = rng.permutation(len(target)) % min(FOLDS, len(target))
    recalibrated = np.empty(logits.shape)
    for i in range(fold.max() + 1):
        rest, own = fold != i, fold == i
        weight_of_rest = None if weight is None else weight[rest]
        temperature = best_temperature(logits[rest], target[rest], weight_of_rest)
        recalibrated[own] = log_softmax(logits[own] / temperature)
    return recalibrated
