"""The native kernels against plain torch operations in float64, in the forms that only they have."""

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import crossent as ce
from crossent.errors import ShapeError
from crossent.kernels import info, rows
from crossent.kernels.problem import RowTerms
from crossent.losses.plain import plain_cross_entropy
from crossent.losses.terms import LossTerms

pytestmark = pytest.mark.skipif(not info().available, reason="there are no native kernels here")

DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]
# Rounding of each dtype, doubled.
STEP = {torch.float32: 1.2e-7, torch.float64: 2.3e-16, torch.bfloat16: 8e-3, torch.float16: 1e-3}


def draw(rows_count: int, num_classes: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 4 * torch.randn(rows_count, num_classes, generator=generator, dtype=torch.float64)
    return logits, torch.randint(0, num_classes, (rows_count,), generator=generator)


def gradient_of(logits: torch.Tensor, target: torch.Tensor, **options: object) -> tuple[torch.Tensor, torch.Tensor]:
    leaf = logits.detach().clone().requires_grad_()
    loss = ce.cross_entropy(leaf, target, **options)
    loss.sum().backward()
    assert leaf.grad is not None
    return loss.detach(), leaf.grad


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("num_classes", [1, 2, 7, 8, 31, 33, 100, 129, 1000, 2048, 2049, 5000])
@pytest.mark.parametrize("kind", ["index", "smooth", "soft"])
def test_every_size_in_every_dtype(dtype: torch.dtype, num_classes: int, kind: str) -> None:
    logits, target = draw(21, num_classes)
    logits = logits.to(dtype)
    options: dict[str, object] = {"reduction": "none"}
    if kind == "smooth":
        options |= {"label_smoothing": 0.1, "class_weight": torch.arange(1.0, num_classes + 1)}
    if kind == "soft":
        target = torch.rand(21, num_classes, generator=torch.Generator().manual_seed(1))
    loss, gradient = gradient_of(logits, target, **options)
    expected, exact = plain(logits, target, options)
    step = 1e-13 if dtype == torch.float64 else 1e-6
    torch.testing.assert_close(loss.double(), expected, rtol=step, atol=step * 1e-3)
    # Half precision rounds the gradient once, and float16 has no numbers between 0 and 6e-8.
    bound = (STEP[dtype] + step) * exact.abs().amax(1, keepdim=True) + (6e-8 if dtype == torch.float16 else 1e-16)
    assert bool(((gradient.double() - exact).abs() <= bound).all())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("num_classes", [5, 100, 3000])
def test_halves_are_rounded_to_nearest_once(dtype: torch.dtype, num_classes: int) -> None:
    logits, target = draw(40, num_classes)
    # From the largest gradients to those that have fewer digits than a normal number.
    logits = (logits * torch.linspace(0.1, 3, 40, dtype=torch.float64).unsqueeze(1)).to(dtype)
    _, gradient = gradient_of(logits, target, reduction="sum")
    _, wide = gradient_of(logits.float(), target, reduction="sum")
    assert torch.equal(gradient, wide.to(dtype))


@pytest.mark.parametrize("num_classes", [3, 40, 3000])
@pytest.mark.parametrize("soft", [False, True])
def test_classes_that_share_the_largest_logit(num_classes: int, soft: bool) -> None:
    logits, target = torch.zeros(18, num_classes, dtype=torch.float32), torch.arange(18) % num_classes
    logits[6:, num_classes // 2 :] = -30.0
    logits[12:] *= -1
    distribution = 0.9 * ce.one_hot(target, num_classes) + 0.1 / num_classes
    loss, gradient = gradient_of(logits, distribution if soft else target, reduction="none")
    expected, exact = plain(logits, distribution.double() if soft else target, {"reduction": "none"})
    torch.testing.assert_close(loss.double(), expected, rtol=1e-6, atol=1e-12)
    torch.testing.assert_close(gradient.double(), exact, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize("num_classes", [5, 300])
def test_any_layout_is_read_where_it_lies(num_classes: int, reduction: str) -> None:
    logits = torch.randn(4, num_classes, 3, 5, generator=torch.Generator().manual_seed(0))
    target = torch.randint(0, num_classes, (4, 3, 5), generator=torch.Generator().manual_seed(1))
    expected_loss, expected = gradient_of(logits, target, reduction=reduction)
    flat_loss, flat = gradient_of(logits.movedim(1, -1).reshape(-1, num_classes), target.reshape(-1))
    torch.testing.assert_close(expected_loss.mean(), flat_loss)
    if reduction == "mean":
        torch.testing.assert_close(expected.movedim(1, -1).reshape(-1, num_classes), flat)
    layouts = [
        logits.contiguous(memory_format=torch.channels_last),
        logits.movedim(0, 1).contiguous().movedim(1, 0),
        logits.repeat_interleave(2, 1)[:, ::2],
    ]
    for layout in layouts:
        leaf = layout.detach().requires_grad_()
        ce.cross_entropy(leaf, target, reduction=reduction).sum().backward()
        torch.testing.assert_close(leaf.grad, expected, rtol=1e-5, atol=1e-8)


def test_any_number_of_threads_gives_the_same_bits() -> None:
    threads = torch.get_num_threads()
    found = []
    try:
        for count in (1, 2, 3, 7):
            torch.set_num_threads(count)
            for shape in ((4099, 10), (999, 300)):
                logits, target = draw(*shape)
                found.append((count, shape, *gradient_of(logits.float(), target)))
    finally:
        torch.set_num_threads(threads)
    for _, shape, loss, gradient in found[2:]:
        first = found[0] if shape == found[0][1] else found[1]
        assert torch.equal(loss, first[2])
        assert torch.equal(gradient, first[3])


def test_bad_target_raises_before_anything_is_written() -> None:
    logits, target = draw(50, 6)
    target[33] = 6
    written = logits.float().clone()
    terms = RowTerms(target=target)
    with pytest.raises(rows.BadTargetError):
        rows.forward_backward(written, terms, written, 0.0, math.nan)
    assert torch.equal(written, logits.float())
    with pytest.raises(ShapeError, match=r"target\[33\] is 6"):
        ce.cross_entropy(logits, target)


@pytest.mark.parametrize(("num_classes", "dtype"), [(10, torch.float32), (3000, torch.float32), (50, torch.bfloat16)])
def test_gradient_over_the_logits(num_classes: int, dtype: torch.dtype) -> None:
    logits, target = draw(40, num_classes)
    logits = logits.to(dtype)
    loss, expected = gradient_of(logits, target)
    terms = RowTerms(target=target)
    result = rows.forward_backward(logits, terms, logits, 0.0, math.nan)
    assert result.value == loss
    # One exponential in place of two: other roundings.
    bound = STEP[dtype] * 10 * expected.abs().amax(1, keepdim=True)
    assert bool(((logits - expected).abs() <= bound).all())


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int16, torch.int32])
@pytest.mark.parametrize("num_classes", [100, 3000])
def test_class_indices_of_any_whole_dtype(dtype: torch.dtype, num_classes: int) -> None:
    logits, _ = draw(40, num_classes)
    target = torch.arange(40)
    loss, expected = gradient_of(logits, target, label_smoothing=0.1)
    same_loss, gradient = gradient_of(logits, target.to(dtype), label_smoothing=0.1)
    assert torch.equal(loss, same_loss)
    assert torch.equal(gradient, expected)


def available_memory() -> int:
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.slow
def test_more_elements_than_32_bits_count() -> None:
    if available_memory() < 7 << 30:
        pytest.skip("needs 7 GB of memory")
    num_classes = 1 << 13
    n = (1 << 18) + 1
    logits = torch.zeros(n, num_classes, dtype=torch.bfloat16)
    logits[-1, -1] = 5
    target = torch.full((n,), num_classes - 1)
    kept = logits[-2:].clone()
    last, expected = ce.cross_entropy_and_grad(kept, target[-2:], reduction="none")
    assert logits.numel() > 1 << 31
    losses, gradient = ce.cross_entropy_and_grad(logits, target, reduction="none", out=logits)
    assert torch.equal(losses[-2:], last)
    assert torch.equal(gradient[-2:], expected)
    assert bool((losses[:-1] == losses[0]).all())


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"label_smoothing": 0.1}, {"reduction": "none", "temperature": 2.0}])
@pytest.mark.parametrize("soft", [False, True])
def test_compiles_without_a_break(options: dict[str, object], soft: bool) -> None:
    logits, target = draw(64, 10)
    logits = logits.float()
    given_target = ce.one_hot(target, 10) if soft else target
    weight = torch.arange(1.0, 11.0)

    def loss(z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return (2 * ce.cross_entropy(z * 1.5, y, weight, **options)).sum()

    compiled = torch.compile(loss, fullgraph=True)
    ours, expected = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    torch.testing.assert_close(compiled(ours, given_target), loss(expected, given_target))
    compiled(ours, given_target).backward()
    loss(expected, given_target).backward()
    torch.testing.assert_close(ours.grad, expected.grad)


@st.composite
def problems(draw_one: st.DrawFn) -> tuple[torch.Tensor, torch.Tensor, dict[str, object]]:
    n, num_classes = draw_one(st.integers(1, 20)), draw_one(st.sampled_from([1, 2, 3, 10, 40, 130, 600, 2100]))
    rng = np.random.default_rng(draw_one(st.integers(0, 2**31)))
    dtype = draw_one(st.sampled_from(DTYPES))
    logits = torch.from_numpy(rng.normal(0, draw_one(st.sampled_from([0.1, 3, 30])), (n, num_classes))).to(dtype)
    if draw_one(st.booleans()):
        target = torch.from_numpy(rng.random((n, num_classes))).to(draw_one(st.sampled_from(DTYPES)))
    else:
        target = torch.from_numpy(rng.integers(0, num_classes, n))
        target[rng.random(n) < 0.2] = -100
    tensors = {
        "class_weight": torch.from_numpy(rng.random(num_classes) + 0.1),
        "sample_weight": torch.from_numpy(np.where(rng.random(n) < 0.2, 0.0, rng.random(n) + 0.1)),
        "log_prior": torch.from_numpy(rng.normal(size=num_classes)),
        "class_mask": torch.from_numpy(rng.random((n, num_classes)) < 0.9),
    }
    options: dict[str, object] = {name: value for name, value in tensors.items() if draw_one(st.booleans())}
    if "class_mask" in options and not target.is_floating_point():
        tensors["class_mask"][torch.arange(n), target.clamp_min(0)] = True
    elif "class_mask" in options:
        tensors["class_mask"][:, 0] = True
        target = torch.where(tensors["class_mask"], target, 0)
    numbers = {
        "label_smoothing": [0.0, 0.1],
        "temperature": [1.0, 0.5, 3.0],
        "softcap": [None, 20.0],
        "z_loss": [0.0, 0.01],
        "focal_gamma": [0.0, 2.0],
        "reduction": ["none", "mean", "sum"],
        "smoothing": ["weighted", "unweighted"],
    }
    options |= {name: draw_one(st.sampled_from(values)) for name, values in numbers.items()}
    return logits, target, options


def plain(logits: torch.Tensor, target: torch.Tensor, options: dict[str, object]) -> tuple[torch.Tensor, torch.Tensor]:
    leaf = logits.double().requires_grad_()
    wide = target.double() if target.is_floating_point() else target
    loss = plain_cross_entropy(leaf, wide, LossTerms(**options))
    loss.sum().backward()
    assert leaf.grad is not None
    return loss.detach(), leaf.grad


@given(problems())
@settings(max_examples=300)
def test_equals_plain_operations_for_drawn_options(
    problem: tuple[torch.Tensor, torch.Tensor, dict[str, object]],
) -> None:
    logits, target, options = problem
    loss, gradient = gradient_of(logits, target, **options)
    expected, exact = plain(logits, target, options)
    narrow = logits.dtype != torch.float64
    torch.testing.assert_close(
        loss.double(), expected, rtol=1e-5 if narrow else 1e-12, atol=1e-7 if narrow else 1e-13, equal_nan=True
    )
    scale = exact.abs().amax(1, keepdim=True)
    error = (gradient.double() - exact).abs()
    # Logits of 30 and temperatures of 0.5 leave 1e-5 of the probability of a class to the rounding of the logits. A
    # gradient of zero, as with one class, is a difference of terms near 1, or near 2 at a temperature of 0.5, that each
    # are rounded.
    relative, absolute = (2e-5, 1e-7) if narrow else (1e-12, 1e-15)
    absolute /= 0.5 if options["temperature"] == 0.5 else 1.0
    assert bool((error <= (STEP[logits.dtype] + relative) * scale + absolute).all())


def levels() -> list[str]:
    best = info().level or "off"
    order = ["off", "baseline", "avx2", "avx512"]
    return order[: order.index(best) + 1]


@pytest.mark.slow
@pytest.mark.parametrize("level", levels())
def test_suite_of_losses_passes_on_every_path(level: str) -> None:
    here = Path(__file__)
    names = (
        "test_cross_entropy.py",
        "test_cross_entropy_and_grad.py",
        "test_cross_entropy_definition.py",
        "test_linear_cross_entropy.py",
        "test_small.py",
        "../kernels/test_regression.py",
        "../models/test_number_embedding.py",
        "../train/test_optim.py",
        here.name,
    )
    tests = [str(here.parent / name) for name in names]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", *tests]
    environment = os.environ | {"CROSSENT_KERNELS": level}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]


@pytest.mark.skipif(not info().available, reason="without kernels all is left to torch")
@pytest.mark.parametrize("shape", [(3, 4), (300, 400)])
def test_tensors_that_lie_nowhere_are_left_to_torch_or_refused(shape: tuple[int, int]) -> None:
    target = torch.arange(shape[0]) % shape[1]
    zeros = torch._efficientzerotensor(shape)
    torch.testing.assert_close(ce.cross_entropy(zeros, target), torch.tensor(math.log(shape[1])))
    torch.testing.assert_close(ce.cross_entropy_and_grad(zeros, target)[0], torch.tensor(math.log(shape[1])))
    torch.testing.assert_close(ce.cross_entropy(torch.randn(shape), zeros), torch.tensor(0.0))
    freed = torch.randn(shape)
    freed.untyped_storage().resize_(0)
    for loss in (ce.cross_entropy, ce.cross_entropy_and_grad):
        with pytest.raises(ShapeError, match="was freed"):
            loss(freed, target)
    with pytest.raises(ShapeError, match="was freed"):
        ce.cross_entropy_and_grad(torch.randn(shape), target, out=freed)
    layer = torch.randn(7, shape[1])
    with pytest.raises(ShapeError, match="was freed"):
        ce.linear_cross_entropy(freed, layer, target % 7)
    assert ce.linear_cross_entropy(zeros, layer, target % 7).item() == pytest.approx(math.log(7))
