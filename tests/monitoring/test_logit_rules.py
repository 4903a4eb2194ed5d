import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from crossent.monitoring.logit_rules import check_logits


def healthy(
    seed: int, rows: int = 90, classes: int = 4, signal: float = 3.0
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    target = rng.choice(classes, size=rows, p=rng.dirichlet(np.ones(classes)))
    logits = rng.normal(size=(rows, classes)) + signal * np.eye(classes)[target]
    return logits.astype(np.float32), target


def names(logits: object, target: object, *, at_start: bool = False) -> list[str]:
    return [finding.name for finding in check_logits(logits, target, at_start=at_start)]  # type: ignore[arg-type]


@settings(max_examples=300, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    rows=st.integers(1, 300),
    classes=st.integers(2, 50),
    signal=st.floats(0, 8),
    scale=st.floats(1e-3, 1.5),
    offset=st.floats(-20, 20),
)
def test_healthy_logits_give_no_alarm(
    seed: int, rows: int, classes: int, signal: float, scale: float, offset: float
) -> None:
    logits, target = healthy(seed, rows, classes, signal)
    scores = (scale * logits + offset).astype(np.float32)
    # Logits that happen to sum to 1 in every row, as two of about 0.5 do, look like probabilities to anybody.
    assume(rows == 1 or np.abs(scores.sum(axis=1) - 1).max() > 0.01)
    assert check_logits(scores, target) == ()
    assert check_logits(torch.tensor(scores), torch.tensor(target)) == ()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**31), classes=st.integers(2, 200), rows=st.integers(1, 256))
def test_fresh_networks_give_no_alarm_at_the_start(seed: int, classes: int, rows: int) -> None:
    torch.manual_seed(seed)
    layers = torch.nn.Sequential(torch.nn.Linear(20, 64), torch.nn.ReLU(), torch.nn.Linear(64, classes))
    target = torch.randint(classes, (rows,))
    assert check_logits(layers(torch.randn(rows, 20)), target, at_start=True) == ()


@pytest.mark.parametrize("rows", [1, 8, 64])
def test_a_start_far_above_that_of_equal_probabilities_is_seen_in_few_rows_too(rows: int) -> None:
    logits = torch.tensor([[20.0, 0.0, 0.0]]).repeat(rows, 1) + torch.arange(rows)[:, None] * torch.tensor(
        [0.0, 0.0, 0.01]
    )
    findings = check_logits(logits, torch.ones(rows, dtype=torch.long), at_start=True)
    assert "loss starts too high" in [finding.name for finding in findings]


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**31), classes=st.integers(2, 30))
def test_each_form_of_probabilities_is_seen(seed: int, classes: int) -> None:
    scores, indices = healthy(seed, classes=classes)
    logits, target = torch.tensor(scores), torch.tensor(indices)
    assert names(logits.softmax(1), target)[0] == "probabilities in place of logits"
    assert names(logits.softmax(1).softmax(1), target)[0] == "probabilities in place of logits"
    assert names(logits.log_softmax(1), target) == ["log-probabilities in place of logits"]


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**31), classes=st.integers(3, 12), shift=st.sampled_from([-1, 1]))
def test_a_shifted_target_is_seen(seed: int, classes: int, shift: int) -> None:
    rng = np.random.default_rng(seed)
    meant = np.concatenate([np.arange(classes), rng.integers(classes, size=200)])
    logits = rng.normal(size=(len(meant), classes)) + 5 * np.eye(classes)[meant]
    assert "target off by one" in names(logits, (meant + shift) % classes)
    assert names(logits, meant) == []


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda z, y: (z, y + 1), "target counts from 1"),
        (lambda z, y: (z[:, :3], y), "wrong number of classes"),
        (lambda z, y: (z, y - 1), "wrong number of classes"),
        (lambda z, y: (z, y.float()), "indices as floats"),
        (lambda z, y: (z, torch.nn.functional.one_hot(y)), "one-hot in place of indices"),
        (lambda z, y: (z, torch.nn.functional.one_hot(y).float()), "one-hot in place of indices"),
        (lambda z, y: (z, torch.nn.functional.one_hot(y).float() * 2), "target is not a distribution"),
        (lambda z, y: (z, y[:-1]), "shapes do not fit"),
        (lambda z, y: (z, y > 0), "shapes do not fit"),
        (lambda z, y: (z[:, 0], y), "not logits"),
        (lambda z, y: (z.long(), y), "not logits"),
        (lambda z, y: (z[:, :1], y), "not logits"),
        (lambda z, y: (torch.where(z == z[7, 1], torch.nan, z), y), "not finite"),
        (lambda z, y: (torch.where(z == z[7, 1], torch.inf, z), y), "not finite"),
        (lambda z, y: (z * 0 + 0.5, y), "all logits equal"),
        (lambda z, y: (z[:1].expand(len(z), -1), y), "all rows equal"),
        (lambda z, y: ((z - 1).relu(), y), "ReLU after the last layer"),
        (lambda z, y: (torch.where(torch.arange(4) == 2, -50.0, z), y), "dead classes"),
        (lambda z, y: (torch.where(torch.arange(4) == 2, -torch.inf, z), y), "true class masked"),
    ],
)
def test_planted_mistakes_are_named_first(change, name: str) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(5)
    target = np.concatenate([np.arange(4), rng.integers(4, size=96)])
    logits = rng.normal(size=(100, 4)) + 3 * np.eye(4)[target]
    found = names(*change(torch.tensor(logits, dtype=torch.float32), torch.tensor(target)))
    assert found[0] == name


def test_distributions_masks_images_and_ignored_rows_are_healthy() -> None:
    logits, target = healthy(3)
    soft = 0.9 * np.eye(4, dtype=np.float32)[target] + 0.025
    assert names(logits, soft) == []
    masked = logits.copy()
    masked[np.arange(len(target)), (target + 1) % 4] = -np.inf
    assert names(masked, target) == []
    assert names(logits, np.where(np.arange(90) % 3 == 0, -100, target)) == []
    assert names(logits, np.full(90, -100)) == []
    pixels = torch.tensor(logits).reshape(9, 10, 4).movedim(-1, 1)
    assert names(pixels, torch.tensor(target).reshape(9, 10)) == []
    assert names(pixels.bfloat16(), torch.tensor(target).reshape(9, 10)) == []


def test_the_loss_at_the_start_is_near_log_k() -> None:
    logits, target = healthy(4, signal=0.0)
    assert names(0.1 * logits, target, at_start=True) == []
    assert names(40 * logits, target, at_start=True) == ["loss starts too high"]
    (finding,) = check_logits(healthy(4, signal=9.0)[0], target, at_start=True)
    assert finding.name == "loss starts too low"
    assert "1.386" in finding.seen
