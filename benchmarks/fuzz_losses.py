"""Random calls of the losses, each array of which ends or begins where no memory may be touched.

python benchmarks/fuzz_losses.py                 4,000 calls
python benchmarks/fuzz_losses.py --only 17       the call of one seed, with its traceback

Every array of a call, also the one for the gradient, borders on a page whose access kills the process, and on bytes
that must not change. Losses and gradients are compared with the definition in plain float64 operations; gradients that
overwrite the logits are compared, bit for bit, with gradients that do not.
"""

import ctypes
import mmap
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

import crossent as ce
from crossent.losses.plain import plain_cross_entropy
from crossent.losses.terms import LossTerms
from fuzz_cases import main

SIZES = [
    1,
    2,
    3,
    7,
    8,
    9,
    31,
    33,
    127,
    128,
    129,
    255,
    256,
    257,
    511,
    512,
    513,
    1023,
    1024,
    1025,
    2047,
    2048,
    2049,
    5000,
]
DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]
# Error of a computation in a dtype, and of rounding to it, both relative to the largest number of a row.
STEP = {torch.float32: 1e-5, torch.float64: 1e-12, torch.bfloat16: 1e-5, torch.float16: 1e-5}
ROUNDING = {torch.float32: 0.0, torch.float64: 0.0, torch.bfloat16: 4e-3, torch.float16: 5e-4}
# float16 does not distinguish numbers that are closer than this.
SMALLEST_STEP = {torch.float32: 1e-37, torch.float64: 1e-300, torch.bfloat16: 1e-37, torch.float16: 6e-8}
CANARY = 0xA5
PAGE = mmap.PAGESIZE
_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.mmap.restype = ctypes.c_void_p
_LIBC.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
_LIBC.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
_LIBC.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_PROT_NONE = 0


class Arena:
    """Memory between forbidden pages, for one case.

    Parameters
    ----------
    at_end
        Whether arrays end where a forbidden page begins, or begin where one ends.
    """

    def __init__(self, *, at_end: bool) -> None:
        self._at_end = at_end
        self._maps: list[tuple[int, int]] = []
        self._canaries: list[np.ndarray[Any, np.dtype[np.uint8]]] = []

    def place(self, values: Tensor) -> Tensor:
        """Return a copy of the values in the arena, with the same layout."""
        last = sum((size - 1) * step for size, step in zip(values.shape, values.stride(), strict=True))
        bytes_needed = (last + 1) * values.element_size()
        inside = -(-bytes_needed // PAGE) * PAGE
        begin = self._map(inside)
        memory = np.ctypeslib.as_array((ctypes.c_uint8 * inside).from_address(begin))
        memory[:] = CANARY
        first = inside - bytes_needed if self._at_end else 0
        self._canaries += [memory[:first], memory[first + bytes_needed :]]
        room = torch.frombuffer((ctypes.c_char * bytes_needed).from_address(begin + first), dtype=values.dtype)
        return room.as_strided(values.shape, values.stride()).copy_(values)

    def is_whole(self) -> bool:
        """Say whether the bytes beside the arrays are unchanged."""
        return all((canary == CANARY).all() for canary in self._canaries)

    def close(self) -> None:
        """Release the memory; arrays that were placed in it must not be used afterwards."""
        self._canaries.clear()
        for begin, size in self._maps:
            _LIBC.munmap(begin, size)

    def _map(self, inside: int) -> int:
        """Return the address of pages between two forbidden ones."""
        size = inside + 2 * PAGE
        begin = _LIBC.mmap(None, size, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
        if begin is None or begin == ctypes.c_void_p(-1).value:
            raise OSError(ctypes.get_errno(), "no memory for an arena")
        self._maps.append((begin, size))
        for guard in (begin, begin + PAGE + inside):
            if _LIBC.mprotect(guard, PAGE, _PROT_NONE):
                raise OSError(ctypes.get_errno(), "a page cannot be forbidden")
        return int(begin) + PAGE


@contextmanager
def arena_of(generator: np.random.Generator) -> Iterator[Arena]:
    arena = Arena(at_end=bool(generator.random() < 0.5))
    try:
        yield arena
    finally:
        arena.close()


@dataclass(frozen=True, eq=False)
class Call:
    """The arguments of a loss, besides its logits."""

    target: Tensor
    options: dict[str, Any]

    def on(self, arena: Arena) -> "Call":
        """Return the same call with its arrays in an arena."""
        options = {
            name: arena.place(value) if torch.is_tensor(value) else value for name, value in self.options.items()
        }
        return Call(arena.place(self.target), options)

    def exact_losses(self, logits: Tensor) -> Tensor:
        """Return the loss of float64 logits by the definition."""
        target = self.target.double() if self.target.is_floating_point() else self.target
        wide: dict[str, Any] = {
            name: widen(value) if torch.is_tensor(value) else value for name, value in self.options.items()
        }
        return plain_cross_entropy(logits, target, LossTerms(**wide))


def widen(values: Tensor) -> Tensor:
    return values.double() if values.is_floating_point() else values


def random_tensor(generator: np.random.Generator, shape: tuple[int, ...], dtype: torch.dtype, scale: float) -> Tensor:
    return torch.from_numpy(scale * generator.standard_normal(shape)).to(dtype)


def lay_out(generator: np.random.Generator, values: Tensor) -> Tensor:
    """Return the values in one of the layouts that their number of dimensions allows."""
    choice = generator.integers(4)
    if choice == 0 and values.ndim > 1:
        return torch.zeros(*values.shape[:-1], values.shape[-1] + 3, dtype=values.dtype)[..., : values.shape[-1]].copy_(
            values
        )
    if choice == 1 and values.ndim > 0:
        return torch.zeros(*values.shape[:-1], 2 * values.shape[-1], dtype=values.dtype)[..., ::2].copy_(values)
    if choice == 2 and values.ndim > 2:
        return values.movedim(1, -1).contiguous().movedim(-1, 1)
    return values.contiguous()


def draw_call(generator: np.random.Generator, shape: tuple[int, ...], dtype: torch.dtype) -> Call:
    """Draw target and options for logits of this shape."""
    num_classes = shape[min(len(shape) - 1, 1)]
    rows = shape[:1] + shape[2:] if len(shape) > 1 else ()
    index = torch.from_numpy(np.asarray(generator.integers(0, num_classes, rows)))
    kind = generator.choice(["index", "distribution", "one-hot"], p=[0.5, 0.3, 0.2])
    if kind == "index":
        fitting = [each for each in (torch.int64, torch.int32, torch.int16) if num_classes - 1 <= torch.iinfo(each).max]
        target = index.to(fitting[generator.integers(len(fitting))])
    elif kind == "distribution":
        target = random_tensor(generator, shape, dtype, 1.0).abs()
    else:
        hot = ce.one_hot(index, num_classes, dtype=dtype)
        target = hot if len(shape) < 3 else hot.movedim(-1, 1)
    possible = torch.from_numpy(generator.random(shape) < 0.7)
    possible.select(min(len(shape) - 1, 1), 0).fill_(True)
    real = [torch.float32, torch.float64][generator.integers(2)]
    every: dict[str, Any] = {
        "class_weight": random_tensor(generator, (num_classes,), real, 1.0).abs(),
        "label_smoothing": float(generator.random()),
        "smoothing": "unweighted",
        "sample_weight": torch.from_numpy(np.asarray(generator.integers(0, 3, rows))).to(real) / 2,
        "ignore_index": int(generator.integers(-1, num_classes)),
        "temperature": float(np.exp(generator.uniform(-1, 3))),
        "log_prior": random_tensor(generator, (num_classes,), real, 2.0),
        "z_loss": float(generator.random() / 10),
        "softcap": float(np.exp(generator.uniform(-1, 4))),
        "focal_gamma": float(5 * generator.random()),
        "class_mask": possible
        if generator.random() < 0.5 or len(shape) != 2
        else possible.all(0) | (torch.arange(num_classes) == 0),
        "empty": "zero",
    }
    options = {name: value for name, value in every.items() if generator.random() < 0.2}
    options["reduction"] = str(generator.choice(["none", "mean", "sum"]))
    options.setdefault("empty", "zero")
    return Call(lay_out(generator, target), options)


def draw_num_classes(generator: np.random.Generator) -> int:
    return int(generator.choice(SIZES)) if generator.random() < 0.7 else int(generator.integers(1, 6000))


def is_close(found: Tensor, exact: Tensor, bound: Tensor) -> bool:
    """Say whether numbers are within a bound, infinities being where they should."""
    same = (found.double() == exact) | ((found.double() - exact).abs() <= bound)
    return bool((same | ~exact.isfinite() & (found.isnan() == exact.isnan())).all())


def loss_is_right(found: Tensor, exact: Tensor, dtype: torch.dtype, logits: Tensor) -> bool:
    # Capped or divided logits are rounded, and a sum has the errors of all its rows.
    scale = 1 + exact[exact.isfinite()].abs().sum() + logits[logits.isfinite()].abs().amax()
    return is_close(found, exact, STEP[dtype] * scale)


def of_logits(generator: np.random.Generator, arena: Arena) -> str:
    """Run a call of a loss of logits."""
    num_classes, dtype = draw_num_classes(generator), DTYPES[generator.integers(4)]
    n = int(generator.integers(1, max(2, min(70, 20_000 // num_classes))))
    shape = [(num_classes,), (n, num_classes), (n, num_classes), (n, num_classes, 3)][generator.integers(4)]
    logits = lay_out(generator, random_tensor(generator, shape, dtype, float(np.exp(generator.uniform(-3, 3)))))
    call = draw_call(generator, shape, dtype)
    placed, here = arena.place(logits), call.on(arena)
    leaf = logits.to(torch.float64, copy=True).requires_grad_()
    exact = call.exact_losses(leaf)
    (exact_gradient,) = torch.autograd.grad(exact.sum(), leaf)
    found = {}
    by_graph = placed.detach().requires_grad_()
    loss = ce.cross_entropy(by_graph, here.target, **here.options)
    (gradient,) = torch.autograd.grad(loss.sum(), by_graph)
    found["graph"] = loss.detach(), gradient
    out = arena.place(lay_out(generator, torch.full(shape, torch.nan, dtype=dtype)))
    found["apart"] = ce.cross_entropy_and_grad(placed, here.target, **here.options)
    found["out"] = ce.cross_entropy_and_grad(placed, here.target, **here.options, out=out)
    if not torch.equal(placed, logits):
        return "logits changed"
    found["in place"] = ce.cross_entropy_and_grad(placed, here.target, **here.options, out=placed)
    axis = min(len(shape) - 1, 1)
    largest = exact_gradient.abs().amax(axis, keepdim=True)
    bound = (STEP[dtype] + ROUNDING[dtype]) * largest + SMALLEST_STEP[dtype]
    # A probability that is nearly its target's share leaves a difference with the rounding errors of both.
    bound = bound + STEP[dtype] / 50 * exact.detach()[exact.isfinite()].abs().sum()
    for name, (value, gradient) in found.items():
        if not loss_is_right(value, exact.detach(), dtype, logits.double()):
            return f"wrong loss, {name}"
        if not is_close(gradient, exact_gradient, bound):
            return f"wrong gradient, {name}"
    apart, in_place = found["apart"], found["in place"]
    is_same = all(torch.equal(bits(a), bits(b)) for a, b in zip(apart, in_place, strict=True))
    return "right" if is_same else "other bits in place"


def bits(values: Tensor) -> Tensor:
    return values.reshape(-1).clone(memory_format=torch.contiguous_format).view(torch.uint8)


def of_a_layer(generator: np.random.Generator, arena: Arena) -> str:
    """Run a call of the loss of a linear layer."""
    num_classes, dtype = draw_num_classes(generator), DTYPES[generator.integers(4)]
    n, d = int(generator.integers(1, 12)), int(generator.integers(1, 40))
    parts = [
        lay_out(generator, random_tensor(generator, (n, d), dtype, 1.0)),
        lay_out(generator, random_tensor(generator, (num_classes, d), dtype, d**-0.5)),
        lay_out(generator, random_tensor(generator, (num_classes,), dtype, 1.0)),
    ]
    call = draw_call(generator, (n, num_classes), torch.float64 if dtype == torch.float64 else torch.float32)
    leaves = [part.to(torch.float64, copy=True).requires_grad_() for part in parts]
    exact_logits = leaves[0] @ leaves[1].t() + leaves[2]
    exact_logits.retain_grad()
    exact = call.exact_losses(exact_logits)
    torch.autograd.backward(exact.sum())
    placed, here = [arena.place(part).requires_grad_() for part in parts], call.on(arena)
    loss = ce.linear_cross_entropy(placed[0], placed[1], here.target, linear_bias=placed[2], **here.options)
    if loss.requires_grad:
        torch.autograd.backward(loss.sum())
    if not loss_is_right(loss.detach(), exact.detach(), dtype, exact_logits.detach()):
        return "wrong loss, layer"
    assert exact_logits.grad is not None
    of_row = exact_logits.grad.abs().amax(1, keepdim=True).expand(n, num_classes)
    size = [part.detach().abs() for part in leaves]
    bounds = of_row @ size[1], of_row.t() @ size[0], of_row.sum(0)
    for leaf, found, most in zip(leaves, placed, bounds, strict=True):
        assert leaf.grad is not None
        gradient = torch.zeros_like(found) if found.grad is None else found.grad
        bound = 4 * STEP[dtype] * most + ROUNDING[dtype] * leaf.grad.abs() + SMALLEST_STEP[dtype]
        if not is_close(gradient, leaf.grad, bound):
            return "wrong gradient, layer"
    return "right"


def case(seed: int) -> str:
    generator = np.random.default_rng(seed)
    # A few cases use a second thread, which disturbs others on a busy machine.
    torch.set_num_threads(2 if seed % 8 == 0 else 1)
    with arena_of(generator) as arena:
        word = of_logits(generator, arena) if generator.random() < 0.75 else of_a_layer(generator, arena)
        return word if arena.is_whole() else "bytes beside an array changed"


if __name__ == "__main__":
    sys.exit(main(case, allowed=("right",), count=4000, description=__doc__, seconds=60.0))
