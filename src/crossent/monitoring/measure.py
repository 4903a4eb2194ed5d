"""What is measured in an epoch: running sums over batches, gradients, the rows held out, and memory."""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from crossent.calibration.temperature import fit_temperature
from crossent.evaluation.calibration import top_label_calibration_error
from crossent.logits import LabelledLogits, log_softmax
from crossent.threads import open_threads

if sys.platform != "win32":
    import resource

IGNORED = -100


@final
class RunningLoss:
    """Sums loss and right answers over batches, on their device: no batch waits for the device."""

    def __init__(self) -> None:
        self._loss: Tensor | float = 0.0
        self._right: Tensor | float = 0.0
        self._rows: Tensor | float = 0.0

    @torch.no_grad()
    def add(self, logits: Tensor, target: Tensor) -> None:
        """Add a batch: logits ``(n, K)`` or ``(n, K, ...)``; class indices, or distributions in the logits' shape."""
        scores = logits.detach().float()
        indices = target.argmax(1) if target.is_floating_point() else target
        counted = indices != IGNORED
        self._loss = self._loss + torch.nn.functional.cross_entropy(scores, target, reduction="sum")
        self._right = self._right + ((scores.argmax(1) == indices) & counted).sum()
        self._rows = self._rows + counted.sum()

    def mean(self) -> tuple[float, float, int]:
        """Return mean loss in nats, accuracy, and the number of rows; NaN without rows."""
        rows = int(self._rows)
        if not rows:
            return float("nan"), float("nan"), 0
        return float(self._loss) / rows, float(self._right) / rows, rows


@final
class RunningGradients:
    """Averages the length of the gradient over batches, in all and of the first and the last layer."""

    def __init__(self) -> None:
        self._sums = torch.zeros(3)
        self._first = torch.tensor(0.0)
        self._batches = 0

    @torch.no_grad()
    def add(self, parameters: Iterable[Tensor]) -> None:
        """Add the gradients that the parameters hold now; without any, nothing."""
        trained = [parameter for parameter in parameters if parameter.grad is not None]
        if not trained:
            return
        lengths = gradient_lengths(trained, [parameter for parameter in trained if parameter.ndim > 1] or trained)
        self._sums = self._sums.to(lengths.device) + lengths
        if not self._batches:
            self._first = lengths[0]
        self._batches += 1

    def mean(self) -> tuple[float | None, float | None, float | None]:
        """Return mean length, that of the first batch, and the first layer's by the last's for the size of weights."""
        if not self._batches:
            return None, None, None
        length, first, last = (self._sums / self._batches).tolist()
        return length, float(self._first), first / last if last > 0 else None


@torch.no_grad()
def gradient_lengths(parameters: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
    """Return the length of the gradient, and of its parts for the first and the last weight by the root of their size.

    Parameters
    ----------
    parameters
        All that have a gradient.
    weights
        Those of layers, in order.
    """
    ends = [weight.grad for weight in (weights[0], weights[-1]) if weight.grad is not None]
    lengths = [torch.nn.utils.get_total_norm([tensor.grad for tensor in parameters if tensor.grad is not None])]
    lengths += [gradient.float().norm() / gradient.numel() ** 0.5 for gradient in ends]
    return torch.stack([length.float() for length in lengths])


@dataclass(frozen=True, eq=False)
class HeldOut:
    """What rows held out show.

    Attributes
    ----------
    loss, accuracy
        Mean cross entropy in nats, and share of right answers.
    refinement, temperature
        Mean cross entropy at the temperature that suits them best, and that temperature; None where logits are not
        finite.
    calibration_error
        Of the predicted label, 0 to 1; None where logits are not finite.
    baseline_loss
        Entropy of the class shares.
    confidently_wrong
        Share of rows, each counted as one, predicted to be of another class than labelled, at least as surely as rows
        that are rightly predicted to be of it are on average; None where logits are not finite. After Northcutt et al.
        2021, "Confident Learning", who average over all rows labelled so.
    """

    loss: float
    accuracy: float
    refinement: float | None
    temperature: float | None
    calibration_error: float | None
    baseline_loss: float
    confidently_wrong: float | None


def measure_held_out(held_out: LabelledLogits) -> HeldOut:
    """Measure rows held out, by weight.

    Examples
    --------
    >>> logits = np.array([[4.0, 0.0], [0.0, 4.0]], np.float32)
    >>> measure_held_out(LabelledLogits(logits, np.array([0, 1]))).accuracy
    1.0
    """
    logits, target, weight = held_out.logits, held_out.target, held_out.weight
    rows = np.arange(len(target))
    shares = np.bincount(target, weight) / (len(target) if weight is None else weight.sum())
    baseline = float(-(shares[shares > 0] * np.log(shares[shares > 0])).sum())
    accuracy = float(np.average(logits.argmax(axis=1) == target, weights=weight))
    if not np.isfinite(logits).all():
        return HeldOut(float("nan"), accuracy, None, None, None, baseline, None)
    log_probs = log_softmax(logits)
    probs = np.exp(log_probs)
    with open_threads() as (pool, _):
        fitted = fit_temperature(logits, target, pool, weight)
    return HeldOut(
        # A difference, for minus zero would be shown with its sign.
        loss=float(0 - np.average(log_probs[rows, target], weights=weight)),
        accuracy=accuracy,
        refinement=float(np.average(fitted.rows.loss, weights=weight)),
        temperature=1 / fitted.inverse,
        calibration_error=top_label_calibration_error(probs, target, sample_weight=weight),
        baseline_loss=baseline,
        confidently_wrong=_confidently_wrong(probs, target),
    )


def _confidently_wrong(probs: npt.NDArray[np.floating[Any]], target: npt.NDArray[np.int64]) -> float:
    predicted = probs.argmax(axis=1)
    right = predicted == target
    counts = np.bincount(target[right], minlength=probs.shape[1])
    sums = np.bincount(target[right], weights=probs.max(axis=1)[right], minlength=probs.shape[1])
    # A class that is never right has no usual confidence, and no row can be as sure.
    usual = np.full(probs.shape[1], np.inf)
    np.divide(sums, counts, out=usual, where=counts > 0)
    return float((~right & (probs.max(axis=1) >= usual[predicted])).mean())


def peak_memory() -> float | None:
    """Return the most bytes of memory that the process has held at once, or None on Windows, which has another way.

    Examples
    --------
    >>> (peak_memory() or 1e9) > 1e6
    True
    """
    if sys.platform == "win32":
        return None
    # Linux counts in KiB, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)
