import numpy as np
import pytest

from crossent.calibration.combine import WeightedMean, equal_say
from crossent.logits import log_softmax


def test_log_probabilities_are_averaged() -> None:
    first, second = np.log([[0.9, 0.1]]), np.log([[0.5, 0.5]])
    mean = equal_say(2).logits([first.astype(np.float32), second.astype(np.float32) + 7])
    np.testing.assert_allclose(mean, (first + second) / 2, rtol=1e-6)


def test_weights_count_in_proportion() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 5, 3)).astype(np.float32)
    mean = WeightedMean(np.array([0.75, 0.25])).logits([first, second])
    np.testing.assert_allclose(mean, 0.75 * log_softmax(first) + 0.25 * log_softmax(second), rtol=1e-5)


def test_one_member_keeps_its_logits_to_the_bit() -> None:
    logits = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    assert equal_say(1).logits([logits]).tobytes() == logits.tobytes()


@pytest.mark.parametrize("weight", [[], 1.0, [[1.0]], [0.5, 0.6], [1.5, -0.5], [np.nan, 1.0]])
def test_weights_that_are_no_shares_are_refused(weight: list[float]) -> None:
    with pytest.raises(ValueError, match="member"):
        WeightedMean(np.array(weight))
