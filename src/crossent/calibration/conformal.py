"""Prediction sets: the labels that new rows may have, with a promise of how often they contain the true label."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crossent.array_checks import check_logits_array, weight_array
from crossent.calibration.conformal_groups import By, ScoredRows, group_rows, random_part, weight_or_ones
from crossent.calibration.conformity import (
    NO_PENALTY,
    FloatArray,
    Logits,
    Method,
    RankPenalty,
    aps_scores,
    lac_scores,
    tune_rank_penalty,
)
from crossent.checks import check_choice
from crossent.errors import SettingError, ShapeError
from crossent.kinds.column import Label
from crossent.logits import LabelledLogits

BoolArray = npt.NDArray[np.bool_]

# The share of the rows that RAPS chooses its penalty by.
_TUNING_SHARE = 0.2
# Scores computed at once, so that memory does not grow with the rows.
_CHUNK = 2_000_000


def conformal_sets(
    held_out_logits: npt.ArrayLike,
    held_out_target: npt.ArrayLike,
    logits: npt.ArrayLike,
    *,
    coverage: float = 0.9,
    method: Method = "lac",
    by: By = "overall",
    sample_weight: npt.ArrayLike | None = None,
    seed: int = 0,
) -> BoolArray:
    """Return the labels that each new row may have, so that a share `coverage` of the sets contains the true label.

    The promise is the one of split conformal prediction: it holds for any model, with any number of rows, if the
    held-out rows and the new rows come from the same source and nothing was fitted to the held-out rows. It is a mean
    over the draws of both. A set may be empty (with ``"lac"``, and at low coverage with the others) if no label fits
    well enough.

    Parameters
    ----------
    held_out_logits, held_out_target
        ``(m, K)`` logits and ``(m,)`` class indices of rows that neither the model nor its calibration was fitted to.
    logits
        ``(n, K)`` logits of the new rows, by the same model.
    coverage
        Between 0 and 1.
    method
        ``"lac"``: the smallest sets on average. ``"aps"``: larger sets where the row is hard, so that coverage depends
        less on the row. ``"raps"``: the same without improbable labels; its penalty is tuned on a fifth of the rows
        held out, which then do not count. The last two draw at random at the border of the set, to cover exactly.
    by
        What the coverage is promised for: ``"overall"``; for the rows of each ``"class"``; or for those of each
        ``"cluster"`` of classes whose scores are alike, where classes have too few rows of their own.
    sample_weight
        ``(m,)``, 0 or above: how common rows like each held-out row are among the new ones, such as the weights of a
        survey. The coverage is then promised for these shares. None: each row counts the same.
    seed
        Of the draws.

    Returns
    -------
    BoolArray
        ``(n, K)``, True where the label is in the set.

    Raises
    ------
    SettingError
        If the coverage is not between 0 and 1, or is more than the held-out rows can promise: that needs
        coverage / (1 - coverage) of them, of each class with ``by="class"``.
    ShapeError
        If shapes do not fit, a logit is not finite, a class index is out of range, or a weight is negative or not
        finite.

    Notes
    -----
    With weights, a label is in the set unless rows of at least a share `coverage` of the weight fit better than it; the
    weight of the new row, which is not known, counts as the largest of the held-out rows that it is compared with.

    Sources: Vovk, Gammerman and Shafer 2005, "Algorithmic Learning in a Random World", for the promise, overall and by
    class; Tibshirani et al. 2019, "Conformal Prediction Under Covariate Shift", for weights; Sadinle et al. 2019 (LAC),
    Romano et al. 2020 (APS), Angelopoulos et al. 2021 (RAPS), Ding et al. 2023 (clusters).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> logits = rng.normal(0, 2, size=(2000, 4))
    >>> target = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    >>> sets = conformal_sets(logits[:1000], target[:1000], logits[1000:], coverage=0.9)
    >>> round(sets[np.arange(1000), target[1000:]].mean(), 2), round(sets.sum(axis=1).mean(), 1)
    (np.float64(0.9), np.float64(1.8))
    """
    held_out = np.asarray(held_out_logits, dtype=np.float32)
    target = np.asarray(held_out_target)
    if np.issubdtype(target.dtype, np.integer):
        target = target.astype(np.int64)
    check_logits_array("held_out_logits", held_out)
    labelled = LabelledLogits(held_out, target)
    if sample_weight is not None:
        weight = weight_array("sample_weight", sample_weight, len(labelled))
        labelled = LabelledLogits(held_out[weight > 0], target[weight > 0], weight=weight[weight > 0])
    new = np.asarray(logits, dtype=np.float32)
    return prediction_sets(labelled, [new], coverage=coverage, method=method, by=by, rng=np.random.default_rng(seed))


def prediction_sets(
    labelled: LabelledLogits,
    logits_of_models: Sequence[Logits],
    *,
    coverage: float = 0.9,
    method: Method = "lac",
    by: By = "overall",
    rng: np.random.Generator,
    classes: Sequence[Label] | None = None,
) -> BoolArray:
    """Return prediction sets of one model (split conformal) or of the F models of a cross-validation (CV+).

    A label is in the set if fewer than ceil(coverage (m + 1)) of the m conformal rows fit better than it, each
    compared by the model that did not see it. With one model that is split conformal with its exact quantile. With
    several the coverage is about what is asked for too; what is proven is 1 - 2 (1 - coverage), but for a term that
    vanishes with the number of rows. Where rows have weights, these are summed in place of counting rows, and the new
    row has the largest of them.

    Parameters
    ----------
    labelled
        The conformal rows, which neither the model nor the calibration saw.
    logits_of_models
        The ``(n, K)`` calibrated logits of the new rows, by each of the F models.
    coverage, method, by
        As in `conformal_sets`.
    rng
        Source of the draws. LAC overall or by class draws nothing.
    classes
        The K labels, for errors that name a class; its index is named without them.

    Returns
    -------
    BoolArray
        ``(n, K)``, True where the label is in the set.

    Raises
    ------
    SettingError, ShapeError
        As in `conformal_sets`; also if there are fewer models than folds.

    Notes
    -----
    Sources: as in `conformal_sets`; Barber, Candès, Ramdas and Tibshirani 2021, "Predictive Inference with the
    Jackknife+", and Romano et al. 2020 for CV+.

    Examples
    --------
    >>> nine = np.log([[1 - i / 20, i / 20] for i in range(1, 10)]).astype(np.float32)
    >>> labelled = LabelledLogits(nine, np.zeros(9, dtype=np.int64))
    >>> new = np.log([[0.56, 0.44], [0.54, 0.46]]).astype(np.float32)
    >>> prediction_sets(labelled, [new], coverage=0.9, rng=np.random.default_rng(0))
    array([[ True, False],
           [False, False]])
    """
    _check_settings(coverage, method, by)
    _check_models(labelled, logits_of_models)
    rows = len(logits_of_models[0])
    # Drawn first, so that the sets of two coverages share the draws.
    uniform, new_uniform = rng.random(len(labelled.target)), rng.random(rows)
    rank_penalty = NO_PENALTY
    if method == "raps":
        tuning = random_part(len(labelled.target), _TUNING_SHARE, rng)
        rank_penalty = tune_rank_penalty(labelled.logits[tuning], labelled.target[tuning], coverage, uniform[tuning])
        labelled, uniform = labelled.take(~tuning), uniform[~tuning]
    score = _Scores(method, rank_penalty)
    scores = score.of_target(labelled, uniform)
    groups = group_rows(labelled, scores, coverage, by, rng)
    conformal = ScoredRows(groups, scores, labelled.model_index, weight_or_ones(labelled))
    masses = conformal.masses(coverage, classes)
    class_count = labelled.logits.shape[1]
    step = max(1, _CHUNK // class_count)
    sets = np.empty((rows, class_count), dtype=np.bool_)
    for start in range(0, rows, step):
        part = slice(start, start + step)
        new_scores = [score(logits[part], new_uniform[part]) for logits in logits_of_models]
        sets[part] = conformal.members(new_scores, masses)
    return sets


@dataclass(frozen=True)
class _Scores:
    """The conformity score of a method, with its penalty."""

    method: Method
    rank_penalty: RankPenalty

    def __call__(self, logits: Logits, uniform: FloatArray) -> FloatArray:
        return lac_scores(logits) if self.method == "lac" else aps_scores(logits, uniform, self.rank_penalty)

    def of_target(self, labelled: LabelledLogits, uniform: FloatArray) -> FloatArray:
        """Return the scores of the right labels, ``(m,)``."""
        rows, class_count = labelled.logits.shape
        step = max(1, _CHUNK // class_count)
        parts = [slice(start, start + step) for start in range(0, rows, step)]
        scores = [
            np.take_along_axis(self(labelled.logits[part], uniform[part]), labelled.target[part, None], axis=1)[:, 0]
            for part in parts
        ]
        return np.concatenate(scores)


def _check_settings(coverage: float, method: str, by: str) -> None:
    if not 0 < coverage < 1:
        raise SettingError(
            "coverage is between 0 and 1, both excluded.", f"It is {coverage!r}.", "Give 0.9 for 90 % of the sets."
        )
    check_choice("method", method, ("lac", "aps", "raps"))
    check_choice("by", by, ("overall", "class", "cluster"))


def _check_models(labelled: LabelledLogits, logits_of_models: Sequence[Logits]) -> None:
    if len(logits_of_models) <= labelled.model_index.max():
        raise ShapeError(
            "Every fold of the conformal rows has its model.",
            f"There are the logits of {len(logits_of_models)} models, and a row of fold {labelled.model_index.max()}.",
            "Give the logits of every model, in the order of the folds.",
        )
    expected = (len(logits_of_models[0]), labelled.logits.shape[1])
    for logits in logits_of_models:
        check_logits_array("logits", logits)
        if logits.shape != expected:
            raise ShapeError(
                "All logits have the same columns, and those of the new rows the same rows.",
                f"They are {logits.shape} beside {expected}.",
                "Give the logits of the same classes by every model.",
            )
