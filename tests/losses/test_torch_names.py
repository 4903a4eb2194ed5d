"""Calls of torch's losses, word for word, are calls of ours."""

import warnings
from typing import Any

import pytest
import torch
from torch.nn import functional

import crossent as ce
from crossent.errors import SettingError, ShapeError

WEIGHT = torch.tensor([1.0, 2.0, 4.0])


def draw(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    target = torch.randint(3, (8,), generator=generator)
    target[2] = -100
    return torch.randn(8, 3, generator=generator), target


CALLS: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "weight": ((), {"weight": WEIGHT}),
    "all in their places": ((WEIGHT, None, 1, None, "sum", 0.1), {}),
    "retired in their places": ((WEIGHT, False, -100, True), {}),
    "one value a row": ((None, None, -100, False), {}),
    "retired by name": ((), {"size_average": False, "reduction": "mean"}),
    "both retired": ((), {"size_average": True, "reduce": True, "reduction": "sum"}),
    "by name": ((), {"weight": WEIGHT, "ignore_index": 0, "reduction": "none", "label_smoothing": 0.3}),
}


@pytest.mark.parametrize("name", CALLS)
def test_every_call_of_torchs_loss_gives_its_value(name: str) -> None:
    (logits, target), (positions, options) = draw(), CALLS[name]
    ignored = positions[2] if len(positions) > 2 else options.get("ignore_index", -100)
    target = torch.where(target == -100, ignored, target)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of what it has retired
        expected = functional.cross_entropy(logits, target, *positions, **options)
        module = torch.nn.CrossEntropyLoss(*positions, **options)
    torch.testing.assert_close(ce.cross_entropy(logits, target, *positions, **options), expected)
    torch.testing.assert_close(ce.nn.CrossEntropyLoss(*positions, **options)(logits, target), expected)
    torch.testing.assert_close(module(logits, target), expected)


def test_a_state_of_torchs_module_loads_and_ours_loads_there() -> None:
    theirs, ours = torch.nn.CrossEntropyLoss(WEIGHT), ce.nn.CrossEntropyLoss(torch.ones(3))
    ours.load_state_dict(theirs.state_dict())
    assert torch.equal(ours.weight, WEIGHT)
    torch.nn.CrossEntropyLoss(torch.ones(3)).load_state_dict(ours.state_dict())


@pytest.mark.parametrize("as_other", [torch.Tensor.tolist, lambda values: values.double().numpy(), tuple])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_class_weights_come_as_lists_and_arrays(as_other: Any, dtype: torch.dtype) -> None:
    logits, target = draw()
    logits = logits.to(dtype)
    values = [float(value) for value in WEIGHT] if as_other is tuple else as_other(WEIGHT)
    expected = ce.cross_entropy(logits, target, WEIGHT)
    for found in (
        ce.cross_entropy(logits, target, values),
        ce.cross_entropy(logits, target, class_weight=values),
        ce.nn.CrossEntropyLoss(values)(logits, target),
        ce.cross_entropy_and_grad(logits, target, weight=values)[0],
    ):
        torch.testing.assert_close(found, expected)


def test_two_names_of_one_setting_are_refused_and_so_is_what_is_no_number() -> None:
    logits, target = draw()
    for loss in (ce.cross_entropy, ce.cross_entropy_and_grad):
        with pytest.raises(SettingError, match="two names"):
            loss(logits, target, weight=WEIGHT, class_weight=WEIGHT)
        for bad, words in (
            ("balanced", "is a torch tensor"),
            ([1, "b", 2], "number for each"),
            ([None, 1, 2], "number"),
        ):
            with pytest.raises(ShapeError, match=f"class_weight .*{words}"):
                loss(logits, target, weight=bad)
    with pytest.raises(SettingError, match="It is a int"):
        ce.nn.LinearCrossEntropyLoss(3)  # type: ignore[arg-type]


def test_the_loss_of_a_linear_layer_takes_torchs_names() -> None:
    _, target = draw()
    hidden, layer = torch.randn(8, 5), torch.nn.Linear(5, 3)
    options: dict[str, Any] = {"linear_bias": layer.bias, "weight": WEIGHT, "label_smoothing": 0.1}
    found = ce.linear_cross_entropy(hidden, layer.weight, target, **options, ignore_index=None)
    expected = functional.cross_entropy(layer(hidden), target, WEIGHT, label_smoothing=0.1)
    torch.testing.assert_close(found, expected)
    if hasattr(functional, "linear_cross_entropy"):
        torch.testing.assert_close(found, functional.linear_cross_entropy(hidden, layer.weight, target, **options))
