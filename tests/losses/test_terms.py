"""The bounds of the options of a loss."""

import pytest
import torch

import crossent as ce
from crossent.errors import CrossentError, SettingError
from crossent.losses.terms import LARGEST_FACTOR, SMALLEST_FACTOR, LossTerms

LOGITS, TARGET = torch.tensor([[0.5, -1.0, 0.0]]), torch.tensor([1])


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("ignore_index", [-(2**63), 2**63 - 1], [2**63, 0.5]),
        ("label_smoothing", [0.0, 1.0], [-1e-9, 1.0001, float("nan")]),
        ("temperature", [1.0], [0.0, -1.0, float("inf")]),
        ("z_loss", [0.0, LARGEST_FACTOR], [-1e-9, 2 * LARGEST_FACTOR, float("nan")]),
        ("focal_gamma", [0.0, 5.0], [-1e-9, 2 * LARGEST_FACTOR, "2"]),
        ("softcap", [None, SMALLEST_FACTOR, LARGEST_FACTOR], [0.0, SMALLEST_FACTOR / 2, float("inf")]),
        ("normalizer", [None, SMALLEST_FACTOR, LARGEST_FACTOR], [0.0, -1.0, float("nan")]),
        ("reduction", ["none", "mean", "sum"], ["average", None]),
        ("empty", ["nan", "zero"], ["one", 0.0]),
        ("smoothing", ["weighted", "unweighted"], ["none", True]),
    ],
)
def test_an_option_out_of_its_bounds_is_an_error_that_names_it(
    name: str, good: list[object], bad: list[object]
) -> None:
    for value in good:
        ce.cross_entropy(LOGITS, TARGET, **{name: value})
    for value in bad:
        with pytest.raises(CrossentError, match=name):
            ce.cross_entropy(LOGITS, TARGET, **{name: value})


@pytest.mark.parametrize("reduction", ["none", "sum"])
def test_a_normalizer_divides_means_only(reduction: str) -> None:
    with pytest.raises(SettingError, match="normalizer"):
        ce.cross_entropy(LOGITS, TARGET, reduction=reduction, normalizer=2.0)
    loss = ce.cross_entropy(LOGITS, TARGET, reduction="sum")
    torch.testing.assert_close(ce.cross_entropy(LOGITS, TARGET, normalizer=2.0), loss / 2)


@pytest.mark.parametrize("name", ["class_weight", "sample_weight", "log_prior", "class_mask"])
def test_arrays_in_the_place_of_tensors_are_refused_by_name(name: str) -> None:
    with pytest.raises(CrossentError, match=name):
        LossTerms(**{name: [1.0, 2.0, 3.0]})
