from collections.abc import Callable

import numpy as np
import pytest
import scipy.special
import torch
from hypothesis import given
from hypothesis import strategies as st

import crossent as ce
from crossent.errors import SettingError, ShapeError


@given(st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=30), st.floats(0.01, 100))
def test_equals_scipy(values: list[float], temperature: float) -> None:
    logits = np.array(values)
    probs = ce.softmax(torch.from_numpy(logits), temperature=temperature).numpy()
    log_probs = ce.log_softmax(torch.from_numpy(logits), temperature=temperature).numpy()
    np.testing.assert_allclose(probs, scipy.special.softmax(logits / temperature), rtol=1e-12, atol=1e-300)
    np.testing.assert_allclose(log_probs, scipy.special.log_softmax(logits / temperature), rtol=1e-12, atol=1e-9)


def test_half_precision() -> None:
    logits = torch.tensor([10.0, 0.0], dtype=torch.float16)
    assert ce.softmax(logits).dtype == torch.float16
    assert ce.log_softmax(logits).dtype == torch.float32
    assert ce.log_softmax(logits)[0].item() == pytest.approx(-np.log1p(np.exp(-10.0)), rel=1e-2)


def test_other_dimension_and_gradient() -> None:
    logits = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(ce.softmax(logits, 0).sum(0), torch.ones(4, dtype=torch.float64))
    assert torch.autograd.gradcheck(lambda z: ce.softmax(z, temperature=0.5), logits)


def test_half_precision_does_not_overflow() -> None:
    logits = torch.zeros(70_000, dtype=torch.float16)
    assert ce.log_softmax(logits)[0].item() == pytest.approx(-np.log(70_000), rel=1e-6)
    assert ce.softmax(torch.tensor([60_000.0, -60_000.0], dtype=torch.float16), temperature=0.5).tolist() == [1.0, 0.0]


@pytest.mark.parametrize("function", [ce.softmax, ce.log_softmax])
def test_whole_numbers_are_no_logits(function: Callable[[torch.Tensor], torch.Tensor]) -> None:
    with pytest.raises(ShapeError, match="int64"):
        function(torch.tensor([1, 2]))


def test_temperature_has_bounds() -> None:
    with pytest.raises(SettingError, match="temperature"):
        ce.softmax(torch.zeros(3), temperature=-1.0)
