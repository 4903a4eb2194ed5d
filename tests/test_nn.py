import torch

import crossent as ce


def test_module_is_the_function() -> None:
    logits, target = torch.randn(6, 3), torch.tensor([0, 1, 2, -100, 1, 1])
    weight, prior = torch.tensor([1.0, 2.0, 0.5]), torch.tensor([0.1, -0.2, 0.3])
    rows = torch.rand(6)
    module = ce.nn.CrossEntropyLoss(weight, label_smoothing=0.1, log_prior=prior, temperature=2.0, reduction="sum")
    expected = ce.cross_entropy(
        logits,
        target,
        weight,
        label_smoothing=0.1,
        log_prior=prior,
        temperature=2.0,
        reduction="sum",
        sample_weight=rows,
    )
    assert torch.equal(module(logits, target, rows), expected)


def test_tensors_move_and_save_with_the_module() -> None:
    module = ce.nn.CrossEntropyLoss(torch.ones(3))
    assert list(module.state_dict()) == ["class_weight"]
    assert module.double().class_weight.dtype == torch.float64
    assert "label_smoothing=0.0" in repr(module)


def test_stands_in_for_torch() -> None:
    logits, target = torch.randn(6, 3), torch.tensor([0, 1, 2, -100, 1, 1])
    torch.testing.assert_close(ce.nn.CrossEntropyLoss()(logits, target), torch.nn.CrossEntropyLoss()(logits, target))
