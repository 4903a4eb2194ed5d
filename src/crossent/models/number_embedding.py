"""Numbers as vectors: a line, and what a curve of straight pieces between knots adds to it.

**Shape.** ``n`` rows of ``p`` numbers go in; embeddings ``(n, p * s)`` come out, a vector of length s for each number.
The curve of a number has up to ``b`` pieces. Papers call the pieces bins, and the encoding by them piecewise linear.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from crossent.kernels import curves
from crossent.kernels.problem import can_run_native
from crossent.value_checks import LARGEST_WEIGHT, check_bounded

# Numbers are bent so that their absolute value stays below this.
FARTHEST = 3.0
# Knots that are nearer than this are merged; features are of the order of 1.
SHORTEST_PIECE = 1e-6


class NumberEmbedding(nn.Module):
    """Each number as a vector: a line, and what a curve of straight pieces between knots adds to it.

    A number's encoding has a value for each piece: 0 below it, 1 above it, and within it how far through; a vector of
    each piece is multiplied by it. These start at zero, so that training begins with lines.

    Source: Gorishniy et al. 2022, "On Embeddings for Numerical Features in Tabular Deep Learning", as in TabM.

    Parameters
    ----------
    line, bias
        ``(p, 1, s)`` vectors of p numbers to start with.
    pieces
        Largest number of pieces of a curve.
    """

    left: Tensor
    slope: Tensor

    def __init__(self, line: Tensor, bias: Tensor, pieces: int) -> None:
        super().__init__()
        p, _, size = line.shape
        # Set from the training rows, not learned. A slope of zero means that a curve does not have this piece.
        self.register_buffer("left", torch.zeros(p, pieces))
        self.register_buffer("slope", torch.zeros(p, pieces))
        self.weight = nn.Parameter(torch.zeros(p, pieces, size))
        self.line = nn.Parameter(line)
        self.bias = nn.Parameter(bias)

    def place_knots(self, numbers: npt.NDArray[np.float32]) -> None:
        """Put the knots at evenly spaced quantiles of ``(n, p)`` training rows; equal ones become one."""
        levels = np.linspace(0, 1, self.left.shape[1] + 1)
        for j, column in enumerate(numbers.T):
            knots = np.unique(np.quantile(column, levels, method="nearest"))
            knots = knots[np.append(True, np.diff(knots) > SHORTEST_PIECE)]
            pieces = len(knots) - 1
            self.left[j, :pieces] = torch.from_numpy(knots[:-1])
            self.slope[j, :pieces] = torch.from_numpy(1 / np.diff(knots))

    def forward(self, numbers: Tensor) -> Tensor:
        """Return ``(n, p * size)`` embeddings of ``(n, p)`` numbers."""
        if _can_run_native(numbers, self.weight):
            arrays = (numbers.contiguous(), self.left, self.slope, self.weight, self.line, self.bias)
            embedded: Tensor = _NativeCurves.apply(*arrays)
            return embedded
        return _plain_curves(numbers, self.left, self.slope, self.weight, self.line, self.bias)


def _can_run_native(numbers: Tensor, weight: Tensor) -> bool:
    return not torch.compiler.is_compiling() and weight.numel() > 0 and can_run_native(numbers, weight)


class _NativeCurves(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, numbers: Tensor, left: Tensor, slope: Tensor, weight: Tensor, line: Tensor, bias: Tensor
    ) -> Tensor:
        ctx.save_for_backward(numbers, left, slope, weight, line, bias)
        return curves.forward(numbers, curves.Curves(left, slope, weight, line, bias, FARTHEST))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        numbers, left, slope, weight, line, bias = ctx.saved_tensors
        known = curves.Curves(left, slope, weight, line, bias, FARTHEST)
        return None, None, None, *curves.backward(numbers, known, gradient.contiguous())


def _plain_curves(numbers: Tensor, left: Tensor, slope: Tensor, weight: Tensor, line: Tensor, bias: Tensor) -> Tensor:
    by_feature = numbers.T[..., None]
    # In place, because nothing is learned before this and a copy would take as long as the computation.
    encoded = (by_feature - left[:, None]).mul_(slope[:, None]).clamp_(0, 1)
    bent = by_feature / torch.sqrt(1 + (by_feature / FARTHEST).square())
    embedded = torch.baddbmm(bias + bent * line, encoded, weight)
    return embedded.transpose(0, 1).flatten(1)


def check_pieces(left: npt.NDArray[np.float32], slope: npt.NDArray[np.float32]) -> None:
    """Check that the pieces of each number rise, and that unused ones, of slope 0, come last.

    The kernel looks for the place of a number among them.

    Parameters
    ----------
    left
        ``(p, pieces)`` where each piece begins.
    slope
        ``(p, pieces)`` one over the length of each piece.

    Raises
    ------
    ValueError
        If they do not, or a value is not finite.
    """
    used = slope > 0
    check_bounded("where pieces begin", left, LARGEST_WEIGHT)
    check_bounded("one over the length of a piece", slope, LARGEST_WEIGHT)
    rising = (np.diff(left, axis=1) > 0) | ~used[:, 1:]
    if slope.min(initial=0) < 0 or not (used[:, :-1] | ~used[:, 1:]).all() or not rising.all():
        raise ValueError("the pieces of a number must rise, and unused ones come last")
