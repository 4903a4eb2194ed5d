import subprocess
import sys

import numpy as np
import pytest
import scipy.optimize
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from torch.nn import functional

import crossent.logits as module
from crossent.errors import SettingError, ShapeError
from crossent.kernels.library import KernelInfo
from crossent.logits import (
    LabelledLogits,
    log_focal_slope,
    log_softmax,
    mean_cross_entropy,
    posterior_logits,
    shift_prior,
)
from crossent.losses.cross_entropy import cross_entropy

LEVELS = ("avx512", "avx2", "baseline", "off")


def test_both_are_those_of_torch_in_float64() -> None:
    rng = np.random.default_rng(0)
    logits, target = (40 * rng.normal(size=(50, 6))).astype(np.float32), rng.integers(6, size=50)
    wide = torch.from_numpy(logits.astype(np.float64))
    assert_allclose(log_softmax(logits), functional.log_softmax(wide, 1).numpy(), rtol=1e-12, atol=1e-14)
    expected = functional.cross_entropy(wide, torch.from_numpy(target)).item()
    assert_allclose(mean_cross_entropy(logits, target), expected, rtol=1e-12)


@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(0, 20),
    num_classes=st.one_of(st.integers(1, 40), st.sampled_from([1023, 1024, 1025, 3000])),
    scale=st.sampled_from([1e-3, 1.0, 30.0, 1e4, 1e30]),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_any_shape_and_scale_is_that_of_torch(
    seed: int, rows: int, num_classes: int, scale: float, dtype: type[np.float32]
) -> None:
    logits = (scale * np.random.default_rng(seed).normal(size=(rows, num_classes))).astype(dtype)
    expected = torch.log_softmax(torch.from_numpy(logits.astype(np.float64)), 1).numpy()
    found = log_softmax(logits)
    assert found.dtype == np.float64
    assert_allclose(found, expected, rtol=1e-13, atol=2e-15)


@pytest.mark.parametrize("num_classes", [2, 3, 5, 9, 17])
@pytest.mark.parametrize("available", [True, False])
def test_infinities_and_nans_are_those_of_torch(
    num_classes: int, available: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not available:
        monkeypatch.setattr(module, "info", lambda: KernelInfo(False, "", "", "", "", "off"))
    rng = np.random.default_rng(0)
    values = np.array([-np.inf, np.inf, np.nan, 1.0, -2.0])
    logits = rng.choice(values, p=[0.4, 0.05, 0.05, 0.25, 0.25], size=(200, num_classes))
    logits[0] = -np.inf
    expected = torch.log_softmax(torch.from_numpy(logits), 1).numpy()
    assert_allclose(log_softmax(logits), expected, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("num_classes", [2, 7, 10, 300])
def test_threads_and_the_rows_beside_a_row_change_no_bit(num_classes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    logits = np.random.default_rng(0).normal(size=(103, num_classes)).astype(np.float32)
    alone = np.concatenate([log_softmax(logits[i : i + 1]) for i in range(len(logits))])
    for threads in (1, 2, 5, 300):
        monkeypatch.setattr(module, "ELEMENTS_FOR_THREADS", 1)
        monkeypatch.setattr(module, "processors", lambda threads=threads: threads)
        assert_array_equal(log_softmax(logits), alone)


def test_rows_may_lie_in_any_way_and_hold_half_numbers() -> None:
    logits = np.random.default_rng(0).normal(size=(12, 20)).astype(np.float32)
    for view in (logits.T, logits[::-2, 3::4], np.broadcast_to(logits[:1], (5, 20))):
        assert_array_equal(log_softmax(view), log_softmax(view.copy()))
    half = logits.astype(np.float16)
    assert_array_equal(log_softmax(half), log_softmax(half.astype(np.float64)))


def test_every_instruction_set_gives_nearly_the_same() -> None:
    code = (
        "import os, sys, numpy as np\n"
        "from crossent.kernels.library import info\n"
        "from crossent.errors import SettingError\n"
        "from crossent.logits import log_softmax\n"
        "rng = np.random.default_rng(0)\n"
        "try:\n    info()\nexcept SettingError:\n    sys.exit()\n"
        "for num_classes in (1, 2, 3, 7, 8, 9, 100, 2000):\n"
        "    logits = 5 * rng.normal(size=(11, num_classes))\n"
        "    log_probs = log_softmax(logits)\n"
        "    top = logits.max(axis=1, keepdims=True)\n"
        "    expected = logits - top - np.log(np.exp(logits - top).sum(axis=1, keepdims=True))\n"
        "    np.testing.assert_allclose(log_probs, expected, rtol=1e-13, atol=2e-15)\n"
    )
    for level in LEVELS:
        subprocess.run([sys.executable, "-c", code], env={"CROSSENT_KERNELS": level}, check=True, timeout=60)


def test_no_torch_is_loaded() -> None:
    code = "import sys, numpy as np; from crossent.logits import log_softmax; log_softmax(np.zeros((2, 2)))"
    subprocess.run([sys.executable, "-c", f"{code}; sys.exit('torch' in sys.modules)"], check=True, timeout=60)


def test_a_prior_with_a_zero_cannot_be_shifted_from_or_to() -> None:
    logits = np.zeros((2, 2), dtype=np.float32)
    with pytest.raises(SettingError, match="old: every class has a share above 0"):
        shift_prior(logits, [1.0, 0.0], [0.5, 0.5])
    with pytest.raises(SettingError, match="new: every class has a share above 0"):
        shift_prior(logits, [0.5, 0.5], [1.0, 0.0])
    with pytest.raises(SettingError, match="each of the 2 classes"):
        shift_prior(logits, [0.5, 0.5], [0.4, 0.3, 0.3])


def test_a_class_that_neither_prior_has_keeps_its_logit() -> None:
    logits = np.array([[1.0, 2.0, 3.0]], dtype=np.float32)
    shifted = shift_prior(logits, [0.5, 0.0, 0.5], [0.25, 0.0, 0.75])
    assert_allclose(shifted, logits + np.log([[0.5, 1.0, 1.5]]), rtol=1e-6)


def test_logits_of_one_model_need_no_fold() -> None:
    rows = LabelledLogits(np.zeros((3, 2), np.float32), np.array([0, 1, 1]))
    assert rows.model_index.tolist() == [0, 0, 0]
    assert rows.take(np.array([False, True, True])).target.tolist() == [1, 1]
    with pytest.raises(ShapeError, match="fold holds the number of a model"):
        LabelledLogits(np.zeros((3, 2), np.float32), np.array([0, 1, 1]), np.array([0, -1, 0]))


def test_what_rests_on_logits_asks_for_finite_ones() -> None:
    rows = LabelledLogits(np.array([[0.0, np.nan]], np.float32), np.array([0]))
    with pytest.raises(ShapeError, match="Row 0 holds nan for class 1"):
        rows.check_finite()


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


def test_rows_that_are_taken_keep_their_target_and_their_fold() -> None:
    logits = np.arange(8, dtype=np.float32).reshape(4, 2)
    rows = LabelledLogits(logits, np.array([0, 1, 1, 0]), np.array([2, 0, 1, 1]))
    some = rows.take(np.array([True, False, True, False]))
    assert (some.logits.tolist(), some.target.tolist()) == ([[0.0, 1.0], [4.0, 5.0]], [0, 1])
    assert some.fold is not None
    assert some.fold.tolist() == [2, 1]
    assert LabelledLogits(logits, rows.target).take(np.array([True, False, True, False])).fold is None


def test_weights_go_with_their_rows() -> None:
    rng = np.random.default_rng(0)
    logits, target = rng.normal(size=(20, 3)).astype(np.float32), rng.integers(3, size=20)
    weight = rng.integers(1, 5, size=20)
    labelled = LabelledLogits(logits, target, weight=weight.astype(np.float64))
    rows = np.repeat(np.arange(20), weight)
    assert labelled.mean_cross_entropy() == pytest.approx(mean_cross_entropy(logits[rows], target[rows]))
    assert labelled.mean_cross_entropy() != pytest.approx(mean_cross_entropy(logits, target))
    taken = labelled.take(np.arange(20) % 3 == 0)
    assert taken.weight is not None
    np.testing.assert_array_equal(taken.weight, weight[::3])


@pytest.mark.parametrize("weight", [[1.0, 0.0], [1.0, -1.0], [np.nan, 1.0], [1.0, 1.0, 1.0]])
def test_rows_of_no_weight_are_refused(weight: list[float]) -> None:
    with pytest.raises(ShapeError, match=r"weight"):
        LabelledLogits(np.zeros((2, 2), np.float32), np.array([0, 1]), weight=np.array(weight))
