"""Encoded rows for tests of models."""

import pandas as pd

from crossent.data.encoder import fit_encoder
from crossent.data.read import read
from crossent.models.model import Examples


def encode_texts(frame: pd.DataFrame) -> Examples:
    """Encode a table with the target ``label``."""
    dataset = read(frame, "label")
    _, features = fit_encoder(dataset.frame, dataset.columns, dataset.target, len(dataset.classes))
    return Examples(features, dataset.target, len(dataset.classes))
