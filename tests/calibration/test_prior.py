import numpy as np
import pytest
import scipy.optimize
import scipy.special
from hypothesis import given
from hypothesis import strategies as st

from crossent.calibration.prior import as_prior, em_step, estimate_prior, log_likelihood
from crossent.errors import SettingError, ShapeError
from crossent.logits import shift_prior


def draw(
    rows: int, mix: np.ndarray, old: np.ndarray, seed: int, distance: float = 1.5
) -> tuple[np.ndarray, np.ndarray]:
    """Right probabilities under the prior `old` of rows whose classes come in the shares of `mix`."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(0, distance, size=(len(mix), 3))
    target = rng.choice(len(mix), size=rows, p=mix)
    features = centres[target] + rng.normal(size=(rows, 3))
    logits = features @ centres.T - 0.5 * (centres**2).sum(axis=1) + np.log(old)
    return scipy.special.softmax(logits, axis=1), target


def test_a_shifted_prior_is_what_bayes_rule_gives() -> None:
    old, new = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.1, 0.8])
    under_old, _ = draw(50, new, old, 0)
    under_new, _ = draw(50, new, new, 0)
    shifted = shift_prior(np.log(under_old).astype(np.float32), old, new)
    assert shifted.dtype == np.float32
    np.testing.assert_allclose(scipy.special.softmax(shifted, axis=1), under_new, atol=1e-5)


@given(st.integers(2, 8), st.integers(0, 100))
def test_a_shift_there_and_back_changes_nothing(class_count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(5, class_count)).astype(np.float32)
    old, new = rng.dirichlet(np.full(class_count, 3.0), size=2)
    np.testing.assert_allclose(shift_prior(shift_prior(logits, old, new), new, old), logits, atol=1e-5)


def test_priors_of_every_kind() -> None:
    classes = ("a", "b", 3)
    np.testing.assert_allclose(as_prior("uniform", classes), [1 / 3] * 3)
    np.testing.assert_allclose(as_prior([0.2, 0.3, 0.5], classes), [0.2, 0.3, 0.5])
    np.testing.assert_allclose(as_prior({3: 0.5, "b": 0.3, "a": 0.2}, classes), [0.2, 0.3, 0.5])
    assert as_prior(np.array([0.3, 0.3, 0.4004]), classes).sum() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        ("balanced", "It is 'balanced'"),
        ({"a": 0.5, "b": 0.5}, "3 has no share"),
        ({"a": 0.2, "b": 0.3, 3: 0.3, "z": 0.2}, "'z' is none of 'a', 'b', 3"),
        ([0.5, 0.5], r"Its shape is \(2,\)"),
        ([0.5, 0.5, 0.0], r"class 2 is 0.* small share, such as 1e-6"),
        ([0.5, 0.7, -0.2], "class 2 is -0.2"),
        ([0.5, np.nan, 0.5], "class 1 is nan"),
        ([50, 30, 20], "sum to 100. Divide counts"),
    ],
)
def test_bad_priors_get_one_error(prior: object, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        as_prior(prior, ("a", "b", 3))


@given(st.integers(2, 6), st.integers(0, 100))
def test_a_step_of_em_never_lowers_the_likelihood(class_count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    likelihood, mix = rng.dirichlet(np.ones(class_count), size=30), rng.dirichlet(np.ones(class_count), size=4)
    repeats = rng.integers(0, 3, size=(30, 4)).astype(float)
    after = em_step(likelihood, repeats, mix)
    np.testing.assert_allclose(after.sum(axis=1), 1)
    assert (log_likelihood(likelihood, repeats, after) >= log_likelihood(likelihood, repeats, mix) - 1e-9).all()


@pytest.mark.parametrize("distance", [0.3, 1.5])
@pytest.mark.parametrize("mix", [[0.7, 0.2, 0.1], [0.999, 0.0005, 0.0005], [0.5, 0.5]])
def test_it_is_what_plain_em_comes_to(distance: float, mix: list[float]) -> None:
    old = np.linspace(1, 2, len(mix)) / np.linspace(1, 2, len(mix)).sum()
    probs, _ = draw(1000, np.array(mix), old, 0, distance)
    ones, plain = np.ones((1000, 1)), old[None, :]
    for _ in range(20_000):
        before, plain = plain, em_step(probs / old, ones, plain)
        if np.array_equal(before, plain):
            break
    found = estimate_prior(probs, old).prior
    best = log_likelihood(probs / old, ones, found[None, :])[0]
    assert best >= log_likelihood(probs / old, ones, plain)[0] - 1e-6
    np.testing.assert_allclose(found, plain[0], atol=2e-3 if distance < 1 else 1e-5)


def test_it_is_what_a_general_solver_finds() -> None:
    old = np.array([0.6, 0.4])
    probs, _ = draw(500, np.array([0.2, 0.8]), old, 1)

    def loss(share: float) -> float:
        return -np.log(probs / old @ [share, 1 - share]).sum()

    expected = scipy.optimize.minimize_scalar(loss, bounds=(0, 1), method="bounded", options={"xatol": 1e-10}).x
    assert estimate_prior(probs, old).prior[0] == pytest.approx(expected, abs=1e-5)


def test_intervals_hold_the_true_mix_as_often_as_they_say() -> None:
    mix, old = np.array([0.6, 0.3, 0.1]), np.full(3, 1 / 3)
    held = []
    for seed in range(100):
        found = estimate_prior(draw(400, mix, old, seed)[0], seed=seed)
        held.append((found.low <= mix) & (mix <= found.high))
    # 300 of them, though those of one draw hang together: 4 standard errors of 150.
    assert abs(np.mean(held) - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 150)


def test_it_errs_less_than_half_of_what_counting_does() -> None:
    old = np.array([0.5, 0.3, 0.2])
    errors = []
    for seed in range(30):
        mix = np.random.default_rng(seed).dirichlet(np.ones(3))
        probs, target = draw(1000, mix, old, seed, distance=1.0)
        shares = np.bincount(target, minlength=3) / 1000
        counted = np.bincount(probs.argmax(axis=1), minlength=3) / 1000
        errors.append([np.abs(estimate_prior(probs, old).prior - shares).mean(), np.abs(counted - shares).mean()])
    found, counted = np.mean(errors, axis=0)
    assert found < 0.5 * counted


def test_certain_rows_are_counted() -> None:
    found = estimate_prior(np.eye(3)[[0, 0, 0, 1]])
    np.testing.assert_allclose(found.prior, [0.75, 0.25, 0], atol=1e-6)
    assert (found.low <= found.prior + 1e-9).all()
    assert (found.prior <= found.high + 1e-6).all()


def test_classes_that_no_row_tells_apart_share() -> None:
    found = estimate_prior(np.tile([0.25, 0.25, 0.5], (50, 1)), [0.25, 0.25, 0.5])
    assert found.prior.sum() == pytest.approx(1)
    assert np.isfinite(found.high).all()


def test_same_seed_same_interval() -> None:
    probs, _ = draw(100, np.array([0.7, 0.3]), np.array([0.5, 0.5]), 0)
    np.testing.assert_array_equal(estimate_prior(probs, seed=3).low, estimate_prior(probs, seed=3).low)


def test_many_rows_in_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    probs, _ = draw(100, np.array([0.7, 0.3]), np.array([0.5, 0.5]), 0)
    whole = estimate_prior(probs)
    monkeypatch.setattr("crossent.calibration.prior._CHUNK", 700)
    np.testing.assert_allclose(estimate_prior(probs).low, whole.low, atol=5e-3)


def test_bad_probabilities_get_one_error() -> None:
    with pytest.raises(ShapeError, match="Row 1 is"):
        estimate_prior(np.array([[0.5, 0.5], [0.5, 0.6]]))
    with pytest.raises(SettingError, match="prior: every class has a share above 0"):
        estimate_prior(np.array([[0.5, 0.5]]), prior=[0.0, 1.0])
