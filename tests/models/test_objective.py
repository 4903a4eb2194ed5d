import numpy as np
import pytest
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


@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
@pytest.mark.parametrize("class_weight", [None, np.array([1.0, 2.0, 5.0])])
def test_a_row_of_several_classes_costs_the_mean_of_what_they_cost(
    label_smoothing: float, class_weight: np.ndarray | None
) -> None:
    rng = np.random.default_rng(0)
    shares, cost = rng.dirichlet(np.ones(3), size=20).astype(np.float32), rng.normal(size=(20, 3))
    objective = Objective(class_weight=class_weight, label_smoothing=label_smoothing)
    distribution, row_weight = objective.distribution(shares, 3), objective.row_weight(shares)
    assert distribution is not None
    found = (distribution * cost).sum(axis=1) * (1 if row_weight is None else row_weight)
    # Class by class, as if each were the label of a row of its own.
    expected = np.zeros(20)
    for k in range(3):
        smoothed = (1 - label_smoothing) * cost[:, k] + label_smoothing * cost.mean(axis=1)
        expected += shares[:, k] * (1 if class_weight is None else class_weight[k]) * smoothed
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert distribution.flags.c_contiguous
    by_column = objective.distribution(np.asfortranarray(shares), 3)
    assert by_column is not None
    assert by_column.flags.c_contiguous
