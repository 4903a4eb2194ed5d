"""The network for tables, as a torch module: embeddings of every feature, then several perceptrons side by side."""

import itertools
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from crossent.train.dropout import drop

# Numbers are bent so that none counts as farther out than this.
FARTHEST = 3.0
# Nearer knots than this, in a column of unit order, tell nothing apart.
SHORTEST_PIECE = 1e-6


@dataclass(frozen=True)
class Sizes:
    """Sizes of a network.

    Attributes
    ----------
    numbers, cardinalities
        Of the features: p numbers, and the number of codes of each category.
    classes
        K.
    heads
        Perceptrons side by side.
    width, depth
        Units of a hidden layer, and how many such layers there are.
    pieces, number_size, category_size
        Of the embeddings: pieces of a number's curve, and the length of the vectors of a number and of a category.
    """

    numbers: int
    cardinalities: tuple[int, ...]
    classes: int
    heads: int
    width: int
    depth: int
    pieces: int = 32
    number_size: int = 16
    category_size: int = 8

    @property
    def embedded(self) -> int:
        """Length of all embeddings of a row."""
        return self.numbers * self.number_size + len(self.cardinalities) * self.category_size


class TableNetwork(nn.Module):
    """Makes ``(k, n, K)`` logits of ``(n, p)`` float32 numbers and ``(n, q)`` int64 codes.

    The k heads share the embeddings; each has layers of its own, and is trained by its own loss (TabM-packed of
    Gorishniy et al. 2025, "TabM: Advancing Tabular Deep Learning with Parameter-Efficient Ensembling").

    The generator draws the parameters; what dropout draws comes with the rows.
    """

    def __init__(self, sizes: Sizes, dropout: float, generator: torch.Generator) -> None:
        super().__init__()
        self.numbers = NumberEmbedding(sizes, generator)
        self.categories = CategoryEmbedding(sizes.cardinalities, sizes.category_size, generator)
        widths = (sizes.embedded, *[sizes.width] * sizes.depth, sizes.classes)
        pairs = itertools.pairwise(widths)
        self.layers = nn.ModuleList(HeadsLinear(sizes.heads, into, out, generator) for into, out in pairs)
        self._heads, self._dropout = sizes.heads, dropout

    def forward(self, numbers: Tensor, codes: Tensor, draws: Tensor | None = None) -> Tensor:
        """Return the logits of each head; ``(n, depth * k, width / 4)`` draws, if there are, leave units out."""
        embedded = torch.cat([self.numbers(numbers), self.categories(codes)], dim=1)
        hidden = embedded.expand(self._heads, -1, -1)
        for i, layer in enumerate(self.layers[:-1]):
            hidden = torch.relu(layer(hidden))
            if draws is not None:
                hidden = drop(hidden, draws[:, i * self._heads : (i + 1) * self._heads], self._dropout)
        logits: Tensor = self.layers[-1](hidden)
        return logits


class NumberEmbedding(nn.Module):
    """Each number as a vector: a line, and what a curve of straight pieces between knots adds to it.

    A number's encoding has a value for each piece: 0 below it, 1 above it, and within it how far through; a vector of
    each piece is multiplied by it. These start at zero, so that training begins with lines.

    Source: Gorishniy et al. 2022, "On Embeddings for Numerical Features in Tabular Deep Learning", as in TabM.
    """

    left: Tensor
    slope: Tensor

    def __init__(self, sizes: Sizes, generator: torch.Generator) -> None:
        super().__init__()
        p, pieces, size = sizes.numbers, sizes.pieces, sizes.number_size
        # Set from the training rows, not learned. A piece of slope zero is not there.
        self.register_buffer("left", torch.zeros(p, pieces))
        self.register_buffer("slope", torch.zeros(p, pieces))
        self.weight = nn.Parameter(torch.zeros(p, pieces, size))
        self.line = nn.Parameter(uniform((p, 1, size), 1, generator))
        self.bias = nn.Parameter(uniform((p, 1, size), 1, generator))

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
        by_feature = numbers.T[..., None]
        # In place: nothing is learned before this, and a copy would cost as much as the numbers.
        encoded = (by_feature - self.left[:, None]).mul_(self.slope[:, None]).clamp_(0, 1)
        bent = by_feature / torch.sqrt(1 + (by_feature / FARTHEST).square())
        embedded = torch.baddbmm(self.bias + bent * self.line, encoded, self.weight)
        return embedded.transpose(0, 1).flatten(1)


class CategoryEmbedding(nn.Module):
    """Each code of each category as a learned vector."""

    _first: Tensor

    def __init__(self, cardinalities: tuple[int, ...], size: int, generator: torch.Generator) -> None:
        super().__init__()
        # A table that is looked up does not decay: rare codes would lose what they learned between two of their rows.
        self.table = nn.Parameter(torch.empty(sum(cardinalities), size).normal_(generator=generator))
        # It moves to a device with the table, and follows from the sizes.
        self.register_buffer("_first", torch.from_numpy(np.cumsum((0, *cardinalities))[:-1]), persistent=False)

    def forward(self, codes: Tensor) -> Tensor:
        """Return ``(n, q * size)`` embeddings of ``(n, q)`` codes."""
        return nn.functional.embedding(codes + self._first, self.table).flatten(1)

    def forget_unseen(self, codes: npt.NDArray[np.int32]) -> None:
        """Set the vectors of codes that no training row has to zero, where they stay: drawn ones would mislead."""
        seen = np.zeros(len(self.table), np.bool_)
        seen[codes + self._first.numpy()] = True
        self.table.detach()[torch.from_numpy(~seen)] = 0


class HeadsLinear(nn.Module):
    """Linear layers side by side, from ``(k, n, in)`` to ``(k, n, out)``."""

    def __init__(self, heads: int, into: int, out: int, generator: torch.Generator) -> None:
        super().__init__()
        self.weight = nn.Parameter(uniform((heads, into, out), into, generator))
        self.bias = nn.Parameter(uniform((heads, 1, out), into, generator))

    def forward(self, hidden: Tensor) -> Tensor:
        """Return the product and the bias of each head."""
        return torch.baddbmm(self.bias, hidden, self.weight)


def uniform(shape: tuple[int, ...], into: int, generator: torch.Generator) -> Tensor:
    """Draw weights as torch's own linear layers do, uniformly within ``1 / sqrt(into)`` of zero."""
    bound = 1 / math.sqrt(max(into, 1))
    return torch.empty(shape).uniform_(-bound, bound, generator=generator)
