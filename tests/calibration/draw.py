"""Logits that are known to be right or wrong."""

import numpy as np


def draw(rows: int, sharpness: float, seed: int = 0, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are `sharpness` times those that the labels were drawn from."""
    rng = np.random.default_rng(seed)
    honest = rng.normal(0, 2, size=(rows, classes))
    target = (honest + rng.gumbel(size=honest.shape)).argmax(axis=1)
    return (sharpness * honest).astype(np.float32), target


def draw_skewed(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits that a matrix and a bias led astray: one class too likely, two taken for each other."""
    logits, target = draw(rows, 1.0, seed)
    astray = np.array([[1.0, 0.8, 0, 0], [0.8, 1, 0, 0], [0, 0, 2, 0], [0, 0, 0, 1.5]])
    return (logits @ astray + [0, 0, 2.0, 0]).astype(np.float32), target
