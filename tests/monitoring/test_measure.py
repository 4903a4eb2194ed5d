from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.metrics import log_loss

from crossent.logits import LabelledLogits
from crossent.monitoring.measure import RunningGradients, RunningLoss, measure_held_out, peak_memory


def test_running_loss_is_that_of_all_rows_at_once() -> None:
    torch.manual_seed(0)
    logits, target = torch.randn(50, 4), torch.randint(4, (50,))
    target[::7] = -100
    running = RunningLoss()
    for part in (slice(0, 20), slice(20, 50)):
        running.add(logits[part], target[part])
    loss, accuracy, rows = running.mean()
    kept = target != -100
    assert rows == int(kept.sum())
    np.testing.assert_allclose(loss, torch.nn.functional.cross_entropy(logits[kept].double(), target[kept]), rtol=1e-6)
    np.testing.assert_allclose(accuracy, (logits[kept].argmax(1) == target[kept]).double().mean())
    soft = RunningLoss()
    soft.add(logits[kept], torch.nn.functional.one_hot(target[kept], 4).float())
    np.testing.assert_allclose(soft.mean()[0], loss, rtol=1e-6)
    assert np.isnan(RunningLoss().mean()[0])


def test_gradients_are_averaged_and_the_first_batch_is_kept() -> None:
    first, bias, last = (torch.zeros(shape, requires_grad=True) for shape in ((2, 2), (2,), (1, 2)))
    gradients = RunningGradients()
    assert gradients.mean() == (None, None, None)
    for factor in (1.0, 3.0):
        first.grad, bias.grad, last.grad = (
            factor * value for value in (torch.ones(2, 2), torch.zeros(2), torch.ones(1, 2))
        )
        gradients.add([first, bias, last])
    length, at_first, ratio = gradients.mean()
    np.testing.assert_allclose([length, at_first, ratio], [2 * 6**0.5, 6**0.5, 1.0], rtol=1e-6)


def test_rows_held_out_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    honest = 2 * rng.normal(size=(3000, 3)).astype(np.float32)
    target = (honest + rng.gumbel(size=honest.shape)).argmax(axis=1)
    found = measure_held_out(LabelledLogits(3 * honest, target))
    probs = softmax(3 * honest.astype(np.float64), axis=1)
    np.testing.assert_allclose(found.loss, log_loss(target, probs), rtol=1e-4)
    assert found.refinement is not None
    assert found.refinement < found.loss - 0.2
    assert found.temperature is not None
    assert abs(found.temperature - 3) < 0.2
    np.testing.assert_allclose(found.baseline_loss, np.log(3), atol=0.01)
    assert measure_held_out(LabelledLogits(np.full((2, 2), np.nan, np.float32), np.array([0, 1]))).refinement is None


def test_a_wrong_label_is_a_sure_error() -> None:
    logits = np.array([[3, 0], [3, 0], [0, 3], [3, 0], [0.1, 0]], np.float32)
    assert measure_held_out(LabelledLogits(logits, np.array([0, 0, 1, 1, 1]))).confidently_wrong == 1 / 5


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells another way")
def test_peak_memory_is_what_the_system_says_and_stays_when_memory_is_given_back() -> None:
    np.ones(100_000_000, np.uint8).sum()
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    peak = peak_memory()
    assert peak is not None
    np.testing.assert_allclose(peak, int(lines["VmHWM"].split()[0]) * 1024, rtol=0.05)
    assert peak > 1e8
