import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score

from crossent.decide.named_score import named_score
from crossent.errors import SettingError


@pytest.mark.parametrize(
    ("scoring", "expected"),
    [
        ("balanced_accuracy", balanced_accuracy_score),
        ("f1_weighted", lambda target, predicted: f1_score(target, predicted, average="weighted")),
    ],
)
def test_it_is_the_score_of_scikit_learn_also_where_a_class_is_absent(scoring: str, expected: object) -> None:
    rng = np.random.default_rng(0)
    score = named_score(scoring, 4)
    for classes in (4, 3, 2):
        target, predicted = rng.integers(classes, size=(2, 50))
        assert score(target, predicted) == pytest.approx(expected(target, predicted), rel=1e-12)


def test_the_first_rows_are_the_right_ones() -> None:
    """Precision changes where the right and the predicted classes change places."""
    score = named_score("precision", 2)
    assert score(np.array([1, 0, 0, 0]), np.array([1, 1, 0, 0])) == 0.5
    assert score(np.array([1, 1, 0, 0]), np.array([1, 0, 0, 0])) == 1.0


@pytest.mark.parametrize(
    ("scoring", "words"), [("f1_marco", "It is 'f1_marco'"), ("neg_log_loss", "'neg_log_loss' fails on them")]
)
def test_what_is_no_score_of_labels_is_one_clear_error(scoring: str, words: str) -> None:
    with pytest.raises(SettingError, match=words):
        named_score(scoring, 3)
