import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score, matthews_corrcoef

from crossent.decide.thresholds import apply_thresholds, tune_thresholds
from crossent.errors import SettingError, ShapeError


def draw(rows: int, class_count: int, seed: int, imbalance: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """Right probabilities of classes that get rarer, and labels."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, size=(rows, class_count)) - np.linspace(0, imbalance, class_count)
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return probs, (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)


def test_with_two_classes_it_is_a_threshold_on_the_probability() -> None:
    probs = np.column_stack([1 - np.linspace(0, 1, 101), np.linspace(0, 1, 101)])
    assert apply_thresholds(probs, [0.705, 0.295]).tolist() == (probs[:, 1] > 0.295).astype(int).tolist()


def test_equal_thresholds_give_the_most_probable_class() -> None:
    probs, _ = draw(100, 5, 0)
    np.testing.assert_array_equal(apply_thresholds(probs, np.full(5, 0.2)), probs.argmax(axis=1))


@pytest.mark.parametrize("class_count", [2, 4])
def test_macro_f1_rises_on_new_rows_about_as_promised(class_count: int) -> None:
    tuned = tune_thresholds(*draw(3000, class_count, 0))
    new, target = draw(30_000, class_count, 1)
    before = f1_score(target, new.argmax(axis=1), average="macro")
    after = f1_score(target, apply_thresholds(new, tuned.values), average="macro")
    assert after > before + 0.01
    assert after - before == pytest.approx(tuned.score_tuned - tuned.score_equal, abs=0.02)
    assert tuned.values.sum() == pytest.approx(1)


def mean_recall(target: np.ndarray, predicted: np.ndarray) -> float:
    """Balanced accuracy as it is defined, without scikit-learn's checks, which cost far more than it does."""
    counts = np.bincount(target)
    right = np.bincount(target[target == predicted], minlength=len(counts))
    return float((right[counts > 0] / counts[counts > 0]).mean())


def correlation(target: np.ndarray, predicted: np.ndarray) -> float:
    """Matthews' coefficient of two classes as it is defined."""
    return float(np.corrcoef(target, predicted)[0, 1]) if np.ptp(target) and np.ptp(predicted) else 0.0


@pytest.mark.parametrize(
    ("scoring", "score", "function"),
    [
        ("balanced_accuracy", balanced_accuracy_score, mean_recall),
        ("matthews_corrcoef", matthews_corrcoef, correlation),
    ],
)
def test_other_scorers_by_name_and_as_functions(scoring: str, score: object, function: object) -> None:
    rows = draw(200, 2, 0)
    by_name = tune_thresholds(*rows, scoring=scoring)
    np.testing.assert_allclose(by_name.values, tune_thresholds(*rows, scoring=function).values, rtol=1e-12)
    assert by_name.score_equal == pytest.approx(score(rows[1], rows[0].argmax(axis=1)))


def test_balanced_accuracy_finds_the_prior() -> None:
    """With right probabilities its best thresholds are the shares of the classes."""
    probs, target = draw(20_000, 3, 0)
    tuned = tune_thresholds(probs, target, scoring=mean_recall)
    np.testing.assert_allclose(tuned.values, np.bincount(target) / 20_000, rtol=0.15)


@pytest.mark.slow
def test_thresholds_stay_equal_where_tuning_does_not_help() -> None:
    """The most probable class is best for accuracy if the probabilities are right."""
    kept = [tune_thresholds(*draw(500, 3, seed), scoring="accuracy").values for seed in range(10)]
    assert sum(np.ptp(values) == 0 for values in kept) >= 8


def test_thresholds_that_gain_on_the_rows_that_chose_them_alone_are_not_kept() -> None:
    """Labels that have nothing to do with the probabilities: what is gained by thresholds is luck."""
    lucky = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        probs, target = rng.dirichlet(np.ones(3), size=120), rng.integers(3, size=120)
        tuned = tune_thresholds(probs, target, seed=seed)
        if tuned.score_tuned <= tuned.score_equal:
            lucky += 1
            np.testing.assert_allclose(tuned.values, 1 / 3)
    assert lucky >= 3


def test_few_rows_and_absent_classes_work() -> None:
    probs, target = draw(5, 3, 0)
    assert tune_thresholds(probs, np.zeros(5, dtype=int)).values.shape == (3,)
    assert tune_thresholds(probs[:1], target[:1]).values.shape == (3,)
    certain = tune_thresholds(np.eye(3)[[0, 1, 2, 0]], np.array([0, 1, 2, 0]))
    np.testing.assert_allclose(certain.values, 1 / 3)


@pytest.mark.parametrize("scoring", ["roc_auc_ovr", "neg_log_loss", "precision", "no_such_scorer"])
def test_scorers_that_do_not_judge_labels_of_many_classes(scoring: str) -> None:
    with pytest.raises(SettingError, match=scoring):
        tune_thresholds(*draw(50, 3, 0), scoring=scoring)


def test_bad_input_gets_one_error() -> None:
    probs, target = draw(10, 3, 0)
    with pytest.raises(ShapeError, match="sum to 1"):
        tune_thresholds(probs * 2, target)
    with pytest.raises(ShapeError, match="Row 9 holds 3"):
        tune_thresholds(probs, np.append(target[:-1], 3))
    for bad in ([0.5, 0.5], [0.5, 0.5, 0.0], [0.5, np.nan, 0.5]):
        with pytest.raises(SettingError, match="3 finite numbers above 0"):
            apply_thresholds(probs, bad)
