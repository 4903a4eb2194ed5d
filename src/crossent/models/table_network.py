"""The network for tables, as a torch module: embeddings of every feature, then several perceptrons side by side.

**Shape.** ``n`` rows, ``K`` classes, ``p`` numbers, ``q`` categories with ``L`` codes in all, ``k`` heads: numbers
``(n, p)`` and codes ``(n, q)`` go in; logits ``(k, n, K)`` come out. The paper (TabM) calls the heads ensemble members.
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from crossent.models.number_embedding import NumberEmbedding
from crossent.train.dropout import drop


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

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the parameters of a `TableNetwork` by name, in the order of its ``state_dict``."""
        shapes: dict[str, tuple[int, ...]] = {
            "numbers.left": (self.numbers, self.pieces),
            "numbers.slope": (self.numbers, self.pieces),
            "numbers.weight": (self.numbers, self.pieces, self.number_size),
            "numbers.line": (self.numbers, 1, self.number_size),
            "numbers.bias": (self.numbers, 1, self.number_size),
            "categories.table": (sum(self.cardinalities), self.category_size),
        }
        for i, (into, out) in enumerate(itertools.pairwise(self.layer_widths)):
            shapes |= {f"layers.{i}.weight": (self.heads, out, into), f"layers.{i}.bias": (self.heads, 1, out)}
        return shapes

    @property
    def layer_widths(self) -> tuple[int, ...]:
        """From the embeddings over the hidden layers to the logits."""
        return (self.embedded, *[self.width] * self.depth, self.classes)


class TableNetwork(nn.Module):
    """Makes ``(k, n, K)`` logits of ``(n, p)`` float32 numbers and ``(n, q)`` int64 codes.

    The k heads share the embeddings; each has its own layers and is trained with its own loss (TabM-packed of
    Gorishniy et al. 2025, "TabM: Advancing Tabular Deep Learning with Parameter-Efficient Ensembling").

    The generator draws the parameters; the draws of dropout come with the rows.
    """

    def __init__(self, sizes: Sizes, dropout: float, generator: torch.Generator) -> None:
        super().__init__()
        line, bias = (uniform((sizes.numbers, 1, sizes.number_size), 1, generator) for _ in range(2))
        self.numbers = NumberEmbedding(line, bias, sizes.pieces)
        self.categories = CategoryEmbedding(sizes.cardinalities, sizes.category_size, generator)
        pairs = itertools.pairwise(sizes.layer_widths)
        self.layers = nn.ModuleList(HeadsLinear(sizes.heads, into, out, generator) for into, out in pairs)
        self._heads, self._dropout = sizes.heads, dropout

    def forward(self, numbers: Tensor, codes: Tensor, draws: Tensor | None = None) -> Tensor:
        """Return the logits of each head; ``(n, depth * k, width / 4)`` draws, if there are, leave units out."""
        embedded = torch.cat([self.numbers(numbers), self.categories(codes)], dim=1)
        hidden = embedded.expand(self._heads, -1, -1)
        *hidden_layers, last = self.layers
        for i, layer in enumerate(hidden_layers):
            hidden = torch.relu_(layer(hidden))
            if draws is not None:
                hidden = drop(hidden, draws[:, i * self._heads : (i + 1) * self._heads], self._dropout)
        logits: Tensor = last(hidden)
        return logits


class CategoryEmbedding(nn.Module):
    """Each code of each category as a learned vector."""

    _first: Tensor

    def __init__(self, cardinalities: tuple[int, ...], size: int, generator: torch.Generator) -> None:
        super().__init__()
        # Tables for look-ups have no weight decay: rare codes would lose what they learned between two of their rows.
        self.table = nn.Parameter(torch.empty(sum(cardinalities), size).normal_(generator=generator))
        # It moves to a device with the table, and follows from the sizes.
        self.register_buffer("_first", torch.from_numpy(np.cumsum((0, *cardinalities))[:-1]), persistent=False)

    def forward(self, codes: Tensor) -> Tensor:
        """Return ``(n, q * size)`` embeddings of ``(n, q)`` codes."""
        return nn.functional.embedding(codes + self._first, self.table).flatten(1)

    def forget_unseen(self, codes: npt.NDArray[np.int32]) -> None:
        """Set the vectors of codes that no training row has to zero, where they stay; random vectors would mislead."""
        seen = np.zeros(len(self.table), np.bool_)
        seen[codes + self._first.numpy()] = True
        self.table.detach()[torch.from_numpy(~seen)] = 0


class HeadsLinear(nn.Module):
    """Linear layers side by side, from ``(k, n, in)`` to ``(k, n, out)``."""

    def __init__(self, heads: int, into: int, out: int, generator: torch.Generator) -> None:
        super().__init__()
        # As in torch's own linear layer: a product with few columns, as of the logits, is quicker so turned.
        self.weight = nn.Parameter(uniform((heads, out, into), into, generator))
        self.bias = nn.Parameter(uniform((heads, 1, out), into, generator))

    def forward(self, hidden: Tensor) -> Tensor:
        """Return the product and the bias of each head."""
        return torch.baddbmm(self.bias, hidden, self.weight.transpose(1, 2))


def uniform(shape: tuple[int, ...], into: int, generator: torch.Generator) -> Tensor:
    """Draw weights as torch's own linear layers do, uniformly within ``1 / sqrt(into)`` of zero."""
    bound = 1 / math.sqrt(max(into, 1))
    return torch.empty(shape).uniform_(-bound, bound, generator=generator)
