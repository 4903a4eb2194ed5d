import numpy as np
import torch

from crossent.losses.targets import smooth_labels
from crossent.models.objective import Objective


def test_targets_are_smoothed_as_the_losses_smooth_them() -> None:
    target = np.array([2, 0, 1])
    assert Objective().distribution(target, 4) is None
    found = Objective(label_smoothing=0.3).distribution(target, 4)
    np.testing.assert_allclose(found, smooth_labels(torch.from_numpy(target), 4, 0.3).numpy(), rtol=1e-6)


def test_rows_have_the_weight_of_their_class() -> None:
    target = np.array([1, 0, 1])
    assert Objective().row_weight(target) is None
    weight = Objective(class_weight=np.array([1.0, 5.0])).row_weight(target)
    assert weight is not None
    assert weight.tolist() == [5.0, 1.0, 5.0]
