"""Rows of numbers and a category, and their classes."""

import numpy as np

from crossent.kinds.blocks import Features
from crossent.models.model import Examples


def draw(rows: int, seed: int = 0) -> Examples:
    """Classes by the sign of a product, which no linear model sees, and by a category."""
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=(rows, 2)).astype(np.float32)
    codes = rng.integers(3, 6, size=(rows, 1)).astype(np.int32)
    target = np.where(codes[:, 0] == 5, 2, (numbers[:, 0] * numbers[:, 1] > 0).astype(np.int64))
    return Examples(Features(numbers, codes, (6,)), target, 3)
