import numpy as np
import pytest
import scipy.optimize
import scipy.special
import torch

from crossent.calibration.structured import (
    LabelledFeatures,
    Structure,
    fit_structured,
    no_change,
    penalties,
    structured_losses,
)
from crossent.threads import open_threads
from tests.calibration.draw import draw, draw_skewed


def objective(
    weight: torch.Tensor, features: torch.Tensor, target: torch.Tensor, penalty: torch.Tensor
) -> torch.Tensor:
    """The definition, in torch: classes last, the matrix written out."""
    full = torch.diag(weight[:, 0]) if weight.shape[1] == 2 else weight[:, :-1]
    logits = features + features @ full.T + weight[:, -1]
    return torch.nn.functional.cross_entropy(logits, target) + (penalty * weight**2).sum()


def minimum(features: np.ndarray, target: np.ndarray, structure: Structure, strength: float) -> np.ndarray:
    """What scipy's L-BFGS finds, with derivatives by autograd."""
    start = no_change(structure, features.shape[1])
    penalty = torch.tensor(penalties(structure, features.shape[1], len(target), strength))
    rows, labels = torch.tensor(features), torch.tensor(target)

    def value_and_slope(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weight = torch.tensor(flat.reshape(start.shape), requires_grad=True)
        value = objective(weight, rows, labels, penalty)
        (slope,) = torch.autograd.grad(value, weight)
        return value.item(), slope.numpy().ravel()

    found = scipy.optimize.minimize(
        value_and_slope,
        start.ravel(),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 5000, "ftol": 1e-14, "gtol": 1e-9},
    )
    return np.asarray(found.x).reshape(start.shape)


@pytest.mark.parametrize("structure", ["vector", "matrix"])
@pytest.mark.parametrize("strength", [1.0, 1 / 16])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_it_finds_the_minimum_that_a_general_minimiser_finds(
    structure: Structure, strength: float, dtype: type
) -> None:
    logits, target = draw_skewed(600)
    features = scipy.special.log_softmax(logits.astype(np.float64), axis=1)
    best = minimum(features, target, structure, strength)
    classes_first = np.ascontiguousarray(features.T, dtype)
    with open_threads() as (pool, _):
        found = fit_structured(
            LabelledFeatures(classes_first, target, np.ones(len(target))),
            structure,
            strength,
            no_change(structure, 4),
            pool,
        )
        losses = structured_losses(classes_first, target, structure, found, pool)
    penalty = torch.tensor(penalties(structure, 4, 600, strength))
    values = [
        objective(torch.tensor(weight), torch.tensor(features), torch.tensor(target), penalty).item()
        for weight in (found, best)
    ]
    assert values[0] == pytest.approx(values[1], rel=1e-5)
    np.testing.assert_allclose(found, best, atol=0.01)
    assert losses.mean() + (penalty.numpy() * found**2).sum() == pytest.approx(values[0], rel=1e-6)


def test_a_diagonal_matrix_is_a_vector() -> None:
    logits, target = draw_skewed(600)
    features = np.ascontiguousarray(scipy.special.log_softmax(logits.astype(np.float64), axis=1).T)
    rng = np.random.default_rng(0)
    vector = rng.normal(size=(4, 2))
    matrix = np.column_stack([np.diag(vector[:, 0]), vector[:, 1]])
    with open_threads() as (pool, _):
        np.testing.assert_allclose(
            structured_losses(features, target, "vector", vector, pool),
            structured_losses(features, target, "matrix", matrix, pool),
        )


def test_chunks_in_threads_give_what_one_chunk_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, target = draw_skewed(600)
    features = np.ascontiguousarray(scipy.special.log_softmax(logits.astype(np.float64), axis=1).T)
    with open_threads() as (pool, _):
        whole = fit_structured(
            LabelledFeatures(features, target, np.ones(len(target))), "matrix", 1.0, no_change("matrix", 4), pool
        )
        monkeypatch.setattr("crossent.calibration.structured.CHUNK_ELEMENTS", 4 * 70)
        parts = fit_structured(
            LabelledFeatures(features, target, np.ones(len(target))), "matrix", 1.0, no_change("matrix", 4), pool
        )
    np.testing.assert_allclose(parts, whole, rtol=1e-5)


def test_penalties_are_those_of_the_definition() -> None:
    assert penalties("vector", 3, 10, 2.0) == pytest.approx(np.full((3, 2), 2 * 3 / 10))
    matrix = penalties("matrix", 3, 10, 1.0)
    assert matrix[0] == pytest.approx([0.3, 0.6, 0.6, 0.3])
    assert matrix[2] == pytest.approx([0.6, 0.6, 0.3, 0.3])


@pytest.mark.parametrize("structure", ["vector", "matrix"])
def test_a_strong_penalty_leaves_the_temperature_solution(structure: Structure) -> None:
    logits, target = draw(300, 1.0)
    features = np.ascontiguousarray(scipy.special.log_softmax(logits.astype(np.float64), axis=1).T)
    with open_threads() as (pool, _):
        found = fit_structured(
            LabelledFeatures(features, target, np.ones(len(target))), structure, 1e6, no_change(structure, 4), pool
        )
    assert np.abs(found).max() < 1e-4
