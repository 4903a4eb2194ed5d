import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

import crossent as ce
from crossent.errors import SettingError, ShapeError

SHAPES = [(7, 5), (7, 5, 3), (2, 5, 3, 4), (5,)]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draw_indices(shape: tuple[int, ...]) -> torch.Tensor:
    rows = shape[:1] + shape[2:] if len(shape) > 1 else ()
    target = torch.randint(0, 5, rows, generator=generator())
    if target.ndim:
        target[0] = -100
    return target


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_equals_torch_in_value_and_gradient(
    shape: tuple[int, ...], soft: bool, weighted: bool, label_smoothing: float, reduction: str
) -> None:
    logits = torch.randn(shape, generator=generator(), dtype=torch.float64)
    target = torch.rand(shape, generator=generator(), dtype=torch.float64) if soft else draw_indices(shape)
    weight = torch.rand(5, generator=generator(), dtype=torch.float64) if weighted else None
    ours, theirs = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    loss = ce.cross_entropy(ours, target, weight, reduction=reduction, label_smoothing=label_smoothing)
    expected = functional.cross_entropy(theirs, target, weight, reduction=reduction, label_smoothing=label_smoothing)
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=1e-12)
    loss.sum().backward()
    expected.sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-12, atol=1e-12)


def reference(
    logits: np.ndarray,
    target: np.ndarray,
    class_weight: np.ndarray,
    sample_weight: np.ndarray,
    label_smoothing: float,
    temperature: float,
    log_prior: np.ndarray,
) -> float:
    """The definition, row by row, in Python floats."""
    total = divisor = 0.0
    for row, label, weight in zip(logits, target, sample_weight, strict=True):
        if label == -100 or weight == 0:
            continue
        scores = [z / temperature + p for z, p in zip(row.tolist(), log_prior.tolist(), strict=True)]
        top = scores.index(max(scores))
        log_sum = math.log1p(math.fsum(math.exp(s - scores[top]) for k, s in enumerate(scores) if k != top))
        for k, score in enumerate(scores):
            share = (1 - label_smoothing) * (k == label) + label_smoothing / len(scores)
            total += weight * share * class_weight[k] * (log_sum + (scores[top] - score))
        divisor += weight * class_weight[label]
    return total / divisor if divisor else math.nan


@given(st.integers(1, 12), st.integers(2, 9), st.floats(0, 1), st.floats(0.1, 10), st.integers(0, 2**31))
@settings(max_examples=300, deadline=None)
def test_equals_the_definition_for_drawn_options(
    n: int, classes: int, label_smoothing: float, temperature: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 10, size=(n, classes))
    target = np.where(rng.random(n) < 0.2, -100, rng.integers(0, classes, size=n))
    class_weight, log_prior = rng.random(classes) + 0.1, rng.normal(size=classes)
    sample_weight = np.where(rng.random(n) < 0.2, 0.0, rng.random(n) + 0.1)
    expected = reference(logits, target, class_weight, sample_weight, label_smoothing, temperature, log_prior)
    loss = ce.cross_entropy(
        torch.from_numpy(logits),
        torch.from_numpy(target),
        torch.from_numpy(class_weight),
        label_smoothing=label_smoothing,
        sample_weight=torch.from_numpy(sample_weight),
        temperature=temperature,
        log_prior=torch.from_numpy(log_prior),
    )
    np.testing.assert_allclose(loss.item(), expected, rtol=1e-9, equal_nan=True)


def test_small_losses_keep_their_digits() -> None:
    logits = torch.tensor([[20.0, 0.0, 0.0]], requires_grad=True)
    loss = ce.cross_entropy(logits, torch.tensor([0]))
    loss.backward()
    exact = math.log1p(2 * math.exp(-20))
    assert loss.item() == pytest.approx(exact, rel=1e-6)
    assert logits.grad is not None
    assert logits.grad[0].tolist() == pytest.approx([-exact, exact / 2, exact / 2], rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_summed_in_float32(dtype: torch.dtype) -> None:
    logits = torch.zeros(2, 70_000, dtype=dtype, requires_grad=True)
    loss = ce.cross_entropy(logits, torch.tensor([0, 69_999]))
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(math.log(70_000), rel=1e-6)
    assert logits.grad is not None
    assert logits.grad.dtype == dtype


def test_zero_weight_on_minus_infinity_is_zero() -> None:
    logits = torch.tensor([[0.0, -math.inf, 0.0]], requires_grad=True)
    loss = ce.cross_entropy(logits, torch.tensor([[0.5, 0.0, 0.5]]))
    loss.backward()
    assert loss.item() == pytest.approx(math.log(2))
    assert logits.grad is not None
    assert logits.grad[0].tolist() == [0.0, 0.0, 0.0]


def test_impossible_target_costs_infinity() -> None:
    assert ce.cross_entropy(torch.tensor([[0.0, -math.inf]]), torch.tensor([1])).item() == math.inf


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_ignored_rows_are_never_read(bad: float) -> None:
    logits = torch.tensor([[1.0, 2.0], [bad, bad], [0.0, 3.0]], requires_grad=True)
    kept = logits.detach()[[0, 2]].requires_grad_()
    by_index = ce.cross_entropy(logits, torch.tensor([0, -100, 1]))
    expected = ce.cross_entropy(kept, torch.tensor([0, 1]))
    assert by_index.item() == expected.item()
    by_index.backward()
    expected.backward()
    assert logits.grad is not None
    assert kept.grad is not None
    assert logits.grad[1].tolist() == [0.0, 0.0]
    assert torch.equal(logits.grad[[0, 2]], kept.grad)
    soft = torch.tensor([[1.0, 0.0], [bad, bad], [0.0, 1.0]])
    by_weight = ce.cross_entropy(logits, soft, sample_weight=torch.tensor([1.0, 0.0, 1.0]))
    assert by_weight.item() == pytest.approx(expected.item())


@pytest.mark.parametrize(("empty", "value"), [("nan", math.nan), ("zero", 0.0)])
def test_nothing_to_average_gives_zero_gradients(empty: str, value: float) -> None:
    for target, weight in (([-100, -100], [1.0, 1.0]), ([0, 0], [0.0, 1.0])):
        logits = torch.randn(2, 2, requires_grad=True)
        loss = ce.cross_entropy(logits, torch.tensor(target), torch.tensor(weight), empty=empty)
        loss.backward()
        np.testing.assert_equal(loss.item(), value)
        assert logits.grad is not None
        assert logits.grad.tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_sample_weights_count_as_repeated_rows() -> None:
    logits = torch.randn(3, 4, generator=generator())
    target, weight = torch.tensor([0, 1, 2]), torch.tensor([1.0, 2.0, 3.0])
    repeated = torch.tensor([0, 1, 1, 2, 2, 2])
    class_weight = torch.tensor([1.0, 2.0, 0.5, 1.0])
    torch.testing.assert_close(
        ce.cross_entropy(logits, target, class_weight, sample_weight=weight),
        ce.cross_entropy(logits[repeated], target[repeated], class_weight),
    )


def test_normalizer_divides_the_sum() -> None:
    logits, target = torch.randn(3, 4, generator=generator()), torch.tensor([0, 1, 2])
    total = ce.cross_entropy(logits, target, reduction="sum")
    assert ce.cross_entropy(logits, target, normalizer=7.0).item() == pytest.approx(total.item() / 7)


@pytest.mark.parametrize("options", [{}, {"label_smoothing": 0.1}, {"temperature": 2.0}])
def test_first_and_second_derivatives(options: dict[str, float]) -> None:
    logits = torch.randn(4, 3, dtype=torch.float64, generator=generator(), requires_grad=True)
    target = torch.tensor([0, 2, -100, 1])
    weight = torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64)

    def loss(z: torch.Tensor) -> torch.Tensor:
        return ce.cross_entropy(z, target, weight, **options)

    assert torch.autograd.gradcheck(loss, logits)
    assert torch.autograd.gradgradcheck(loss, logits)


def test_function_transforms() -> None:
    logits, target = torch.randn(6, 3, generator=generator()), torch.tensor([0, 1, 2, 0, 1, 2])
    rows = torch.func.vmap(torch.func.grad(ce.cross_entropy))(logits, target)
    batch = logits.clone().requires_grad_()
    ce.cross_entropy(batch, target, reduction="sum").backward()
    torch.testing.assert_close(rows, batch.grad)


@pytest.mark.parametrize(
    ("logits", "target", "words"),
    [
        (torch.zeros(3, 4), torch.tensor([0, 4, 1]), r"target\[1\] is 4.*Subtract 1"),
        (torch.zeros(3, 4), torch.tensor([0, -1, 1]), r"target\[1\] is -1"),
        (torch.zeros(3, 4), torch.tensor([[0], [1], [2]]), r"squeeze\(-1\)"),
        (torch.zeros(3, 4), torch.zeros(3, 4, dtype=torch.long), "one-hot"),
        (torch.zeros(3, 4), torch.zeros(3), r"target\.long\(\)"),
        (torch.zeros(3, 4), torch.zeros(3, 5), r"\(3, 5\)"),
        (torch.zeros(3, 4), torch.zeros(2, dtype=torch.long), r"\(2,\)"),
        (torch.zeros(3, 4, dtype=torch.long), torch.zeros(3, dtype=torch.long), "floating"),
    ],
)
def test_wrong_shapes_say_what_to_do(logits: torch.Tensor, target: torch.Tensor, words: str) -> None:
    with pytest.raises(ShapeError, match=f"(?s){words}"):
        ce.cross_entropy(logits, target)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"reduction": "average"}, "'average'"),
        ({"empty": "none"}, "'none'"),
        ({"label_smoothing": 1.5}, "1.5"),
        ({"temperature": 0.0}, "temperature"),
        ({"temperature": math.nan}, "nan"),
    ],
)
def test_wrong_settings_say_their_bounds(options: dict[str, object], words: str) -> None:
    with pytest.raises(SettingError, match=words):
        ce.cross_entropy(torch.zeros(2, 3), torch.tensor([0, 1]), **options)


@pytest.mark.parametrize("name", ["class_weight", "log_prior", "sample_weight"])
def test_wrong_weights_are_named(name: str) -> None:
    with pytest.raises(ShapeError, match=name):
        ce.cross_entropy(torch.zeros(2, 3), torch.tensor([0, 1]), **{name: torch.ones(4)})
