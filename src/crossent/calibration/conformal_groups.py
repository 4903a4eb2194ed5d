"""Which conformal rows a new row is compared with for each class, and how many of them have to fit better."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt

from crossent.calibration.class_clusters import cluster_classes, clustering_share
from crossent.calibration.conformity import FloatArray, IntArray
from crossent.errors import SettingError
from crossent.kinds.column import Label
from crossent.logits import LabelledLogits

By = Literal["overall", "class", "cluster"]
BoolArray = npt.NDArray[np.bool_]


def rows_needed(coverage: float) -> int:
    """Return the number of conformal rows that a coverage needs, overall or for each class.

    Examples
    --------
    >>> rows_needed(0.9), rows_needed(0.95), rows_needed(0.99)
    (9, 19, 99)
    """
    exact = _exact(coverage)
    return math.ceil(exact / (1 - exact))


@dataclass(frozen=True)
class Groups:
    """Which conformal rows each class is compared with: ``rows[of_class[k]]`` are the indices for class k."""

    of_class: IntArray
    rows: tuple[npt.NDArray[np.intp], ...]


def group_rows(
    labelled: LabelledLogits, scores: FloatArray, coverage: float, by: By, rng: np.random.Generator
) -> Groups:
    """Return the rows that each class is compared with, for a promise overall, by class or by cluster of classes."""
    class_count = labelled.logits.shape[1]
    if by == "overall":
        return Groups(np.zeros(class_count, dtype=np.int64), (np.arange(len(scores)),))
    if by == "class":
        return _rows_of_groups(labelled.target, np.ones(len(scores), dtype=np.bool_), np.arange(class_count))
    clustering = random_part(len(scores), clustering_share(class_count), rng)
    least_rows = max(rows_needed(coverage), rows_needed(0.9))
    seed = int(rng.integers(2**31))
    clusters = cluster_classes(scores[clustering], labelled.target[clustering], class_count, least_rows, coverage, seed)
    return _group_clusters(labelled.target, ~clustering, clusters, rows_needed(coverage))


def _group_clusters(target: IntArray, kept: BoolArray, clusters: IntArray, needed: int) -> Groups:
    """Group by cluster; rare classes, and those of clusters with too few rows, form one more.

    If this group also has too few rows, its classes are compared with all rows.
    """
    size = np.bincount(clusters[target[kept]] + 1, minlength=clusters.max() + 2)[1:]
    large = np.flatnonzero(size >= needed)
    renumbered = np.full(clusters.max() + 2, len(large), dtype=np.int64)
    renumbered[large] = np.arange(len(large))
    groups = _rows_of_groups(target, kept, renumbered[clusters])
    if len(groups.rows) > len(large) and len(groups.rows[-1]) < needed:
        return Groups(groups.of_class, (*groups.rows[:-1], np.flatnonzero(kept)))
    return groups


def _rows_of_groups(target: IntArray, kept: BoolArray, of_class: IntArray) -> Groups:
    of_row = np.where(kept, of_class[target], -1)
    order = np.argsort(of_row, kind="stable")
    bounds = np.searchsorted(of_row[order], np.arange(of_class.max() + 2))
    return Groups(of_class, tuple(order[low:high] for low, high in pairwise(bounds)))


def weight_or_ones(labelled: LabelledLogits) -> FloatArray:
    """Return the ``(m,)`` weights of rows, ones where each counts as one."""
    return np.ones(len(labelled)) if labelled.weight is None else labelled.weight


@dataclass(frozen=True, eq=False)
class ScoredRows:
    """The conformal rows, in groups.

    Attributes
    ----------
    groups
        Which rows each class is compared with.
    scores, model, weight
        ``(m,)`` the score of the right label of each row, by which model, and the weight of the row.
    """

    groups: Groups
    scores: FloatArray
    model: IntArray
    weight: FloatArray

    def _relative_weight(self, rows: npt.NDArray[np.intp]) -> FloatArray:
        # The weight of a new row is not known, and counts as the largest of its group.
        return np.asarray(self.weight[rows] / self.weight[rows].max(initial=0))

    def masses(self, coverage: float, classes: Sequence[Label] | None) -> FloatArray:
        """Return coverage (m + 1) for each group of rows of weight m: a label is in the set while less fits better.

        The largest weight of a group is one. Without weights, less weight than that is fewer rows than the usual
        ceil(coverage (m + 1)).

        Raises
        ------
        SettingError
            If a group has too few rows, or one of them has too large a share of the weight.
        """
        total = np.array([self._relative_weight(rows).sum() for rows in self.groups.rows])
        masses = np.array([float(_exact(coverage) * (Fraction(float(m)) + 1)) for m in total])
        impossible = np.flatnonzero(masses > total)
        if len(impossible):
            group = int(impossible[0])
            rows, of_group = len(self.groups.rows[group]), np.flatnonzero(self.groups.of_class == group)
            raise _too_few_rows(coverage, float(total[group]), rows, of_group, classes)
        return masses

    def members(self, new_scores: Sequence[FloatArray], masses: FloatArray) -> BoolArray:
        """Say for which labels less weight of their group than its mass scores lower.

        Parameters
        ----------
        new_scores
            The ``(n, K)`` scores of the labels of new rows, by each model; rows are compared by the model that did not
            see them.
        masses
            From `masses`.
        """
        pairs = zip(self.groups.rows, masses, strict=True)
        thresholds = [_score_at(self.scores[rows], self._relative_weight(rows), mass) for rows, mass in pairs]
        limit = np.array(thresholds)[self.groups.of_class]
        sets: BoolArray = np.maximum.reduce(new_scores) <= limit
        if len(new_scores) == 1:
            return sets
        # Where all models score at most the threshold, too little weight scores lower; where all score more, enough
        # does.
        row, label = np.nonzero(~sets & (np.minimum.reduce(new_scores) <= limit))
        order = np.argsort(self.groups.of_class[label], kind="stable")
        row, label = row[order], label[order]
        bounds = np.searchsorted(self.groups.of_class[label], np.arange(len(self.groups.rows) + 1))
        for group, rows in enumerate(self.groups.rows):
            part = slice(bounds[group], bounds[group + 1])
            lower = self._weight_below(rows, [of_model[row[part], label[part]] for of_model in new_scores])
            sets[row[part], label[part]] = lower < masses[group]
        return sets

    def _weight_below(self, rows: npt.NDArray[np.intp], new_scores: Sequence[FloatArray]) -> FloatArray:
        """Return the weight of the rows of a group that score lower than each of ``(l,)`` labels."""
        weight = self._relative_weight(rows)
        lower = np.zeros(len(new_scores[0]))
        for model, of_model in enumerate(new_scores):
            of_fold = self.model[rows] == model
            order = np.argsort(self.scores[rows][of_fold], kind="stable")
            sums = np.append(0.0, np.cumsum(weight[of_fold][order]))
            lower += sums[np.searchsorted(self.scores[rows][of_fold][order], of_model, side="left")]
        return lower


def _score_at(scores: FloatArray, weight: FloatArray, mass: float) -> float:
    """Return the highest score below which there is less weight than `mass`."""
    order = np.argsort(scores, kind="stable")
    place = np.searchsorted(np.cumsum(weight[order]), mass, side="left")
    # Rounding of the sum may carry it beyond the last.
    return float(scores[order][min(int(place), len(order) - 1)])


def random_part(rows: int, share: float, rng: np.random.Generator) -> BoolArray:
    """Draw a share of the rows, one or more: ``(rows,)``, True for those."""
    return np.asarray(rng.permutation(rows) < max(1, round(share * rows)))


def _exact(coverage: float) -> Fraction:
    # As a decimal number: then 0.55 times 20 is 11, and not a little more, which would be rounded up to 12.
    return Fraction(repr(float(coverage)))


def _too_few_rows(
    coverage: float, mass: float, rows: int, class_index: IntArray, classes: Sequence[Label] | None
) -> SettingError:
    needed = rows_needed(coverage)
    if rows >= needed:
        return SettingError(
            f"A coverage of {coverage:g} takes held-out rows that together weigh {needed} times the heaviest of them.",
            f"The {rows} rows here weigh {mass:.3g} times that one.",
            "Ask for less, hold out more rows, or cut the largest weights.",
        )
    if len(class_index) == 1:
        name = f"class {class_index[0] if classes is None else repr(classes[class_index[0]])}"
        return SettingError(
            f"A coverage of {coverage:g} by class needs {needed} held-out rows of each class that are not used for"
            " tuning.",
            f"There are {rows} of {name}.",
            "Ask for less, hold out more rows, or promise it for clusters of classes (by='cluster').",
        )
    return SettingError(
        f"A coverage of {coverage:g} needs {needed} held-out rows that are not used for tuning, clusters or another"
        " prior.",
        f"There are {rows}.",
        "Ask for less, or hold out more rows.",
    )
