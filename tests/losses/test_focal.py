import numpy as np
import pytest
import scipy.optimize
import torch
from hypothesis import given
from hypothesis import strategies as st

from crossent.losses.cross_entropy import cross_entropy
from crossent.losses.focal import log_focal_slope, posterior_logits


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("posterior", [(0.7, 0.2, 0.1), (0.98, 0.01, 0.01), (1 / 3, 1 / 3, 1 / 3)])
def test_it_takes_back_what_the_focal_loss_does(gamma: float, posterior: tuple[float, ...]) -> None:
    truth = torch.tensor(posterior, dtype=torch.float64)
    target = torch.arange(3)

    def expected_loss(logits: np.ndarray) -> float:
        rows = torch.from_numpy(np.append(logits, 0.0)).expand(3, 3)
        return float(truth @ cross_entropy(rows, target, reduction="none", focal_gamma=gamma))

    best = scipy.optimize.minimize(
        expected_loss, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 0}
    )
    restored = posterior_logits(np.append(best.x, 0.0)[None], gamma)[0]
    probs = np.exp(restored) / np.exp(restored).sum()
    np.testing.assert_allclose(probs, posterior, atol=1e-5)


def test_the_slope_is_the_factor_of_the_gradient() -> None:
    logits = torch.tensor([[1.3, -0.4, 0.2]], dtype=torch.float64, requires_grad=True)
    (focal,) = torch.autograd.grad(cross_entropy(logits, torch.tensor([0]), focal_gamma=2.0), logits)
    (plain,) = torch.autograd.grad(cross_entropy(logits, torch.tensor([0])), logits)
    log_prob = torch.log_softmax(logits, 1)[0, :1].detach().numpy()
    np.testing.assert_allclose((focal / plain).numpy(), np.exp(log_focal_slope(log_prob, 2.0)).repeat(3)[None])


@given(st.lists(st.floats(-60, 60, width=32), min_size=2, max_size=6), st.floats(0.1, 5))
def test_the_order_of_the_classes_stays(logits: list[float], gamma: float) -> None:
    rows = np.array([logits])
    restored = posterior_logits(rows, gamma)
    assert np.isfinite(restored).all()
    order = np.argsort(rows[0], kind="stable")
    assert (np.diff(restored[0][order]) >= -1e-9).all()
