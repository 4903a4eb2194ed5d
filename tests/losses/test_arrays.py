import numpy as np
import torch
from torch.nn import functional

from crossent.losses.arrays import log_softmax, mean_cross_entropy


def test_equal_torch_in_float64() -> None:
    logits = np.random.default_rng(0).normal(0, 20, size=(50, 6)).astype(np.float32)
    target = np.arange(50) % 6
    wide = torch.from_numpy(logits).double()
    np.testing.assert_allclose(log_softmax(logits), functional.log_softmax(wide, 1).numpy(), rtol=1e-12, atol=1e-14)
    expected = functional.cross_entropy(wide, torch.from_numpy(target)).item()
    np.testing.assert_allclose(mean_cross_entropy(logits, target), expected, rtol=1e-12)
