"""A small object with a field of each kind that can be stored."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from crossent.storage import LongText


@dataclass(frozen=True, eq=False)
class Leaf:
    weight: npt.NDArray[np.float32]
    text: LongText


@dataclass(frozen=True)
class Other:
    number: int


@dataclass(frozen=True, eq=False)
class Tree:
    name: str
    kind: Literal["oak", "elm"]
    height: float
    leaves: tuple[Leaf | Other, ...]
    labels: tuple[str | int | float | bool, ...]
    note: str | None


def tree(height: float = 1.5) -> Tree:
    leaf = Leaf(np.arange(6, dtype=np.float32).reshape(2, 3), "a\nlong “text”")
    return Tree("é", "oak", height, (leaf, Other(3)), ("a", 1, 2.0, True), None)
