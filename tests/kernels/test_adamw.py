"""The step of AdamW against its definition in float64."""

import numpy as np
import pytest
import torch

from crossent.errors import ShapeError
from crossent.kernels import info
from crossent.kernels.adamw import Factors, step

pytestmark = pytest.mark.skipif(not info().available, reason="there are no native kernels here")

FACTORS = Factors(rate=0.03, kept=0.9, mean_share=0.1, square_share=0.02, square_scale=1.7, epsilon=1e-3)


def draw(count: int, seed: int = 0) -> list[torch.Tensor]:
    """Values, gradient, mean and square."""
    rng = np.random.default_rng(seed)
    values, gradient, mean = (torch.from_numpy(rng.normal(size=count).astype(np.float32)) for _ in range(3))
    return [values, gradient, mean, torch.from_numpy(rng.exponential(size=count).astype(np.float32))]


# Around the width of a vector, and enough for several threads.
@pytest.mark.parametrize("count", [0, 1, 7, 15, 16, 17, 33, 200_003])
@pytest.mark.parametrize("share_that_decays", [0.0, 0.4, 1.0])
def test_a_step_is_that_of_the_definition(count: int, share_that_decays: float) -> None:
    values, gradient, mean, square = draw(count)
    decaying = round(share_that_decays * count)
    old, slope, old_mean, old_square = (tensor.double().numpy() for tensor in (values, gradient, mean, square))
    expected_mean = old_mean + FACTORS.mean_share * (slope - old_mean)
    expected_square = old_square + FACTORS.square_share * (slope**2 - old_square)
    decayed = np.where(np.arange(count) < decaying, FACTORS.kept, 1.0) * old
    expected = decayed - FACTORS.rate * expected_mean / (
        FACTORS.square_scale * np.sqrt(expected_square) + FACTORS.epsilon
    )
    step(values, gradient, mean, square, decaying, FACTORS)
    for changed, exact in ((values, expected), (mean, expected_mean), (square, expected_square)):
        np.testing.assert_allclose(changed.numpy(), exact, rtol=2e-6, atol=1e-6)
    assert torch.equal(gradient, draw(count)[1])


def test_a_gradient_that_was_always_zero_moves_nothing() -> None:
    values, *_ = draw(20)
    before, (gradient, mean, square) = values.clone(), torch.zeros(3, 20)
    step(values, gradient, mean, square, 0, FACTORS)
    assert torch.equal(values, before)


def test_what_does_not_fit_is_refused_and_nothing_is_changed() -> None:
    values, gradient, mean, square = draw(8)
    before = values.clone()
    for bad in (gradient[:7], gradient.double(), torch.zeros(16)[::2]):
        with pytest.raises(ShapeError, match="gradient"):
            step(values, bad, mean, square, 0, FACTORS)
    for decaying in (-1, 9):
        with pytest.raises(ShapeError, match=str(decaying)):
            step(values, gradient, mean, square, decaying, FACTORS)
    assert torch.equal(values, before)
