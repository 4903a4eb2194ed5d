"""What held-out rows say of a predictor: probabilities, sets, effects of calibration and of a remedy of imbalance."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crossent.calibration.conformal_groups import rows_needed
from crossent.data.dataset import Dataset
from crossent.decide.abstention import risk_coverage
from crossent.decide.decide import DecisionRule, Decisions, decide
from crossent.evaluation.compare import compare_log_probs
from crossent.evaluation.evaluate import evaluate_log_probs
from crossent.evaluation.metrics import class_counts, confusion_matrix, log_loss_of_rows, precision, recall
from crossent.evaluation.result import ClassRemedy, Comparison, Evaluation, RiskCoverage, SetsSummary
from crossent.evaluation.sets import evaluate_sets
from crossent.explain.rows import WorstRow, worst_rows
from crossent.logits import log_softmax, shift_prior
from crossent.predictor import Predictor

Array = npt.NDArray[np.float64]

COVERAGE = 0.9


@dataclass(frozen=True, eq=False)
class Judgement:
    """The results on held-out rows.

    Attributes
    ----------
    log_probs
        ``(n, K)`` log-probabilities of the rows.
    evaluation
        The evaluation of these.
    before_after
        Evaluation before calibration and after it; None where calibration changes nothing.
    sets
        Prediction sets with a coverage of 90 %; None where there are too few conformal rows for them.
    risk_coverage
        Share of the predicted labels that are wrong if the model abstains on its most uncertain rows.
    worst_rows
        The rows whose label is least probable.
    remedy
        What the remedy of imbalance does for each class; empty without one.
    """

    log_probs: Array
    evaluation: Evaluation
    before_after: Comparison | None
    sets: SetsSummary | None
    risk_coverage: RiskCoverage
    worst_rows: tuple[WorstRow, ...]
    remedy: tuple[ClassRemedy, ...]


def judge(predictor: Predictor, test: Dataset, seed: int) -> Judgement:
    """Judge a predictor on rows that it has not seen.

    Parameters
    ----------
    predictor
        The predictor.
    test
        The rows.
    seed
        Of the bootstrap.
    """
    model_logits = predictor.model_logits_of(test.frame)
    promised = len(predictor.conformal_rows) >= rows_needed(COVERAGE)
    rule = DecisionRule(coverage=COVERAGE if promised else None, seed=seed)
    decisions = decide(model_logits, predictor.decision_basis, rule)
    log_probs = decisions.log_probs
    rng = np.random.default_rng(seed)
    evaluation = evaluate_log_probs(log_probs, test.target, predictor.classes, predictor.prior, rng, weight=test.weight)
    before_after = None
    if predictor.calibration.method != "identity":
        both = {"before": log_softmax(predictor.combination.logits(model_logits)), "after": log_probs}
        before_after = compare_log_probs(
            both, test.target, predictor.classes, predictor.prior, seed, weight=test.weight
        )
    sets = None
    if decisions.sets is not None:
        sets = SetsSummary(
            COVERAGE, evaluate_sets(decisions.sets, test.target, predictor.classes, sample_weight=test.weight)
        )
    curve = risk_coverage(decisions.probs, test.target, predicted=decisions.predicted)
    shown = RiskCoverage(curve.answered / len(test), curve.wrong / curve.answered, curve.area)
    return Judgement(
        log_probs=log_probs,
        evaluation=evaluation,
        before_after=before_after,
        sets=sets,
        risk_coverage=shown,
        worst_rows=worst_rows(test, log_probs),
        remedy=_remedy(predictor, decisions, test),
    )


def _remedy(predictor: Predictor, decisions: Decisions, test: Dataset) -> tuple[ClassRemedy, ...]:
    """Compare predictions and log-loss of each class under the prior of the remedy and under the prior of the data."""
    if (predictor.decision_prior == predictor.prior).all():
        return ()
    classes, without = len(predictor.classes), decisions.log_probs
    remedied = log_softmax(shift_prior(without, predictor.prior, predictor.decision_prior))
    figures = []
    for predicted, log_probs in ((without.argmax(axis=1), without), (decisions.predicted, remedied)):
        counts = class_counts(confusion_matrix(test.target, predicted, classes, sample_weight=test.weight))
        loss = log_loss_of_rows(log_probs, test.target)
        sums = np.bincount(test.target, loss if test.weight is None else test.weight * loss, classes)
        mean_loss = np.divide(sums, counts.actual, out=np.full(classes, np.nan), where=counts.actual > 0)
        figures.append((np.bincount(test.target, minlength=classes), recall(counts), precision(counts), mean_loss))
    (support, recall_without, precision_without, loss_without), (_, *with_remedy) = figures
    return tuple(
        ClassRemedy(str(label), int(rows), *map(float, values))
        for label, rows, *values in zip(
            predictor.classes, support, recall_without, precision_without, loss_without, *with_remedy, strict=True
        )
    )
