"""The time of a fit: a sum of seconds over the pieces of its work, whose number follows from the training rows.

``n`` rows, ``p`` numbers, ``q`` columns of codes, ``K`` classes. The seconds of each model are beside its settings, and
``benchmarks/costs.py`` measures them. Nothing here imports torch or LightGBM.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Size:
    """The size of the training rows of a fit.

    Attributes
    ----------
    rows
        n, the training rows of one fit.
    numbers, codes
        p numeric features, and q columns of category codes.
    ngrams
        Number of n-grams in all rows together; 0 without text.
    classes
        K.
    """

    rows: int
    numbers: int
    codes: int
    ngrams: int
    classes: int

    @property
    def features(self) -> int:
        """``p + q``."""
        return self.numbers + self.codes


def total_seconds(costs: Sequence[float], work: Sequence[float]) -> float:
    """Return the seconds of some kinds of work, each given by the seconds for one piece and the number of pieces.

    Examples
    --------
    >>> total_seconds((2.0, 0.5), (3, 10))
    11.0
    """
    return sum(cost * pieces for cost, pieces in zip(costs, work, strict=True))
