import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from crossent.kinds.blocks import Features
from crossent.models.heads_loss import HeadsLoss, heads_loss
from crossent.models.model import Examples
from crossent.models.objective import Objective

HEADS, N, K = 3, 11, 4
WEIGHT, LOG_PRIOR = [0.5, 1.0, 2.0, 4.0], [-0.5, -1.0, -1.5, -2.0]
OPTIONS = list(itertools.product([False, True], [False, True], [0.0, 0.2], [0.0, 2.0]))


def draw() -> tuple[Tensor, Tensor, Tensor]:
    """Return logits, class indices and distributions; some of these are certain, or leave classes out."""
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(HEADS, N, K, generator=generator)
    indices = torch.randint(K, (N,), generator=generator)
    distribution = torch.rand(N, K, generator=generator) * (torch.rand(N, K, generator=generator) < 0.6)
    distribution[:2] = torch.eye(K)[2:]
    distribution[:, 0] += 1e-3
    return logits, indices, distribution / distribution.sum(-1, keepdim=True)


def defined(logits: Tensor, distribution: Tensor, loss: HeadsLoss) -> Tensor:
    """The definition in float64: what each class costs as the target, in the mean by the shares."""
    log_prior = torch.zeros(K) if loss.log_prior is None else loss.log_prior
    log_probs = (logits.double() + log_prior).log_softmax(-1)
    cost = -((1 - log_probs.exp()) ** loss.focal_gamma) * log_probs
    smoothed = (1 - loss.label_smoothing) * cost + loss.label_smoothing * cost.mean(-1, keepdim=True)
    weight = torch.ones(K) if loss.class_weight is None else loss.class_weight
    return (distribution.double() * weight.double() * smoothed).sum(-1).mean()


@pytest.mark.parametrize(("weighted", "adjusted", "label_smoothing", "focal_gamma"), OPTIONS)
@pytest.mark.parametrize("soft", [False, True])
def test_is_what_it_is_defined_to_be(
    weighted: bool, adjusted: bool, label_smoothing: float, focal_gamma: float, soft: bool
) -> None:
    logits, indices, distribution = draw()
    loss = HeadsLoss(
        torch.tensor(WEIGHT) if weighted else None,
        torch.tensor(LOG_PRIOR) if adjusted else None,
        label_smoothing,
        focal_gamma,
    )
    found, expected = logits.clone().requires_grad_(), logits.double().requires_grad_()
    value = loss(found, distribution if soft else indices)
    reference = defined(expected, distribution if soft else torch.eye(K)[indices], loss)
    torch.testing.assert_close(value.double(), reference, rtol=2e-6, atol=0)
    value.backward()  # type: ignore[no-untyped-call]
    reference.backward()  # type: ignore[no-untyped-call]
    assert found.grad is not None
    assert expected.grad is not None
    torch.testing.assert_close(found.grad.double(), expected.grad, rtol=1e-4, atol=1e-8)


def test_certain_distributions_cost_what_indices_do() -> None:
    logits, indices, _ = draw()
    loss = HeadsLoss(torch.tensor(WEIGHT), torch.tensor(LOG_PRIOR), 0.1, 2.0)
    torch.testing.assert_close(loss(logits, torch.eye(K)[indices]), loss(logits, indices))


def test_a_mixed_row_weighs_what_its_parts_do() -> None:
    """By hand: logits are even, so that each class costs log 2; 0.25 of weight 1 and 0.75 of weight 3 are 2.5."""
    loss = HeadsLoss(torch.tensor([1.0, 3.0]), None, 0.0, 0.0)
    mixed = loss(torch.zeros(1, 1, 2), torch.tensor([[0.25, 0.75]]))
    assert float(mixed) == pytest.approx(2.5 * np.log(2))


@pytest.mark.parametrize("soft", [False, True])
def test_shares_of_a_batch_add_up(soft: bool) -> None:
    logits, indices, distribution = draw()
    target = distribution if soft else indices
    loss = HeadsLoss(torch.tensor(WEIGHT), None, 0.1, 0.0)
    parts = [loss(logits[:, part], target[part]) * len(target[part]) / N for part in (slice(0, 3), slice(3, N))]
    torch.testing.assert_close(parts[0] + parts[1], loss(logits, target))


@pytest.mark.parametrize("soft", [False, True])
def test_weights_are_one_on_average_over_the_training_rows(soft: bool) -> None:
    _, indices, distribution = draw()
    features = Features(np.zeros((N, 1), np.float32), np.empty((N, 0), np.int32), ())
    train = Examples(features, indices.numpy(), K, distribution.numpy() if soft else None)
    loss = heads_loss(Objective(class_weight=np.array(WEIGHT)), train, torch.device("cpu"))
    assert loss.class_weight is not None
    shares = distribution if soft else torch.eye(K)[indices]
    assert float((shares @ loss.class_weight).mean()) == pytest.approx(1.0, rel=1e-6)
    np.testing.assert_allclose(loss.class_weight / loss.class_weight[0], np.array(WEIGHT) / WEIGHT[0], rtol=1e-6)
