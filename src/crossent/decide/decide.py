"""The one way from logits to decisions: class prior, label, most probable classes, prediction set, abstention.

Shape: F models, n rows, K classes. ``(n, K)`` logits of each model → ``(n, K)`` log-probabilities, ``(n,)`` labels.

What is promised (a coverage, a risk) is found on held-out rows that go the same way as the new ones, so that it holds
for the labels that are really answered.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from crossent.calibration.combine import WeightedMean
from crossent.calibration.conformal import prediction_sets
from crossent.calibration.conformal_groups import By
from crossent.calibration.conformity import Method
from crossent.calibration.label_shift import sample_of_prior
from crossent.calibration.prior import Prior, as_prior, estimate_prior
from crossent.calibration.scaling import Calibration
from crossent.decide.abstention import risk_coverage, threshold_for_risk
from crossent.decide.labels import minimum_cost, top_k
from crossent.decide.thresholds import LabelScore, apply_thresholds, tune_thresholds
from crossent.errors import SettingError
from crossent.kinds.column import Label
from crossent.logits import LabelledLogits, log_softmax, shift_prior

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
Logits = npt.NDArray[np.float32]

# The smallest share of a class that is estimated from new rows: a class that they seem to lack may still come.
LEAST_ESTIMATED = 1e-6


@dataclass(frozen=True, eq=False, kw_only=True)
class DecisionRule:
    """What is asked for new rows. All settings can be combined, except for those that `SettingError` names.

    Parameters
    ----------
    prior
        Shares of the classes that the rows come from: ``"uniform"``, ``(K,)`` shares, or a mapping of labels to shares;
        ``"estimate"`` finds them from the rows themselves. None stands for the shares of the training data.
    costs
        ``(K, K)``: the cost of predicting the class of the column if the class of the row is true, not negative. The
        class with the lowest expected cost is predicted.
    scoring
        Name of a scikit-learn scorer of labels, such as ``"f1_macro"``, or a function of the true and the predicted
        class indices. Each class gets a threshold that is tuned for it on held-out rows, as in
        `crossent.tune_thresholds`.
    top
        How many of the most probable classes to give for each row, from 1 to K; None gives none.
    coverage
        Share of the rows whose prediction set is to hold the true class, between 0 and 1; None makes no sets.
    method, by
        How the sets are made, and for whom the coverage holds: as in `crossent.conformal_sets`.
    risk
        Share of the answers that may be wrong, between 0 and 1: rows of low confidence are left to a person. None
        answers every row.
    seed
        Of the draws, such as those behind the sets of ``"aps"``.

    Raises
    ------
    SettingError
        If `costs` and `scoring` are both given, if a coverage or a risk is to be promised under an estimated prior, or
        if `method` or `by` is given without a coverage.

    Notes
    -----
    The predicted class is the one with the lowest expected cost if there are costs, the one by the tuned thresholds if
    there is a score, and otherwise the most probable one: under `prior` if it is given, and otherwise under the
    decision prior of a remedy of imbalance, which is the prior of the training data if there is no remedy.

    A risk is promised for the labels that are predicted, with 95 % probability over the draw of the held-out rows. The
    confidence of a row is the probability of its predicted label, and the held-out rows that tell from which confidence
    on to answer are predicted by the same rule. With a score, one half of them tunes the thresholds and the other half
    carries the promise. Under a prior that is given, promises rest on the held-out rows that are left when their
    classes are thinned out to its shares, and hold if the rows of each class look as they did in training.

    Examples
    --------
    >>> DecisionRule(costs=[[0, 1], [20, 0]], risk=0.1).by
    'overall'
    """

    prior: Prior | Literal["estimate"] | None = None
    costs: npt.ArrayLike | None = None
    scoring: str | LabelScore | None = None
    top: int | None = None
    coverage: float | None = None
    method: Method = "lac"
    by: By = "overall"
    risk: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.costs is not None and self.scoring is not None:
            raise SettingError("Labels are chosen by costs or by a score.", "Both are given.", "Give one of them.")
        if self.estimates_prior and (self.coverage is not None or self.risk is not None):
            raise SettingError(
                "A coverage or a risk is promised for class shares that are known.",
                "The prior is to be estimated from the rows, and an estimate may be wrong.",
                "Give the shares as numbers, or leave out the coverage and the risk.",
            )
        if self.coverage is None and (self.method, self.by) != ("lac", "overall"):
            raise SettingError(
                "method and by say which prediction sets to make.",
                f"They are {self.method!r} and {self.by!r}, and no coverage is given.",
                "Give a coverage, such as 0.9.",
            )

    @property
    def estimates_prior(self) -> bool:
        """Whether the class shares are to be found from the rows."""
        return isinstance(self.prior, str) and self.prior == "estimate"


@dataclass(frozen=True, eq=False)
class DecisionBasis:
    """What decisions depend on: everything that a predictor holds besides its models.

    Attributes
    ----------
    classes
        The K labels, in column order.
    prior
        ``(K,)`` shares of the classes in the training data.
    decision_prior
        ``(K,)`` shares of the classes that labels are predicted for: those of the data, or those that a remedy of
        imbalance stands for.
    combination
        How the logits of the models become those of the ensemble.
    calibration
        Of the logits of the ensemble.
    held_out
        Calibrated logits, under `prior`, of rows that had no say in training or calibration.
    """

    classes: tuple[Label, ...]
    prior: FloatArray
    decision_prior: FloatArray
    combination: WeightedMean
    calibration: Calibration
    held_out: LabelledLogits


@dataclass(frozen=True, eq=False)
class Decisions:
    """The decisions for n rows.

    Attributes
    ----------
    classes
        The K labels, in column order.
    log_probs
        ``(n, K)`` float64 log-probabilities, under the class shares that were asked for.
    predicted
        ``(n,)`` int64 class indices of the predicted labels.
    top
        ``(n, k)`` int64 class indices of the most probable labels, the most probable first; None where not asked for.
    sets
        ``(n, K)`` bool: the labels that each row may have. They are about the true label, whatever is predicted, which
        may lie outside of its set; None where not asked for.
    abstains
        ``(n,)`` bool: rows to give to a person, so that the predicted labels of the others keep the promised risk; None
        if not asked for.
    """

    classes: tuple[Label, ...]
    log_probs: FloatArray
    predicted: IntArray
    top: IntArray | None
    sets: BoolArray | None
    abstains: BoolArray | None

    @property
    def probs(self) -> FloatArray:
        """``(n, K)`` float64 probabilities, under the class shares that were asked for."""
        return np.exp(self.log_probs)

    @property
    def labels(self) -> list[Label]:
        """The n predicted labels."""
        return [self.classes[i] for i in self.predicted]


def decide(model_logits: Sequence[Logits], basis: DecisionBasis, rule: DecisionRule) -> Decisions:
    """Decide for rows by the logits that models give them.

    Parameters
    ----------
    model_logits
        The ``(n, K)`` float32 logits of each model before calibration, under the class shares of the training data.
    basis
        What decisions rest on.
    rule
        What is asked.

    Raises
    ------
    SettingError
        If a setting does not fit the classes, is outside its bounds, or asks for a promise that the held-out rows
        cannot give.
    ShapeError
        If costs are not ``(K, K)``.

    Examples
    --------
    >>> from crossent.calibration.combine import equal_say
    >>> from crossent.calibration.scaling import identity
    >>> held_out = LabelledLogits(np.log([[0.7, 0.3]]).astype(np.float32), np.array([0]))
    >>> prior = np.array([0.9, 0.1])
    >>> basis = DecisionBasis(("well", "ill"), prior, prior, equal_say(1), identity("", 0.0), held_out)
    >>> logits = np.log([[0.98, 0.02], [0.9, 0.1]]).astype(np.float32)
    >>> decide([logits], basis, DecisionRule(costs=[[0, 1], [20, 0]])).labels
    ['well', 'ill']
    """
    logits = basis.calibration.logits(basis.combination.logits(model_logits))
    prior = _prior_of_rows(logits, basis, rule)
    logits = shift_prior(logits, basis.prior, prior)
    log_probs = log_softmax(logits)
    probs = np.exp(log_probs)
    thresholds = _tuned_thresholds(prior, basis, rule)
    predicted = _predict(logits, probs, thresholds, basis, rule)
    abstains = None
    if rule.risk is not None:
        least = _least_confidence(rule.risk, prior, thresholds, basis, rule)
        abstains = _confidence(probs, predicted) < least
    sets = None if rule.coverage is None else _sets(model_logits, rule.coverage, prior, basis, rule)
    top = None if rule.top is None else top_k(probs, rule.top)
    return Decisions(basis.classes, log_probs, predicted, top, sets, abstains)


def _prior_of_rows(logits: Logits, basis: DecisionBasis, rule: DecisionRule) -> FloatArray:
    """Return the ``(K,)`` class shares that the rows come from."""
    if rule.prior is None:
        return basis.prior
    if not (basis.prior > 0).all():
        label = basis.classes[int(np.argmin(basis.prior))]
        raise SettingError(
            "A prior can be changed where training had rows of every class.",
            f"It had none of {label!r}.",
            "Train on rows of every class.",
        )
    if isinstance(rule.prior, str) and rule.prior == "estimate":
        shares = np.maximum(estimate_prior(np.exp(log_softmax(logits)), basis.prior).prior, LEAST_ESTIMATED)
    else:
        shares = as_prior(rule.prior, basis.classes)
    return np.asarray(shares / shares.sum())


def _predict(
    logits: Logits, probs: FloatArray, thresholds: FloatArray | None, basis: DecisionBasis, rule: DecisionRule
) -> IntArray:
    """Return the ``(n,)`` labels of new or held-out rows, by the logits and probabilities under the rows' prior."""
    if rule.costs is not None:
        return minimum_cost(probs, rule.costs)
    if thresholds is not None:
        return apply_thresholds(probs, thresholds)
    # A given prior describes the rows; a remedy only assumes that all classes are equally important.
    chosen = shift_prior(logits, basis.prior, basis.decision_prior) if rule.prior is None else logits
    return np.asarray(chosen.argmax(axis=1), dtype=np.int64)


def _confidence(probs: FloatArray, predicted: IntArray) -> FloatArray:
    return np.take_along_axis(probs, predicted[:, None], axis=1)[:, 0]


def _tuned_thresholds(prior: FloatArray, basis: DecisionBasis, rule: DecisionRule) -> FloatArray | None:
    if rule.scoring is None:
        return None
    rows = _of_equal_weight(_sample(_held_out_under(prior, basis), prior, basis, rule), rule)
    if rule.risk is not None:
        rows = rows.take(_tuning_half(rows, rule))
    probs = np.exp(log_softmax(rows.logits))
    return tune_thresholds(probs, rows.target, scoring=rule.scoring, seed=rule.seed).values


def _least_confidence(
    risk: float, prior: FloatArray, thresholds: FloatArray | None, basis: DecisionBasis, rule: DecisionRule
) -> np.float64:
    """Return the confidence threshold for answers, from held-out rows and the labels that are predicted for them."""
    rows = _of_equal_weight(_sample(_held_out_under(prior, basis), prior, basis, rule), rule)
    if rule.scoring is not None:
        # Thresholds predict the rows better that they were tuned on.
        rows = rows.take(~_tuning_half(rows, rule))
    probs = np.exp(log_softmax(rows.logits))
    predicted = _predict(rows.logits, probs, thresholds, basis, rule)
    return threshold_for_risk(risk_coverage(probs, rows.target, predicted=predicted), risk)


def _sets(
    model_logits: Sequence[Logits], coverage: float, prior: FloatArray, basis: DecisionBasis, rule: DecisionRule
) -> BoolArray:
    rows = _held_out_under(prior, basis)
    # A promise for the rows of each class holds for any class shares.
    if rule.by != "class":
        rows = _sample(rows, prior, basis, rule)
    return prediction_sets(
        rows,
        [shift_prior(basis.calibration.logits(logits), basis.prior, prior) for logits in model_logits],
        coverage=coverage,
        method=rule.method,
        by=rule.by,
        rng=np.random.default_rng(rule.seed),
        classes=basis.classes,
    )


def _held_out_under(prior: FloatArray, basis: DecisionBasis) -> LabelledLogits:
    """Return the held-out rows with the logits that they have under a prior."""
    return dataclasses.replace(basis.held_out, logits=shift_prior(basis.held_out.logits, basis.prior, prior))


def _sample(rows: LabelledLogits, prior: FloatArray, basis: DecisionBasis, rule: DecisionRule) -> LabelledLogits:
    """Return held-out rows that are a sample under the prior of the new rows."""
    if rule.prior is None:
        return rows
    sample_rng, _, _ = np.random.default_rng(rule.seed).spawn(3)
    chosen = sample_of_prior(rows.target, basis.prior, prior, sample_rng)
    if not chosen.any():
        raise SettingError(
            "Held-out rows are left out until their classes have the shares of the prior.",
            f"None of the {len(rows)} rows is left: the prior is too far from the prior of the training data.",
            "Train on more rows of the classes that are common now.",
        )
    return rows.take(chosen)


def _of_equal_weight(rows: LabelledLogits, rule: DecisionRule) -> LabelledLogits:
    """Return rows that each count as one: drawn from all with a chance in proportion to their weight.

    What is then promised by counting rows holds where rows come in the shares that the weights stand for.
    """
    if rows.weight is None:
        return rows
    _, _, weight_rng = np.random.default_rng(rule.seed).spawn(3)
    chosen = rows.take(weight_rng.random(len(rows)) < rows.weight / rows.weight.max())
    return dataclasses.replace(chosen, weight=None)


def _tuning_half(rows: LabelledLogits, rule: DecisionRule) -> BoolArray:
    """Return the rows on which thresholds are tuned, if the promise of a risk is based on the other rows."""
    if len(rows) < 2:
        raise SettingError(
            "Thresholds and a risk need different held-out rows.",
            f"There is {len(rows)} row.",
            "Leave out the scoring or the risk, or train on more rows.",
        )
    _, half_rng, _ = np.random.default_rng(rule.seed).spawn(3)
    return np.asarray(half_rng.permutation(len(rows)) < len(rows) // 2)
