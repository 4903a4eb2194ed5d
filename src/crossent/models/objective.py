"""What a model minimises: cross entropy, with the options that remedies of imbalance and label smoothing ask for.

**Shape.** ``n`` rows, ``K`` classes: logits ``(n, K)``, a target ``(n,)`` of class indices or ``(n, K)`` of
distributions; weights and priors of the classes are ``(K,)``. The paper on logit adjustment calls the prior pi, and its
factor tau, which is 1 here.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crossent.logits import mean_cross_entropy
from crossent.models.settings import Ask

Array = npt.NDArray[np.float64]
# ``(n,)`` class indices, or ``(n, K)`` distributions.
Target = npt.NDArray[np.int64] | npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Objective:
    """Cross entropy of ``logits + log_prior``, each row weighted by its class.

    A row of several classes costs the mean, by its shares, of what each of them would cost as the target: its weight is
    the mean of theirs, and heavy ones have a larger share of it.

    Attributes
    ----------
    class_weight
        ``(K,)`` weight of the rows of each class, or None for ones.
    log_prior
        ``(K,)``, added to the logits in the loss alone (Menon et al. 2021, "Long-tail learning via logit adjustment"),
        or None for zeros.
    prior_correction
        ``(K,)``, added to the logits of the fitted model: then they are logits under the class shares of the data. Rows
        held out are judged by these. None for zeros.
    label_smoothing
        Share of each target that goes evenly to all classes.
    focal_gamma
        Exponent of the focal loss (Lin et al. 2017); 0 for cross entropy.
    """

    class_weight: Array | None = None
    log_prior: Array | None = None
    prior_correction: Array | None = None
    label_smoothing: float = 0.0
    focal_gamma: float = 0.0

    def asks(self, distribution: npt.NDArray[np.float32] | None) -> frozenset[Ask]:
        """Return what a model must support, with targets that are shares of the classes or not."""
        asked: dict[Ask, bool] = {
            "class-weight": self.class_weight is not None,
            "log-prior": self.log_prior is not None,
            "focal": self.focal_gamma > 0,
            "shares": distribution is not None or self.label_smoothing > 0,
        }
        return frozenset(name for name, is_asked in asked.items() if is_asked)

    def row_weight(self, target: Target, weight: Array | None = None) -> npt.NDArray[np.float32] | None:
        """Return the ``(n,)`` float32 weight of each row times the weight of its class, or None for ones."""
        if self.class_weight is None:
            return None if weight is None else weight.astype(np.float32)
        of_class = target @ self.class_weight if target.ndim == 2 else self.class_weight[target]
        return np.asarray(of_class if weight is None else of_class * weight, np.float32)

    def prior_correction_or_zeros(self, classes: int) -> Array:
        """Return ``(K,)`` what brings logits of the fitted model to the class shares of the data."""
        return np.zeros(classes) if self.prior_correction is None else self.prior_correction

    def distribution(self, target: Target, classes: int) -> npt.NDArray[np.float32] | None:
        """Return the ``(n, K)`` float32 targets, weighted and smoothed, or None where class indices say it all."""
        if target.ndim == 2:
            weighted = target if self.class_weight is None else target * self.class_weight
            shares = weighted / weighted.sum(axis=1, keepdims=True)
            smoothed = (1 - self.label_smoothing) * shares + self.label_smoothing / classes
            # Kernels read the rows one after the other.
            return np.ascontiguousarray(smoothed, np.float32)
        if not self.label_smoothing:
            return None
        smoothed = np.full((len(target), classes), self.label_smoothing / classes, np.float32)
        smoothed[np.arange(len(target)), target] += np.float32(1 - self.label_smoothing)
        return smoothed

    def held_out_loss(
        self, logits: npt.NDArray[np.floating], target: npt.NDArray[np.int64], weight: Array | None = None
    ) -> float:
        """Return the weighted mean cross entropy in nats of held-out rows, under the class shares of the data."""
        corrected = logits if self.prior_correction is None else logits + self.prior_correction
        return mean_cross_entropy(corrected, target, weight)
