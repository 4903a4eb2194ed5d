import pytest
import torch
from torch.nn import functional

import crossent as ce
from crossent.errors import SettingError, ShapeError


def test_one_hot_equals_torch() -> None:
    target = torch.tensor([[0, 3], [2, 1]])
    assert torch.equal(ce.one_hot(target, 4), functional.one_hot(target, 4).float())
    assert ce.one_hot(target, 4, dtype=torch.float64).dtype == torch.float64


def test_smooth_labels_by_hand() -> None:
    assert ce.smooth_labels(torch.tensor([1]), 4, 0.2)[0].tolist() == pytest.approx([0.05, 0.85, 0.05, 0.05])
    given = torch.tensor([[0.5, 0.5, 0.0]])
    assert ce.smooth_labels(given, 3, 0.3)[0].tolist() == pytest.approx([0.45, 0.45, 0.1])


def test_smoothed_targets_give_the_smoothed_loss() -> None:
    logits, target = torch.randn(5, 4, dtype=torch.float64), torch.tensor([0, 1, 2, 3, 0])
    soft = ce.smooth_labels(ce.one_hot(target, 4, dtype=torch.float64), 4, 0.1)
    torch.testing.assert_close(ce.cross_entropy(logits, soft), ce.cross_entropy(logits, target, label_smoothing=0.1))


def test_errors() -> None:
    with pytest.raises(ShapeError, match=r"target\[1\] is 4"):
        ce.one_hot(torch.tensor([0, 4]), 4)
    with pytest.raises(ShapeError, match=r"target\[0\] is -100"):
        ce.one_hot(torch.tensor([-100, 0]), 4)
    with pytest.raises(SettingError, match="num_classes"):
        ce.one_hot(torch.tensor([0]), 0)
    with pytest.raises(ShapeError, match="long"):
        ce.one_hot(torch.tensor([0.0]), 4)
    with pytest.raises(ShapeError, match="K = 4"):
        ce.smooth_labels(torch.zeros(2, 3), 4, 0.1)
    with pytest.raises(SettingError, match="label_smoothing"):
        ce.smooth_labels(torch.tensor([0]), 4, 2.0)
