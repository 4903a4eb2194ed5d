import pytest
import torch

import crossent as ce
from crossent.errors import SettingError


def test_module_is_the_function() -> None:
    logits, target = torch.randn(6, 3), torch.tensor([0, 1, 2, -1, 1, 1])
    weight, prior, rows = torch.tensor([1.0, 2.0, 0.5]), torch.tensor([0.1, -0.2, 0.3]), torch.rand(6)
    mask = torch.tensor([True, True, True])
    options = {
        "ignore_index": -1,
        "label_smoothing": 0.1,
        "log_prior": prior,
        "temperature": 2.0,
        "z_loss": 0.01,
        "softcap": 5.0,
        "focal_gamma": 1.5,
        "normalizer": 7.0,
    }
    module = ce.nn.CrossEntropyLoss(weight, **options)
    expected = ce.cross_entropy(logits, target, weight, sample_weight=rows, class_mask=mask, **options)
    assert torch.equal(module(logits, target, rows, mask), expected)


@pytest.mark.parametrize("options", [{"reduction": "none"}, {"reduction": "sum"}, {"empty": "zero"}])
def test_module_reduces_as_the_function_does(options: dict[str, str]) -> None:
    logits, target = torch.randn(2, 3), torch.tensor([-100, -100])
    assert torch.equal(ce.nn.CrossEntropyLoss(**options)(logits, target), ce.cross_entropy(logits, target, **options))


def test_tensors_move_and_save_with_the_module() -> None:
    module = ce.nn.CrossEntropyLoss(torch.ones(3))
    assert list(module.state_dict()) == ["weight"]
    assert module.double().weight.dtype == torch.float64


def test_representation_shows_what_was_set() -> None:
    assert repr(ce.nn.CrossEntropyLoss()) == "CrossEntropyLoss()"
    module = ce.nn.CrossEntropyLoss(torch.ones(3), reduction="sum", focal_gamma=2.0)
    assert repr(module) == "CrossEntropyLoss(weight=tensor of shape (3,), reduction='sum', focal_gamma=2.0)"


@pytest.mark.parametrize("options", [{"label_smoothing": 2.0}, {"reduction": "average"}, {"temperature": 0.0}])
def test_wrong_options_are_met_when_it_is_made(options: dict[str, object]) -> None:
    with pytest.raises(SettingError, match=next(iter(options))):
        ce.nn.CrossEntropyLoss(**options)


def test_stands_in_for_torch() -> None:
    logits, target = torch.randn(6, 3), torch.tensor([0, 1, 2, -100, 1, 1])
    torch.testing.assert_close(ce.nn.CrossEntropyLoss()(logits, target), torch.nn.CrossEntropyLoss()(logits, target))


def test_linear_module_is_the_function() -> None:
    linear, rows, target = torch.nn.Linear(4, 3), torch.randn(6, 4), torch.tensor([0, 1, 2, -1, 1, 1])
    weight, prior, of_rows = torch.tensor([1.0, 2.0, 0.5]), torch.tensor([0.1, -0.2, 0.3]), torch.rand(6)
    mask = torch.tensor([True, True, True])
    options = {
        "ignore_index": -1,
        "label_smoothing": 0.1,
        "log_prior": prior,
        "temperature": 2.0,
        "z_loss": 0.01,
        "softcap": 5.0,
        "normalizer": 7.0,
        "smoothing": "unweighted",
    }
    module = ce.nn.LinearCrossEntropyLoss(linear, ce.nn.CrossEntropyLoss(weight, **options))
    found = module(rows, target, of_rows, mask)
    expected = ce.linear_cross_entropy(
        rows,
        linear.weight,
        target,
        linear_bias=linear.bias,
        weight=weight,
        sample_weight=of_rows,
        class_mask=mask,
        **options,
    )
    assert torch.equal(found, expected)
    whole = ce.nn.CrossEntropyLoss(weight, **options)(linear(rows), target, of_rows, mask)
    torch.testing.assert_close(found, whole)
    found.backward()
    assert linear.weight.grad is not None


def test_linear_module_saves_the_layer_and_the_options() -> None:
    module = ce.nn.LinearCrossEntropyLoss(torch.nn.Linear(4, 3, bias=False), ce.nn.CrossEntropyLoss(torch.ones(3)))
    assert list(module.state_dict()) == ["linear.weight", "loss.weight"]
    assert (
        ce.nn.LinearCrossEntropyLoss(module.linear)(torch.zeros(2, 4), torch.tensor([0, 1])) == torch.tensor(3.0).log()
    )
