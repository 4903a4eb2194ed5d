"""Cross entropy against its definition, written row by row in float64 NumPy, under options that hypothesis draws."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import crossent as ce


@dataclass(frozen=True)
class Options:
    """All that changes the loss of a row, as float64 arrays and Python floats."""

    class_weight: np.ndarray
    sample_weight: np.ndarray
    class_mask: np.ndarray
    log_prior: np.ndarray
    label_smoothing: float
    temperature: float
    z_loss: float
    softcap: float
    focal_gamma: float
    smoothing: str


def reference(logits: np.ndarray, target: np.ndarray, options: Options) -> float:
    """The definition, row by row; a target is a distribution if it has two dimensions."""
    total = divisor = 0.0
    for i, weight in enumerate(options.sample_weight):
        soft = target.ndim == 2
        if weight == 0 or (not soft and target[i] == -100):
            continue
        z = options.softcap * np.tanh(logits[i] / options.softcap) / options.temperature + options.log_prior
        possible = options.class_mask[i]
        z = np.where(possible, z, -np.inf)
        top = z.max()
        log_sum = np.log1p(np.exp(np.delete(z, z.argmax()) - top).sum())
        nll = log_sum + (top - z)
        share = target[i] if soft else np.eye(len(z))[target[i]]
        even = options.label_smoothing * possible / possible.sum()
        share = (1 - options.label_smoothing) * share
        if options.smoothing == "weighted":
            share = (share + even) * options.class_weight
        else:
            share = share * options.class_weight + even
        own_weight = 1.0 if soft else options.class_weight[target[i]]
        focal = (-np.expm1(-nll)) ** options.focal_gamma * np.where(share == 0, 0, nll)
        row = (share * focal).sum() + own_weight * options.z_loss * (top + log_sum) ** 2
        total += weight * row
        divisor += weight * own_weight
    return total / divisor if divisor else math.nan


@st.composite
def problems(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, Options]:
    n, classes = draw(st.integers(1, 8)), draw(st.integers(1, 7))
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    mask = rng.random((n, classes)) < 0.7
    indices = rng.integers(0, classes, size=n)
    mask[np.arange(n), indices] = True
    target = np.where(rng.random(n) < 0.2, -100, indices)
    if draw(st.booleans()):
        target = np.where(mask, rng.random((n, classes)), 0.0)
    options = Options(
        class_weight=rng.random(classes) + 0.1,
        sample_weight=np.where(rng.random(n) < 0.2, 0.0, rng.random(n) + 0.1),
        class_mask=mask,
        log_prior=rng.normal(size=classes),
        label_smoothing=draw(st.sampled_from([0.0, 0.1, 1.0])),
        temperature=draw(st.floats(0.1, 10)),
        z_loss=draw(st.sampled_from([0.0, 0.01])),
        softcap=draw(st.floats(1, 100)),
        focal_gamma=draw(st.sampled_from([0.0, 0.5, 2.0])),
        smoothing=draw(st.sampled_from(["weighted", "unweighted"])),
    )
    return rng.normal(0, 10, size=(n, classes)), target, options


def check(problem: tuple[np.ndarray, np.ndarray, Options]) -> None:
    logits, target, options = problem
    keywords = {
        name: torch.from_numpy(value) if isinstance(value, np.ndarray) else value
        for name, value in vars(options).items()
    }
    loss = ce.cross_entropy(torch.from_numpy(logits), torch.from_numpy(target), **keywords)
    np.testing.assert_allclose(loss.item(), reference(logits, target, options), rtol=1e-9, atol=1e-300, equal_nan=True)


@given(problems())
@settings(max_examples=300)
def test_equals_the_definition_for_drawn_options(problem: tuple[np.ndarray, np.ndarray, Options]) -> None:
    check(problem)


@pytest.mark.slow
@given(problems())
@settings(max_examples=10_000)
def test_equals_the_definition_for_ten_thousand_drawn_options(
    problem: tuple[np.ndarray, np.ndarray, Options],
) -> None:
    check(problem)
