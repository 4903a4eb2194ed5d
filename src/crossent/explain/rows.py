"""Rows to look at: those whose label the model finds least probable."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from crossent.data.dataset import Dataset

WORST_ROWS = 20
# Largest number of characters of a value; longer texts are cut.
MOST_SHOWN = 200


@dataclass(frozen=True)
class WorstRow:
    """A row whose label is improbable: ``row`` counts from 1, ``prob`` is the probability of the label."""

    row: int
    values: tuple[tuple[str, str], ...]
    label: str
    predicted: str
    prob: float
    loss: float


def worst_rows(dataset: Dataset, log_probs: npt.NDArray[np.float64]) -> tuple[WorstRow, ...]:
    """Return the rows whose label is least probable: hard cases, or wrong labels."""
    losses = -log_probs[np.arange(len(dataset)), dataset.target]
    order = np.argsort(-losses, kind="stable")[:WORST_ROWS]
    predicted = log_probs.argmax(axis=1)
    return tuple(
        WorstRow(
            row=int(dataset.frame.index[i]) + 1,
            values=tuple((name, _shown(dataset.frame[name].iloc[i])) for name in dataset.frame.columns),
            label=str(dataset.classes[dataset.target[i]]),
            predicted=str(dataset.classes[predicted[i]]),
            prob=float(np.exp(-losses[i])),
            loss=float(losses[i]),
        )
        for i in order
        if predicted[i] != dataset.target[i]
    )


def _shown(value: Any) -> str:
    if pd.isna(value):
        return "missing"
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}…"
