"""linear_cross_entropy against the cross entropy of whole logits in float64, in tiles of every kind."""

import math

import pytest
import torch
from torch.nn import functional

import crossent as ce
from crossent.errors import ShapeError
from crossent.kernels import info
from crossent.kernels.linear import Layer
from crossent.losses import linear_tiles

native = pytest.mark.skipif(not info().available, reason="there are no native kernels here")

# (n, d, C): the fused kernel, with several shares of rows; one product for all classes; odd sizes.
SHAPES = [(5000, 9, 7), (70, 33, 100), (3, 1, 40), (1, 5, 2), (17, 4, 32), (17, 4, 33), (150, 6, 2500)]


def draw(n: int, d: int, num_classes: int, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(n, d, generator=generator, dtype=torch.float64)
    weight = torch.randn(num_classes, d, generator=generator, dtype=torch.float64)
    bias = torch.randn(num_classes, generator=generator, dtype=torch.float64)
    target = torch.randint(0, num_classes, (n,), generator=generator)
    return inputs.to(dtype), weight.to(dtype), bias.to(dtype), target


def whole(
    inputs: torch.Tensor,
    weight: torch.Tensor,
    target: torch.Tensor,
    *,
    linear_bias: torch.Tensor | None,
    **options: object,
) -> torch.Tensor:
    return ce.cross_entropy(functional.linear(inputs, weight, linear_bias), target, **options)


def compare(
    leaves: tuple[torch.Tensor, torch.Tensor, torch.Tensor | None],
    target: torch.Tensor,
    options: dict[str, object],
    tolerance: float,
) -> None:
    """Compare loss and gradients with those of whole logits in float64, relative to the largest of each."""
    results = []
    for function, dtype in ((ce.linear_cross_entropy, None), (whole, torch.float64)):
        inputs, weight, bias = (
            None if leaf is None else leaf.detach().to(dtype or leaf.dtype).requires_grad_() for leaf in leaves
        )
        given = target.to(dtype or target.dtype) if target.is_floating_point() else target
        loss = function(inputs, weight, given, linear_bias=bias, **options)
        scale = torch.linspace(1, 2, loss.numel(), dtype=loss.dtype).view(loss.shape)
        (loss * scale).sum().backward()
        results.append([loss.detach(), inputs.grad, weight.grad] + ([] if bias is None else [bias.grad]))
    for ours, theirs in zip(*results, strict=True):
        assert ours.shape == theirs.shape
        error = (ours.double() - theirs.double()).abs().max()
        assert error <= tolerance * theirs.abs().max().double() + 1e-300


def options_of(n: int, num_classes: int) -> dict[str, dict[str, object]]:
    generator = torch.Generator().manual_seed(1)
    per_class = torch.rand(num_classes, generator=generator, dtype=torch.float64) + 0.1
    mask = torch.rand(n, num_classes, generator=generator) < 0.9
    mask[:, 0] = True
    return {
        "none": {},
        "sum": {"reduction": "sum"},
        "rows": {"reduction": "none", "sample_weight": torch.rand(n, generator=generator)},
        "weights": {"class_weight": per_class, "label_smoothing": 0.1},
        "unweighted": {"class_weight": per_class, "label_smoothing": 0.1, "smoothing": "unweighted"},
        "shape": {"temperature": 2.0, "softcap": 5.0, "log_prior": per_class.log(), "z_loss": 0.01},
        "focal": {"focal_gamma": 2.0, "normalizer": 3.0},
        "mask": {"class_mask": mask, "label_smoothing": 0.1},
    }


@pytest.mark.parametrize("name", list(options_of(1, 1)))
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_equals_the_loss_of_whole_logits(shape: tuple[int, int, int], name: str, dtype: torch.dtype) -> None:
    inputs, weight, bias, target = draw(*shape, dtype)
    options = options_of(shape[0], shape[2])[name]
    mask = options.get("class_mask")
    if isinstance(mask, torch.Tensor):
        mask[torch.arange(len(target)), target] = True
    compare((inputs, weight, bias), target, options, 1e-12 if dtype == torch.float64 else 5e-6)


def results_of(
    leaves: tuple[torch.Tensor, ...], target: torch.Tensor, options: dict[str, object]
) -> tuple[torch.Tensor, ...]:
    """Return loss and gradients."""
    inputs, weight, bias = (leaf.detach().clone().requires_grad_() for leaf in leaves)
    loss = ce.linear_cross_entropy(inputs, weight, target, linear_bias=bias, **options)
    loss.sum().backward()
    return loss.detach(), inputs.grad, weight.grad, bias.grad


# All at once; all classes of some rows; some classes of all rows; some of both.
TILES = {8_000_000: (300, 4500), 2_400_000: (128, 4500), 1_000_000: (384, 2048), 50_000: (128, 2048)}


@native
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", ["none", "rows", "weights", "shape", "mask"])
@pytest.mark.parametrize("soft", [False, True])
def test_any_tile_size_gives_the_same_bits(
    monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, name: str, soft: bool
) -> None:
    inputs, weight, bias, target = draw(300, 20, 4500, dtype)
    options, given = options_of(300, 4500)[name], target.clone()
    mask = options.get("class_mask")
    if isinstance(mask, torch.Tensor):
        mask[torch.arange(300), target] = True
    given[::7] = -100
    given = ce.one_hot(target, 4500, dtype=torch.float32) if soft else given
    expected = results_of((inputs, weight, bias), given, options)
    for scratch, (rows, classes) in TILES.items():
        monkeypatch.setattr(linear_tiles, "SCRATCH_BYTES", scratch)
        monkeypatch.setattr(linear_tiles, "MOST_ROWS", 384)
        size = linear_tiles.tile_size(Layer(inputs, weight, bias))
        assert (min(size.rows, 300), size.classes) == (min(rows, 300), classes)
        found = results_of((inputs, weight, bias), given, options)
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@native
@pytest.mark.parametrize("shape", [(300, 33, 20000), (2000, 64, 100), (40000, 5, 40)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_any_number_of_threads_gives_the_same_bits(shape: tuple[int, int, int], dtype: torch.dtype) -> None:
    inputs, weight, bias, target = draw(*shape, dtype)
    threads, found = torch.get_num_threads(), []
    try:
        for count in (1, 2, 3, 7):
            torch.set_num_threads(count)
            found.append(results_of((inputs, weight, bias), target, {}))
    finally:
        torch.set_num_threads(threads)
    for others in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], others, strict=True))


@pytest.mark.parametrize("shape", [(64, 8, 5), (64, 8, 60), (40, 300, 60)])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["none", "rows", "weights"])
def test_half_precision_is_computed_in_float32(shape: tuple[int, int, int], dtype: torch.dtype, name: str) -> None:
    inputs, weight, bias, target = draw(*shape, dtype)
    assert ce.linear_cross_entropy(inputs, weight, target, linear_bias=bias).dtype == torch.float32
    # The gradients are rounded once to their dtype.
    step = 2**-8 if dtype == torch.bfloat16 else 2**-11
    compare((inputs, weight, bias), target, options_of(shape[0], shape[2])[name], 2 * step)


@pytest.mark.parametrize("num_classes", [7, 100])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("with_weights", [False, True])
def test_ignored_rows_are_never_read(num_classes: int, bad: float, with_weights: bool) -> None:
    inputs, weight, _, target = draw(30, 4, num_classes)
    dropped = torch.arange(30) % 3 == 0
    inputs[dropped] = bad
    options: dict[str, object] = {"sample_weight": (~dropped).double()} if with_weights else {}
    if not with_weights:
        target[dropped] = -100
    leaf, layer = inputs.requires_grad_(), weight.requires_grad_()
    loss = ce.linear_cross_entropy(leaf, layer, target, **options)
    loss.backward()
    kept = inputs.detach()[~dropped].requires_grad_()
    kept_layer = weight.detach().requires_grad_()
    expected = ce.linear_cross_entropy(kept, kept_layer, target[~dropped])
    expected.backward()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(layer.grad, kept_layer.grad)
    torch.testing.assert_close(leaf.grad[~dropped], kept.grad)
    assert not leaf.grad[dropped].any()


@pytest.mark.parametrize("num_classes", [5, 50])
@pytest.mark.parametrize("rows", [0, 3])
@pytest.mark.parametrize("empty", ["nan", "zero"])
def test_nothing_that_counts(num_classes: int, rows: int, empty: str) -> None:
    inputs, weight = torch.randn(rows, 4, requires_grad=True), torch.randn(num_classes, 4, requires_grad=True)
    target = torch.full((rows,), -100)
    loss = ce.linear_cross_entropy(inputs, weight, target, empty=empty)
    loss.backward()
    assert loss.isnan().item() == (empty == "nan")
    assert not inputs.grad.any()
    assert not weight.grad.any()


@pytest.mark.parametrize("num_classes", [6, 60])
def test_input_of_any_dimensions(num_classes: int) -> None:
    inputs, weight, bias, target = draw(24, 5, num_classes)
    expected = ce.linear_cross_entropy(inputs, weight, target, linear_bias=bias, reduction="none")
    shaped = inputs.view(2, 3, 4, 5)
    found = ce.linear_cross_entropy(shaped, weight, target.view(2, 3, 4), linear_bias=bias, reduction="none")
    assert torch.equal(found, expected.view(2, 3, 4))
    one = ce.linear_cross_entropy(inputs[0], weight, target[0], linear_bias=bias, reduction="none")
    torch.testing.assert_close(one, expected[0])
    soft = ce.one_hot(target, num_classes, dtype=torch.float64)
    found = ce.linear_cross_entropy(shaped, weight, soft.view(2, 3, 4, -1), linear_bias=bias)
    torch.testing.assert_close(found, expected.mean())


@pytest.mark.parametrize("num_classes", [6, 60])
def test_layouts_are_read_right(num_classes: int) -> None:
    inputs, weight, bias, target = draw(24, 5, num_classes)
    expected = ce.linear_cross_entropy(inputs, weight, target, linear_bias=bias)
    spread = inputs.repeat_interleave(2, 1)[:, ::2]
    turned = weight.t().contiguous().t()
    torch.testing.assert_close(ce.linear_cross_entropy(spread, turned, target.int(), linear_bias=bias), expected)


@pytest.mark.parametrize("num_classes", [4, 40])
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_derivatives_of_any_order(num_classes: int, reduction: str) -> None:
    inputs, weight, bias, target = draw(3, 2, num_classes)
    leaves = tuple(leaf.requires_grad_() for leaf in (inputs, weight, bias))

    def loss(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return ce.linear_cross_entropy(x, w, target, linear_bias=b, reduction=reduction, label_smoothing=0.1)

    assert torch.autograd.gradcheck(loss, leaves)
    assert torch.autograd.gradgradcheck(loss, leaves)


@pytest.mark.parametrize("num_classes", [4, 40])
def test_backward_a_second_time_gives_the_same(num_classes: int) -> None:
    inputs, weight, _, target = draw(30, 6, num_classes)
    leaf = weight.requires_grad_()
    loss = 3 * ce.linear_cross_entropy(inputs, leaf, target)
    (first,) = torch.autograd.grad(loss, leaf, retain_graph=True)
    kept = first.clone()
    (second,) = torch.autograd.grad(loss, leaf)
    torch.testing.assert_close(first, kept, rtol=0, atol=0)
    torch.testing.assert_close(second, kept)


def test_one_of_three_leaves_alone() -> None:
    inputs, weight, bias, target = draw(30, 6, 8)
    for i in range(3):
        leaves = [leaf.clone() for leaf in (inputs, weight, bias)]
        every = [leaf.clone().requires_grad_() for leaf in (inputs, weight, bias)]
        leaves[i].requires_grad_()
        ce.linear_cross_entropy(leaves[0], leaves[1], target, linear_bias=leaves[2]).backward()
        ce.linear_cross_entropy(every[0], every[1], target, linear_bias=every[2]).backward()
        torch.testing.assert_close(leaves[i].grad, every[i].grad)


def test_torch_func_sees_through_it() -> None:
    inputs, weight, bias, target = draw(10, 3, 5)
    gradient = torch.func.grad(lambda w: ce.linear_cross_entropy(inputs, w, target, linear_bias=bias))(weight)
    leaf = weight.requires_grad_()
    ce.linear_cross_entropy(inputs, leaf, target, linear_bias=bias).backward()
    torch.testing.assert_close(gradient, leaf.grad)


@pytest.mark.slow
def test_compiles_without_a_break() -> None:
    inputs, weight, bias, target = draw(40, 8, 50, torch.float32)
    compiled = torch.compile(ce.linear_cross_entropy, fullgraph=True)
    ours, theirs = weight.clone().requires_grad_(), weight.clone().requires_grad_()
    found, expected = (
        compiled(inputs, ours, target, linear_bias=bias),
        ce.linear_cross_entropy(inputs, theirs, target, linear_bias=bias),
    )
    torch.testing.assert_close(found, expected)
    found.backward()
    expected.backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


@native
def test_any_number_of_threads_gives_the_same_bits_with_few_classes() -> None:
    inputs, weight, bias, target = draw(50_000, 12, 10, torch.float32)
    threads, found = torch.get_num_threads(), []
    try:
        for count in (1, 2, 3, 7):
            torch.set_num_threads(count)
            leaves = [leaf.detach().clone().requires_grad_() for leaf in (inputs, weight, bias)]
            loss = ce.linear_cross_entropy(leaves[0], leaves[1], target, linear_bias=leaves[2])
            loss.backward()
            found.append((loss.detach(), *(leaf.grad for leaf in leaves)))
    finally:
        torch.set_num_threads(threads)
    for others in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], others, strict=True))


@pytest.mark.parametrize("num_classes", [6, 60])
def test_bad_class_index_is_named(num_classes: int) -> None:
    inputs, weight, _, target = draw(24, 5, num_classes)
    target[17] = num_classes
    with pytest.raises(ShapeError, match=rf"target\[17\] is {num_classes}"):
        ce.linear_cross_entropy(inputs, weight, target)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"linear_weight": torch.zeros(6, 4)}, "weight"),
        ({"linear_weight": torch.zeros(6, 5, dtype=torch.float32)}, "dtype|float32"),
        ({"linear_bias": torch.zeros(5, dtype=torch.float64)}, "bias"),
        ({"target": torch.zeros(23, dtype=torch.int64)}, "target"),
        ({"sample_weight": torch.zeros(23)}, "sample_weight"),
        ({"class_mask": torch.zeros(24, 5, dtype=torch.bool)}, "class_mask"),
        ({"class_weight": torch.zeros(5)}, "class_weight"),
    ],
)
def test_shapes_that_do_not_fit_are_named(change: dict[str, torch.Tensor], words: str) -> None:
    inputs, weight, bias, target = draw(24, 5, 6)
    with pytest.raises(ShapeError, match=words):
        ce.linear_cross_entropy(
            **{"input": inputs, "linear_weight": weight, "linear_bias": bias, "target": target} | change
        )
