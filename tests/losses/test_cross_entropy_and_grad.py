import itertools

import pytest
import torch

import crossent as ce
from crossent.errors import SettingError, ShapeError

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
