import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import crossent as ce
from crossent.errors import SettingError, ShapeError
from crossent.losses.plain import plain_cross_entropy
from crossent.losses.terms import LossTerms

OPTIONS = [
    {},
    {"reduction": "sum", "label_smoothing": 0.1, "class_weight": torch.arange(1.0, 7.0)},
    {"reduction": "none", "temperature": 2.0, "softcap": 5.0},
    {"normalizer": 3.0, "z_loss": 0.1, "focal_gamma": 2.0},
    {"sample_weight": torch.tensor([0.0, 1.0, 2.0, 0.5]), "log_prior": torch.linspace(-1, 1, 6)},
    {"class_mask": torch.tensor([True, True, True, True, False, True])},
]
SHAPES = [(4, 6), (4, 6, 1), (2, 6, 1, 2)]


def draw(shape: tuple[int, ...], dtype: torch.dtype, *, soft: bool) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(shape, generator=generator)
    rows = shape[:1] + shape[2:]
    target = torch.randint(0, 4, rows, generator=generator)
    return logits.to(dtype), ce.one_hot(target, 6).movedim(-1, 1).to(dtype) if soft else target


def by_autograd(logits: torch.Tensor, target: torch.Tensor, **options: object) -> tuple[torch.Tensor, torch.Tensor]:
    leaf = logits.detach().clone().requires_grad_()
    loss = ce.cross_entropy(leaf, target, **options)
    loss.sum().backward()
    assert leaf.grad is not None
    return loss.detach(), leaf.grad


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("shape", SHAPES)
def test_equals_autograd(shape: tuple[int, ...], options: dict[str, object], soft: bool, dtype: torch.dtype) -> None:
    logits, target = draw(shape, dtype, soft=soft)
    if "sample_weight" in options:
        options = options | {"sample_weight": options["sample_weight"].reshape(shape[:1] + shape[2:])}
    loss, grad = ce.cross_entropy_and_grad(logits, target, **options)
    expected_loss, expected = by_autograd(logits, target, **options)
    torch.testing.assert_close(loss, expected_loss)
    torch.testing.assert_close(grad, expected)
    assert not loss.requires_grad
    assert not grad.requires_grad


@pytest.mark.parametrize("num_classes", [6, 5000])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_in_place_of_the_logits(dtype: torch.dtype, num_classes: int) -> None:
    logits = torch.randn(9, num_classes, generator=torch.Generator().manual_seed(0)).to(dtype)
    target = torch.arange(9) % 5
    loss, expected = ce.cross_entropy_and_grad(logits, target)
    kept = logits.clone()
    same_loss, grad = ce.cross_entropy_and_grad(kept, target, out=kept)
    assert grad is kept
    assert torch.equal(loss, same_loss)
    torch.testing.assert_close(grad, expected)


def test_out_may_lie_anywhere() -> None:
    logits, target = draw((4, 6), torch.float32, soft=False)
    _, expected = ce.cross_entropy_and_grad(logits, target)
    shared = torch.cat([logits, torch.zeros(1, 6)])
    rooms = [torch.empty(6, 4).t(), torch.empty(4, 12)[:, ::2], shared[1:]]
    for room in rooms:
        ce.cross_entropy_and_grad(shared[:4] if room is rooms[2] else logits, target, out=room)
        torch.testing.assert_close(room, expected)
    # Four dimensions that are no three: the rows cannot be seen as one dimension of this room.
    logits, target = draw((2, 6, 3, 2), torch.float32, soft=False)
    room = torch.empty(2, 6, 2, 3).transpose(2, 3)
    ce.cross_entropy_and_grad(logits, target, out=room)
    torch.testing.assert_close(room, ce.cross_entropy_and_grad(logits, target)[1])


def test_carries_on_into_the_layer_before() -> None:
    layer, rows, target = torch.nn.Linear(4, 3), torch.randn(5, 4), torch.tensor([0, 1, 2, 0, 1])
    ce.cross_entropy(layer(rows), target).backward()
    expected = layer.weight.grad.clone()
    layer.weight.grad = None
    logits = layer(rows)
    _, grad = ce.cross_entropy_and_grad(logits, target, out=logits.detach())
    logits.backward(grad)
    torch.testing.assert_close(layer.weight.grad, expected)


def test_overwritten_logits_that_autograd_needs_are_noticed() -> None:
    raw = torch.randn(5, 3, requires_grad=True)
    logits = raw.tanh()  # its derivative is made of its result
    _, grad = ce.cross_entropy_and_grad(logits, torch.tensor([0, 1, 2, 0, 1]), out=logits.detach())
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        logits.backward(grad)


@pytest.mark.parametrize("soft_and_focal", [False, True])
def test_bad_target_raises_before_anything_is_written(soft_and_focal: bool) -> None:
    logits, _ = draw((4, 6), torch.float32, soft=False)
    kept = logits.clone()
    options = {"focal_gamma": 2.0, "label_smoothing": 0.1} if soft_and_focal else {}
    with pytest.raises(ShapeError, match=r"target\[2\] is 6"):
        ce.cross_entropy_and_grad(kept, torch.tensor([0, 1, 6, 2]), **options, out=kept)
    assert torch.equal(kept, logits)


@pytest.mark.parametrize(
    ("out", "words"),
    [
        (torch.empty(4, 5), r"shape \(4, 5\)"),
        (torch.empty(4, 6, dtype=torch.float64), "float64"),
        (torch.empty(4, 1).expand(4, 6), "expanded"),
    ],
)
def test_out_that_has_no_room_is_refused(out: torch.Tensor, words: str) -> None:
    logits, target = draw((4, 6), torch.float32, soft=False)
    with pytest.raises(ShapeError, match=words):
        ce.cross_entropy_and_grad(logits, target, out=out)


def test_options_are_checked() -> None:
    logits, target = draw((4, 6), torch.float32, soft=False)
    with pytest.raises(SettingError, match="label_smoothing"):
        ce.cross_entropy_and_grad(logits, target, label_smoothing=1.5)


def test_rows_that_do_not_count_have_zero_gradient() -> None:
    logits = torch.tensor([[1.0, 2.0], [torch.nan, torch.inf]])
    for empty, kept in itertools.product(("nan", "zero"), (0, -100)):
        loss, grad = ce.cross_entropy_and_grad(logits, torch.tensor([kept, -100]), empty=empty)
        assert grad[1].tolist() == [0.0, 0.0]
        if kept == -100:
            assert grad[0].tolist() == [0.0, 0.0]
            assert loss.isnan().item() == (empty == "nan")


# Around the sizes of vectors, of groups of rows and of blocks, of every instruction set.
SIZES = [1, 2, 3, 7, 8, 9, 31, 33, 127, 128, 129, 255, 256, 257, 511, 513, 1023, 1024, 1025, 2047, 2048, 2049, 5000]
EVERY_DTYPE = [torch.float32, torch.float64, torch.bfloat16, torch.float16]
FORMS = ["index", "distribution", "one-hot"]
LAYOUTS = ["row", "contiguous", "padded", "strided", "classes before positions", "channels last"]


@dataclasses.dataclass(frozen=True, eq=False)
class Call:
    """A call of the loss."""

    logits: torch.Tensor
    target: torch.Tensor
    options: dict[str, Any]

    def run(self, logits: torch.Tensor, out: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        return ce.cross_entropy_and_grad(logits, self.target, **self.options, out=out)


def lay_out(values: torch.Tensor, layout: str) -> torch.Tensor:
    """Return the values of ``(n, K, S)``, or of a part of them, as they would lie in that layout."""
    n, num_classes, _ = values.shape
    if layout == "row":
        return values[0, :, 0].clone()
    if layout == "contiguous":
        return values[:, :, 0].clone()
    if layout == "padded":
        return torch.zeros(n, num_classes + 3, dtype=values.dtype)[:, :num_classes].copy_(values[:, :, 0])
    if layout == "strided":
        return torch.zeros(n, 2 * num_classes, dtype=values.dtype)[:, ::2].copy_(values[:, :, 0])
    if layout == "channels last":
        return values.movedim(1, -1).clone().movedim(-1, 1)
    return values.clone()


def draw_call(
    generator: torch.Generator, num_classes: int, dtype: torch.dtype, form: str, layout: str, chosen: frozenset[str]
) -> Call:
    """Draw a call with some options, in that layout."""
    shape = (9, num_classes, 2)
    logits = lay_out((3 * torch.randn(shape, generator=generator)).to(dtype), layout)
    rows = logits.movedim(1, -1).shape[:-1] if logits.ndim > 1 else torch.Size()
    target = torch.randint(0, num_classes, rows, generator=generator)
    if form == "distribution":
        target = lay_out(torch.rand(shape, generator=generator).to(dtype), layout)
    elif form == "one-hot":
        hot = ce.one_hot(target, num_classes, dtype=dtype)
        target = hot if hot.ndim < 3 else hot.movedim(-1, 1)
    possible = torch.rand(shape, generator=generator) < 0.7
    possible[:, 0] = True
    every: dict[str, Any] = {
        "class_weight": torch.rand(num_classes, generator=generator) + 0.1,
        "label_smoothing": 0.2,
        "smoothing": "unweighted",
        "sample_weight": torch.randint(0, 3, rows, generator=generator) / 2,
        "ignore_index": num_classes // 2,
        "temperature": 1.7,
        "log_prior": torch.randn(num_classes, generator=generator),
        "z_loss": 0.01,
        "softcap": 5.0,
        "focal_gamma": 2.0,
        "class_mask": lay_out(possible, layout),
        "normalizer": 3.0,
        "empty": "zero",
    }
    return Call(logits, target, {name: every[name] for name in chosen})


OPTION_NAMES = [
    "class_weight",
    "label_smoothing",
    "smoothing",
    "sample_weight",
    "ignore_index",
    "temperature",
    "log_prior",
    "z_loss",
    "softcap",
    "focal_gamma",
    "class_mask",
]


def assert_same_bits(found: torch.Tensor, expected: torch.Tensor) -> None:
    whole = {2: torch.int16, 4: torch.int32, 8: torch.int64}[expected.element_size()]
    assert torch.equal(found.contiguous().view(whole), expected.contiguous().view(whole))


@settings(max_examples=400, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    num_classes=st.sampled_from(SIZES),
    dtype=st.sampled_from(EVERY_DTYPE),
    form=st.sampled_from(FORMS),
    layout=st.sampled_from(LAYOUTS),
    reduction=st.sampled_from(["none", "mean", "sum"]),
    chosen=st.frozensets(st.sampled_from(OPTION_NAMES), max_size=5),
)
def test_in_place_is_as_apart_and_as_the_definition_in_float64(
    seed: int, num_classes: int, dtype: torch.dtype, form: str, layout: str, reduction: str, chosen: frozenset[str]
) -> None:
    call = draw_call(torch.Generator().manual_seed(seed), num_classes, dtype, form, layout, chosen)
    call.options["reduction"] = reduction
    loss, grad = call.run(call.logits, None)
    # A copy as they lie, whatever is between them.
    in_place = torch.empty_strided(call.logits.shape, call.logits.stride(), dtype=dtype).copy_(call.logits)
    same_loss, same_grad = call.run(in_place, in_place)
    assert same_grad is in_place
    assert_same_bits(same_loss, loss)
    assert_same_bits(same_grad, grad)
    leaf = call.logits.double().requires_grad_()
    wide = {
        name: value.double() if torch.is_tensor(value) and name != "class_mask" else value
        for name, value in call.options.items()
    }
    target = call.target.double() if call.target.is_floating_point() else call.target
    exact = plain_cross_entropy(leaf, target, LossTerms(**wide))
    (exact_grad,) = torch.autograd.grad(exact.sum(), leaf)
    step = 1e-12 if dtype == torch.float64 else 1e-5
    torch.testing.assert_close(loss.double(), exact.detach(), rtol=step, atol=step, equal_nan=True)
    # Half precision rounds the gradient once.
    rounding = {torch.bfloat16: 4e-3, torch.float16: 5e-4}.get(dtype, 0.0) + step
    bound = rounding * exact_grad.abs().amax() + 1e-7 * (dtype == torch.float16)
    assert bool(((grad.double() - exact_grad).abs() <= bound).all())


@pytest.mark.slow
@pytest.mark.parametrize("dtype", EVERY_DTYPE)
@pytest.mark.parametrize("first", range(1, 5001, 1000))
def test_in_place_with_every_number_of_classes(first: int, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(first)
    smoothing = frozenset({"class_weight", "label_smoothing"})
    transformed = frozenset({"temperature", "softcap", "log_prior", "class_mask"})
    cases = [
        *((layout, frozenset[str]()) for layout in LAYOUTS),
        *(("contiguous", chosen) for chosen in (smoothing, transformed, smoothing | transformed)),
    ]
    for num_classes in range(first, first + 1000):
        layout, chosen = cases[num_classes % len(cases)]
        # Each form at each number, and the layouts and options in turn.
        for form in FORMS:
            call = draw_call(generator, num_classes, dtype, form, layout, chosen)
            loss, grad = call.run(call.logits, None)
            in_place = torch.empty_strided(call.logits.shape, call.logits.stride(), dtype=dtype).copy_(call.logits)
            same_loss, _ = call.run(in_place, in_place)
            assert_same_bits(same_loss, loss)
            assert_same_bits(in_place, grad)


@pytest.mark.parametrize("name", ["target", "class_weight", "sample_weight", "log_prior", "class_mask"])
@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("focal", [False, True])
def test_out_over_anything_but_the_logits_is_refused(name: str, in_place: bool, focal: bool) -> None:
    memory = torch.zeros(6, 6)
    given = {
        "target": memory[2:],
        "class_weight": memory[5],
        "sample_weight": memory[:4, 5],
        "log_prior": memory[2],
        "class_mask": memory.view(torch.bool)[1:5, 18:],
    }
    options: dict[str, Any] = {"target": torch.full((4, 6), 0.25)} | {name: given[name]}
    # With a focal factor, distributions are left to plain torch.
    options["focal_gamma"] = 2.0 if focal else 0.0
    out = memory[1:5] if name != "class_weight" else memory[2:]
    logits = out if in_place else torch.zeros(4, 6)
    with pytest.raises(ShapeError, match=f"It shares memory with {name}."):
        ce.cross_entropy_and_grad(logits, **options, out=out)
    assert not memory.any()


def test_out_over_part_of_an_index_is_refused() -> None:
    memory = torch.zeros(8)
    with pytest.raises(ShapeError, match="It shares memory with target"):
        ce.cross_entropy_and_grad(torch.zeros(2, 3), memory[2:6].view(torch.int64), out=memory[:6].view(2, 3))


def test_out_between_other_inputs_is_no_overlap() -> None:
    memory = torch.rand(4, 15, generator=torch.Generator().manual_seed(0))
    logits, target, out = memory[:, ::3][:, :5], memory[:, 1::3], memory[:, 2::3]
    loss, expected = ce.cross_entropy_and_grad(logits.clone(), target.clone())
    same_loss, grad = ce.cross_entropy_and_grad(logits, target, out=out)
    assert torch.equal(loss, same_loss)
    torch.testing.assert_close(grad, expected)


@pytest.mark.parametrize("shift", [1, 6])
def test_out_over_part_of_the_logits_by_another_array(shift: int) -> None:
    logits, target = draw((4, 6), torch.float32, soft=False)
    loss, expected = ce.cross_entropy_and_grad(logits, target)
    memory = np.zeros(30, np.float32)
    theirs, out = torch.from_numpy(memory[:24]).view(4, 6), torch.from_numpy(memory[shift : shift + 24]).view(4, 6)
    same_loss, grad = ce.cross_entropy_and_grad(theirs.copy_(logits), target, out=out)
    assert torch.equal(loss, same_loss)
    torch.testing.assert_close(grad, expected)


@pytest.mark.parametrize("strides", [(1, 1), (1, 3), (2, 1), (6, 0)])
def test_out_over_itself_is_refused(strides: tuple[int, int]) -> None:
    logits, target = draw((4, 6), torch.float32, soft=False)
    with pytest.raises(ShapeError, match="Each element of out has its own place in memory"):
        ce.cross_entropy_and_grad(logits, target, out=torch.zeros(40).as_strided((4, 6), strides))


@pytest.mark.parametrize("dtype", EVERY_DTYPE)
@pytest.mark.parametrize("form", ["index", "positive", "negative"])
@pytest.mark.parametrize("options", [{}, {"softcap": 3.0}, {"class_weight": torch.tensor([0.3])}, {"focal_gamma": 2.0}])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1, 0.37, 1.0])
def test_a_single_class_has_no_gradient(
    dtype: torch.dtype, form: str, options: dict[str, Any], label_smoothing: float
) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(33, 1, generator=generator).to(dtype)
    weight = torch.rand(33, generator=generator)
    targets = {
        "index": torch.zeros(33, dtype=torch.int64),
        "positive": torch.rand(33, 1, generator=generator).to(dtype),
        "negative": -torch.rand(33, 1, generator=generator).to(dtype),
    }
    for values in (logits, logits.repeat_interleave(2, 1)[:, ::2]):
        _, grad = ce.cross_entropy_and_grad(
            values, targets[form], label_smoothing=label_smoothing, sample_weight=weight, **options
        )
        assert not grad.any()
