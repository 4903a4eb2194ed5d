"""Encoded rows for tests of models."""

import numpy as np
import pandas as pd

from crossent.data.encoder import fit_encoder
from crossent.data.read import read
from crossent.kinds.blocks import Features
from crossent.models.model import Examples


def draw(rows: int, seed: int = 0) -> Examples:
    """Draw classes by the sign of a product, which no linear model sees, and by a category."""
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=(rows, 2)).astype(np.float32)
    codes = rng.integers(3, 6, size=(rows, 1)).astype(np.int32)
    target = np.where(codes[:, 0] == 5, 2, (numbers[:, 0] * numbers[:, 1] > 0).astype(np.int64))
    return Examples(Features(numbers, codes, (6,)), target, 3)


def encode_texts(frame: pd.DataFrame) -> Examples:
    """Encode a table with the target ``label``."""
    dataset = read(frame, "label")
    _, features = fit_encoder(dataset.frame, dataset.columns, dataset.target, len(dataset.classes))
    return Examples(features, dataset.target, len(dataset.classes))
