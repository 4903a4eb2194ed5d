import math

import numpy as np
import pytest
import torch
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


def test_small_losses_keep_their_digits() -> None:
    logits = torch.tensor([[20.0, 0.0, 0.0]], requires_grad=True)
    loss = ce.cross_entropy(logits, torch.tensor([0]))
    loss.backward()
    exact = math.log1p(2 * math.exp(-20))
    assert loss.item() == pytest.approx(exact, rel=1e-6)
    assert logits.grad is not None
    assert logits.grad[0].tolist() == pytest.approx([-exact, exact / 2, exact / 2], rel=1e-6)


@pytest.mark.parametrize("spread", [0.1, 3.0, 30.0])
@pytest.mark.parametrize("soft", [False, True])
def test_every_digit_of_the_gradient_in_float32(spread: float, soft: bool) -> None:
    logits = spread * torch.randn(20, 5000, generator=generator())
    target = torch.randint(0, 5000, (20,), generator=generator())
    target[:10] = logits[:10].argmax(1)
    narrow, wide = logits.clone().requires_grad_(), logits.double().requires_grad_()
    given = ce.one_hot(target, 5000, dtype=torch.float64) if soft else target
    ce.cross_entropy(narrow, given, reduction="sum").backward()
    functional.cross_entropy(wide, target, reduction="sum").backward()
    assert narrow.grad is not None
    assert wide.grad is not None
    exact = wide.grad.clone()
    # The target's own entry is p - 1, which torch rounds in float64 too.
    exact[torch.arange(20), target] = 0
    exact[torch.arange(20), target] = -exact.sum(1)
    torch.testing.assert_close(narrow.grad.double(), exact, rtol=2e-5, atol=1e-30)


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


@pytest.mark.parametrize(
    ("row", "label", "loss", "gradient"),
    [
        ([0.0, -math.inf], 1, math.inf, [1.0, -1.0]),
        ([0.0, -math.inf], 0, 0.0, [0.0, 0.0]),
        ([0.0, math.inf], 1, 0.0, [0.0, 0.0]),
        ([0.0, math.inf], 0, math.inf, [-1.0, 1.0]),
        ([math.inf, math.inf], 0, math.nan, [math.nan, math.nan]),
        ([-math.inf, -math.inf], 0, math.nan, [math.nan, math.nan]),
        ([math.nan, 0.0], 0, math.nan, [math.nan, math.nan]),
        ([-math.inf], 0, math.nan, [math.nan]),
        ([math.nan], 0, math.nan, [math.nan]),
        ([5.0], 0, 0.0, [0.0]),
    ],
)
@pytest.mark.parametrize("focal_gamma", [0.0, 0.5])
def test_infinite_logits_give_the_limit(
    row: list[float], label: int, loss: float, gradient: list[float], focal_gamma: float
) -> None:
    logits = torch.tensor([row], requires_grad=True)
    result = ce.cross_entropy(logits, torch.tensor([label]), focal_gamma=focal_gamma)
    result.backward()
    np.testing.assert_equal(result.item(), loss)
    assert logits.grad is not None
    np.testing.assert_array_equal(logits.grad[0].numpy(), gradient)


def test_class_of_weight_zero_counts_nothing_though_impossible() -> None:
    logits = torch.tensor([[0.0, -math.inf], [0.0, 0.0]], requires_grad=True)
    loss = ce.cross_entropy(logits, torch.tensor([1, 0]), torch.tensor([1.0, 0.0]))
    loss.backward()
    assert loss.item() == pytest.approx(math.log(2))
    assert logits.grad is not None
    assert logits.grad[0].tolist() == [0.0, 0.0]


def test_unsigned_bytes_have_no_class_to_ignore() -> None:
    logits = torch.randn(2, 200, generator=generator())
    target = torch.tensor([156, 3])
    assert ce.cross_entropy(logits, target.to(torch.uint8)).item() == ce.cross_entropy(logits, target).item()


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


def test_rows_and_classes_that_do_not_count_are_never_read_under_any_option() -> None:
    logits = torch.randn(4, 3, generator=generator())
    logits[1] = math.nan
    logits[2, 0] = math.nan
    logits[3] = math.inf
    logits.requires_grad_()
    sample_weight = torch.tensor([1.0, 1.0, 2.0, 0.0], requires_grad=True)
    mask = torch.tensor([[True] * 3, [False] * 3, [False, True, True], [True] * 3])
    loss = ce.cross_entropy(
        logits,
        torch.tensor([0, -100, 2, 1]),
        label_smoothing=0.1,
        sample_weight=sample_weight,
        temperature=2.0,
        z_loss=0.1,
        softcap=5.0,
        focal_gamma=2.0,
        class_mask=mask,
    )
    loss.backward()
    assert math.isfinite(loss.item())
    assert logits.grad is not None
    assert sample_weight.grad is not None
    assert (logits.grad == 0).tolist() == [[False] * 3, [True] * 3, [True, False, False], [True] * 3]
    assert (sample_weight.grad == 0).tolist() == [False, True, False, True]


def test_mask_of_rows_as_sample_weight() -> None:
    logits, target = torch.randn(3, 4, generator=generator()), torch.tensor([0, 1, 2])
    keep = torch.tensor([True, False, True])
    masked = ce.cross_entropy(logits, target, sample_weight=keep)
    torch.testing.assert_close(masked, ce.cross_entropy(logits[keep], target[keep]))


def test_class_mask_leaves_classes_out() -> None:
    logits = torch.randn(3, 5, 2, generator=generator())
    target = torch.tensor([[0, 1], [1, 0], [0, 0]])
    possible = torch.tensor([True, True, False, True, False])
    expected = ce.cross_entropy(logits[:, possible], target, label_smoothing=0.2)
    for mask in (possible, possible[:, None].expand(3, 5, 2)):
        torch.testing.assert_close(ce.cross_entropy(logits, target, label_smoothing=0.2, class_mask=mask), expected)
    assert ce.cross_entropy(logits, target + 2, class_mask=possible).item() == math.inf


def test_focal_loss_by_hand() -> None:
    logits = torch.tensor([[math.log(3.0), 0.0]], dtype=torch.float64)
    loss = ce.cross_entropy(logits, torch.tensor([0]), focal_gamma=2.0)
    assert loss.item() == pytest.approx(0.25**2 * -math.log(0.75))


@pytest.mark.parametrize("focal_gamma", [0.01, 0.1, 1.0, 2.0])
@pytest.mark.parametrize("margin", [0.0, 50.0, 87.0, 88.0, 100.0, 104.0, 200.0])
def test_focal_gradients_shrink_with_the_loss(margin: float, focal_gamma: float) -> None:
    narrow = torch.tensor([[margin, 0.0, 0.0]], requires_grad=True)
    wide = narrow.detach().double().requires_grad_()
    for logits in (narrow, wide):
        ce.cross_entropy(logits, torch.tensor([0]), focal_gamma=focal_gamma).backward()
    assert narrow.grad is not None
    assert wide.grad is not None
    torch.testing.assert_close(narrow.grad.double(), wide.grad, rtol=1e-5, atol=3e-38)


def test_z_loss_by_hand() -> None:
    logits = torch.full((1, 4), math.log(2.0), dtype=torch.float64)
    loss = ce.cross_entropy(logits, torch.tensor([0]), z_loss=0.5)
    assert loss.item() == pytest.approx(math.log(4) + 0.5 * math.log(8) ** 2)


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


DERIVED = [
    {},
    {"reduction": "sum", "label_smoothing": 0.1},
    {"reduction": "none", "label_smoothing": 0.1, "smoothing": "unweighted"},
    {"temperature": 2.0, "softcap": 3.0},
    {"focal_gamma": 2.0, "z_loss": 0.1},
    {"focal_gamma": 0.5, "label_smoothing": 0.1},
    {"normalizer": 3.0, "log_prior": torch.tensor([0.1, -1.0, 0.5], dtype=torch.float64)},
    {"sample_weight": torch.tensor([0.5, 0.0, 2.0, 1.0], dtype=torch.float64), "empty": "zero"},
    {"class_mask": torch.tensor([[True, False, True]]).expand(4, 3), "label_smoothing": 0.1},
]


@pytest.mark.parametrize("options", DERIVED)
@pytest.mark.parametrize("soft", [False, True])
def test_first_and_second_derivatives(options: dict[str, object], soft: bool) -> None:
    logits = torch.randn(4, 3, dtype=torch.float64, generator=generator(), requires_grad=True)
    target = torch.tensor([0, 2, -100, 0])
    if soft:
        target = torch.tensor([[0.5, 0.0, 0.7], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.2, 0.0, 0.3]]).double()
    weight = torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64)

    def loss(z: torch.Tensor) -> torch.Tensor:
        return ce.cross_entropy(z, target, weight, **options)

    assert torch.autograd.gradcheck(loss, logits)
    assert torch.autograd.gradgradcheck(loss, logits)


def test_derivatives_by_the_target_and_the_weights() -> None:
    logits = torch.randn(4, 3, dtype=torch.float64, generator=generator(), requires_grad=True)
    target = torch.rand(4, 3, dtype=torch.float64, generator=generator())
    target[0, 0] = 0
    weights = (torch.rand(k, dtype=torch.float64, generator=generator()).requires_grad_() for k in (3, 4, 3))
    inputs = (logits, target.requires_grad_(), *weights)

    def loss(
        z: torch.Tensor, q: torch.Tensor, class_weight: torch.Tensor, sample_weight: torch.Tensor, prior: torch.Tensor
    ) -> torch.Tensor:
        return ce.cross_entropy(z, q, class_weight, sample_weight=sample_weight, log_prior=prior)

    assert torch.autograd.gradcheck(loss, inputs)


@pytest.mark.parametrize(
    "options", [{}, {"label_smoothing": 0.1}, {"focal_gamma": 1.0, "z_loss": 0.1, "softcap": 3.0, "empty": "zero"}]
)
def test_function_transforms(options: dict[str, object]) -> None:
    logits, target = torch.randn(6, 3, generator=generator()), torch.tensor([0, 1, 2, 0, -100, 2])

    def loss(z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return ce.cross_entropy(z, y, **options)

    rows = torch.func.vmap(torch.func.grad(loss))(logits, target)
    batch = logits.clone().requires_grad_()
    ce.cross_entropy(batch, target, reduction="sum", **options).backward()
    torch.testing.assert_close(rows, batch.grad)


def test_hessian_is_the_softmax_covariance() -> None:
    logits = torch.randn(3, dtype=torch.float64, generator=generator())
    probs = logits.softmax(0)
    for label in range(3):
        hessian = torch.func.hessian(ce.cross_entropy)(logits, torch.tensor(label))
        torch.testing.assert_close(hessian, probs.diag() - probs.outer(probs))


def test_no_rows() -> None:
    assert math.isnan(ce.cross_entropy(torch.zeros(0, 3), torch.zeros(0, dtype=torch.long)).item())
    assert ce.cross_entropy(torch.zeros(0, 3), torch.zeros(0, 3), empty="zero").item() == 0


@pytest.mark.parametrize(
    ("logits", "target", "words"),
    [
        (torch.zeros(3, 4), torch.tensor([0, 4, 1]), r"target\[1\] is 4.*Subtract 1"),
        (torch.zeros(3, 4), torch.tensor([0, -1, 1]), r"target\[1\] is -1"),
        (torch.zeros(3, 4), torch.tensor([[0], [1], [2]]), r"squeeze\(-1\)"),
        (torch.zeros(3, 4), torch.zeros(3, 4, dtype=torch.long), "one-hot"),
        (torch.zeros(3, 4), torch.zeros(3), r"target\.long\(\)"),
        (torch.zeros(3, 4), torch.zeros(3, 1), r"target\.squeeze\(-1\)\.long\(\)"),
        (torch.zeros(3, 4), torch.zeros(3, 5), r"\(3, 5\)"),
        (torch.zeros(3, 4), torch.zeros(3, dtype=torch.bool), "torch.bool"),
        (torch.zeros(3, 7, 4), torch.zeros(3, 7, dtype=torch.long), r"movedim\(-1, 1\)"),
        (torch.zeros(3, 0), torch.zeros(3, dtype=torch.long), "at least one class"),
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
        ({"z_loss": -1.0}, "z_loss"),
        ({"softcap": 0.0}, "softcap"),
        ({"focal_gamma": math.inf}, "focal_gamma"),
        ({"normalizer": 0.0}, "normalizer"),
        ({"normalizer": 2.0, "reduction": "sum"}, "normalizer.*'sum'"),
        ({"softcap": 1e308}, "softcap is from 1e-30 to 1e"),
        ({"softcap": 1e-50}, "softcap"),
        ({"z_loss": 1e308}, "z_loss"),
        ({"focal_gamma": 1e308}, "focal_gamma"),
        ({"normalizer": 1e-320}, "normalizer"),
        ({"ignore_index": 2**64 + 1}, "ignore_index is a whole number.*It is 18446744073709551617"),
        ({"ignore_index": -(2**63) - 1}, "ignore_index"),
        ({"ignore_index": 1.5}, "ignore_index"),
        ({"ignore_index": None}, "ignore_index"),
    ],
)
def test_wrong_settings_say_their_bounds(options: dict[str, object], words: str) -> None:
    for loss in (ce.cross_entropy, ce.cross_entropy_and_grad):
        with pytest.raises(SettingError, match=words):
            loss(torch.zeros(2, 3), torch.tensor([0, 1]), **options)
    if options != {"ignore_index": None}:  # torch's loss of a linear layer takes it
        with pytest.raises(SettingError, match=words):
            ce.linear_cross_entropy(torch.zeros(2, 3), torch.zeros(3, 3), torch.tensor([0, 1]), **options)
    with pytest.raises(SettingError, match=words):
        ce.nn.CrossEntropyLoss(**options)


@pytest.mark.parametrize("name", ["class_weight", "log_prior", "sample_weight", "class_mask"])
def test_wrong_weights_are_named(name: str) -> None:
    with pytest.raises(ShapeError, match=name):
        ce.cross_entropy(torch.zeros(2, 3), torch.tensor([0, 1]), **{name: torch.ones(4)})


@pytest.mark.parametrize("value", [2**64 - 100, 2**64 - 1])
def test_unsigned_indices_beyond_63_bits_are_out_of_range(value: int) -> None:
    target = torch.tensor([0, value], dtype=torch.uint64)
    with pytest.raises(ShapeError, match=r"target\[1\]"):
        ce.cross_entropy(torch.zeros(2, 3), target)
    with pytest.raises(ShapeError, match=r"target\[1\]"):
        ce.cross_entropy(torch.zeros(2, 3), target, focal_gamma=2.0, label_smoothing=0.1)


@pytest.mark.parametrize(
    "setting", [{"softcap": 1e30}, {"softcap": 1e-30}, {"z_loss": 1e30}, {"normalizer": 1e-30}, {"focal_gamma": 1e30}]
)
def test_settings_at_their_bounds_give_numbers(setting: dict[str, float]) -> None:
    logits = torch.tensor([[1.0, -2.0, 0.0], [0.0, 0.0, 0.0], [100.0, 3.0, 1e-3]])
    for target in (torch.tensor([1, 2, 0]), torch.eye(3)):
        loss, grad = ce.cross_entropy_and_grad(logits, target, **setting)
        assert loss.isfinite()
        assert bool(grad.isfinite().all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
@pytest.mark.parametrize("softcap", [1e-3, 0.5, 3.0, 30.0, 1e20])
@pytest.mark.parametrize("focal", [False, True])
def test_the_slope_of_the_softcap_keeps_its_digits(dtype: torch.dtype, softcap: float, focal: bool) -> None:
    logits = (torch.tensor([0.001, 0.1, 1.0, 4.0, 30.0]).unsqueeze(1) * torch.randn(5, 7, generator=generator())).to(
        dtype
    )
    target = torch.arange(5)
    # By hand: with q = exp(-2 |x|), tanh is (1 - q) / (1 + q) and its slope 4 q / (1 + q)^2.
    x = logits.double() / softcap
    q = torch.exp(-2 * x.abs())
    capped = softcap * x.sign() * -torch.expm1(-2 * x.abs()) / (1 + q)
    probs = capped.softmax(1)
    hot = functional.one_hot(target, 7)
    exact = torch.where(hot == 1, -(probs * (1 - hot)).sum(1, keepdim=True), probs) * 4 * q / (1 + q) ** 2
    # A focal factor with a soft target is left to plain torch; one of nearly 0 changes nothing else.
    given = functional.one_hot(target, 7).to(dtype) if focal else target
    options = {"focal_gamma": 1e-20} if focal else {}
    _, grad = ce.cross_entropy_and_grad(logits, given, softcap=softcap, reduction="sum", **options)
    step = {torch.float32: 5e-6, torch.float64: 1e-13, torch.float16: 1e-3}[dtype]
    # Numbers below the smallest normal one are rounded to zero.
    least = {torch.float32: 1.2e-38, torch.float64: 1e-300, torch.float16: 6e-8}[dtype]
    bound = step * exact.abs().amax(1, keepdim=True) + least
    assert bool(((grad.double() - exact).abs() <= bound).all())
