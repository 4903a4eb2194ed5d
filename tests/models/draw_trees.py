"""Drawn trees, and rows that are hard on them."""

from typing import Any

import numpy as np
import numpy.typing as npt

from crossent.models.trees import Trees

SPECIAL = np.array(
    [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45, -1e-45, 1e-38, 1e-35, -1e-35, 3e38, -3e38, 1.0, -1.0], np.float32
)


def draw_trees(rng: np.random.Generator, leaf_counts: list[int], num_classes: int, numbers: int, codes: int) -> Trees:
    """Draw trees of given numbers of leaves; each leaf that is split is drawn too, or is always the newest."""
    links = [_draw_links(rng, count, chain=bool(rng.random() < 0.2)) for count in leaf_counts]
    splits = sum(leaf_counts) - len(leaf_counts)
    feature = rng.integers(numbers + codes, size=splits)
    reads_code = feature >= numbers
    word_counts = np.where(reads_code, rng.integers(1, 10, size=splits), 0)
    thresholds = np.where(rng.random(splits) < 0.3, rng.choice(SPECIAL[1:], splits), rng.normal(size=splits))
    return Trees(
        num_classes=num_classes,
        num_features=numbers + codes,
        leaf_counts=np.array(leaf_counts, np.int32),
        feature=feature.astype(np.int32),
        threshold=np.where(reads_code, 0, thresholds).astype(np.float32),
        missing_left=(rng.random(splits) < 0.5) & ~reads_code,
        left=np.array([link for left, _ in links for link in left], np.int32),
        right=np.array([link for _, right in links for link in right], np.int32),
        word_counts=word_counts.astype(np.int32),
        words=rng.integers(2**32, size=word_counts.sum(), dtype=np.uint32),
        values=rng.normal(size=sum(leaf_counts)) * 10 ** rng.uniform(-8, 2, size=sum(leaf_counts)),
    )


def _draw_links(rng: np.random.Generator, leaves: int, *, chain: bool) -> tuple[list[int], list[int]]:
    links: tuple[list[int], list[int]] = ([], [])
    parent: dict[int, tuple[int, int]] = {}
    for split in range(leaves - 1):
        leaf = split if chain else int(rng.integers(split + 1))
        if split:
            side, above = parent[leaf]
            links[side][above] = split
        sides = rng.permutation(2)
        for side, below in zip(sides, (leaf, split + 1), strict=True):
            links[side].append(-1 - below)
            parent[below] = (int(side), split)
    return links


def draw_rows(
    rng: np.random.Generator, trees: Trees, rows: int, numbers: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
    """Draw numbers, among them missing ones and those next to thresholds, and codes, among them such as no set has."""
    drawn = rng.normal(size=(rows, numbers)).astype(np.float32)
    drawn = np.where(rng.random(drawn.shape) < 0.3, rng.choice(SPECIAL, drawn.shape), drawn)
    if len(trees.threshold):
        near = rng.choice(trees.threshold, drawn.shape)
        near = np.nextafter(near, rng.choice(np.array([-np.inf, np.inf], np.float32), drawn.shape))
        near = np.where(rng.random(drawn.shape) < 0.5, rng.choice(trees.threshold, drawn.shape), near)
        drawn = np.where(rng.random(drawn.shape) < 0.4, near, drawn)
    codes: npt.NDArray[Any] = rng.integers(330, size=(rows, trees.num_features - numbers))
    far = rng.choice(np.array([-1, -(2**31), 2**31 - 1, 2**24]), codes.shape)
    return drawn.astype(np.float32), np.where(rng.random(codes.shape) < 0.1, far, codes).astype(np.int32)
