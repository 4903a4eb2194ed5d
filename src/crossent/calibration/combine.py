"""Combinations: how the logits of the members of an ensemble become the logits of the ensemble."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crossent.logits import log_softmax
from crossent.value_checks import check_shares

Logits = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class WeightedMean:
    """The weighted mean of log-probabilities, which is the mean of logits except for a constant in each row.

    Attributes
    ----------
    weight
        ``(M,)`` float64, not negative, with a sum of one: the weight of each of the M members.

    Raises
    ------
    ValueError
        If they are not.

    Examples
    --------
    >>> first, second = np.log([[0.5, 0.5]]), np.log([[0.9, 0.1]])
    >>> np.exp(equal_say(2).logits([first, second])).round(3)
    array([[0.671, 0.224]], dtype=float32)
    """

    weight: npt.NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.weight.ndim != 1 or not len(self.weight):
            raise ValueError(f"the say of the members has shape {self.weight.shape}; there is one member or more")
        check_shares("the say of the members", self.weight, self.weight.shape)

    def logits(self, logits_of_members: Sequence[Logits]) -> Logits:
        """Return the ``(n, K)`` float32 logits of the ensemble, from the ``(n, K)`` logits of each member."""
        if len(logits_of_members) == 1:
            return logits_of_members[0]
        log_probs = [log_softmax(logits) for logits in logits_of_members]
        return np.asarray(np.tensordot(self.weight, np.stack(log_probs), axes=1), dtype=np.float32)


def equal_say(members: int) -> WeightedMean:
    """Return the combination in which all members have the same weight."""
    return WeightedMean(np.full(members, 1 / members))
