"""What of a loss a recalibration could remove, and what it could not."""

import numpy as np

from crossent.calibration.temperature import best_temperature
from crossent.evaluation.metrics import FloatArray, IntArray, Scores, check_rows
from crossent.logits import log_softmax

FOLDS = 5
# A probability of 0 stays one at every temperature. For the recalibration it is this small instead.
_LOWEST = -80.0


def recalibrate(
    log_probs: Scores, target: IntArray, rng: np.random.Generator, weight: FloatArray | None = None
) -> FloatArray:
    """Return log-probabilities after the best recalibration, each row's chosen by other rows.

    A proper loss is what it is after the best recalibration, its *refinement* (how well the model tells classes apart),
    plus what that recalibration removes, its *calibration error*. Were a row judged by a recalibration that it took
    part in, refinement would look too small. So the rows are dealt at random into five parts, and each is recalibrated
    by the others.

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
    What a temperature cannot mend counts as refinement.

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
