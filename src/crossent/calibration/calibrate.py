"""Calibration of logits from anywhere."""

from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from crossent.array_checks import check_logits_array, check_target_array, weight_array
from crossent.calibration.choose import Choice, choose_calibration
from crossent.calibration.scaling import Calibration
from crossent.checks import check_choice


def calibrate(
    logits: npt.ArrayLike, y: npt.ArrayLike, method: Choice = "auto", *, sample_weight: npt.ArrayLike | None = None
) -> Calibration:
    """Learn from rows with known classes how to turn logits into calibrated probabilities.

    Parameters
    ----------
    logits
        ``(n, K)`` finite raw scores of any model, or logs of probabilities, of rows that it was not trained on.
    y
        ``(n,)`` class indices, 0 to K - 1. A class may be absent.
    method
        ``"temperature"``, ``"vector"`` or ``"matrix"`` scaling, ``"identity"`` for none, or ``"auto"`` for the method
        with the lowest cross-validated log-loss. A method that does not lower the log-loss is not used.
    sample_weight
        ``(n,)``, 0 or above: how many rows each row counts as. None: as one.

    Returns
    -------
    A `Calibration`: its ``.logits(logits)`` and ``.probs(logits)`` map those of new rows.

    Raises
    ------
    ShapeError
        If a logit is not finite, there are fewer than two classes, shapes do not fit, a label is no class index, or a
        weight is negative or not finite.
    SettingError
        If the method is unknown.

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks"; Berta et al. 2025, "Structured Matrix Scaling
    for Multi-Class Calibration".

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> honest = rng.normal(size=(5_000, 3))
    >>> y = (honest + rng.gumbel(size=honest.shape)).argmax(axis=1)
    >>> calibration = calibrate(3 * honest, y, "temperature")
    >>> calibration.method, round(calibration.temperature)
    ('temperature', 3)
    >>> calibration.probs(3 * honest[:1]).round(2), calibration.log_loss_after < calibration.log_loss_before
    (array([[0.29, 0.22, 0.49]]), True)
    """
    check_choice("method", method, get_args(Choice))
    scores: npt.NDArray[Any] = np.asarray(logits)
    labels: npt.NDArray[Any] = np.asarray(y)
    check_logits_array("logits", scores)
    check_target_array("y", labels, *scores.shape)
    real = scores if scores.dtype in {np.dtype(np.float32), np.dtype(np.float64)} else scores.astype(np.float32)
    labels = labels.astype(np.int64)
    if sample_weight is None:
        return choose_calibration(real, labels, method)
    weight = weight_array("sample_weight", sample_weight, len(labels))
    counted = weight > 0
    return choose_calibration(real[counted], labels[counted], method, weight=weight[counted])
