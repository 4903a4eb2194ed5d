import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from crossent.calibration.conformity import NO_PENALTY, RankPenalty, aps_scores, lac_scores, tune_rank_penalty


def draw(rows: int, class_count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 2, size=(rows, class_count)).astype(np.float32)


def test_lac_orders_labels_as_one_minus_their_probability() -> None:
    logits = draw(50, 7, 0)
    probs = np.exp(logits.astype(float)) / np.exp(logits.astype(float)).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(lac_scores(logits), -np.log(probs), rtol=1e-9)


def test_lac_tells_labels_apart_that_are_next_to_impossible() -> None:
    scores = lac_scores(np.array([[-51.0, 0.0], [-50.0, 0.0]]))
    assert scores[0, 0] > scores[1, 0]


def test_aps_and_raps_by_hand() -> None:
    logits = np.log([[0.2, 0.5, 0.3], [0.15, 0.05, 0.8]])
    np.testing.assert_allclose(
        aps_scores(logits, np.array([0.5, 0.0])), [[0.8 + 0.1, 0.25, 0.5 + 0.15], [0.8, 0.95, 0.0]], atol=1e-12
    )
    # The second rank pays 0.1, the third 0.2.
    np.testing.assert_allclose(
        aps_scores(logits, np.array([0.5, 0.0]), RankPenalty(0.1, 1)),
        [[0.9 + 0.2, 0.25, 0.65 + 0.1], [0.8 + 0.1, 0.95 + 0.2, 0.0]],
        atol=1e-12,
    )


@given(st.integers(2, 30), st.integers(0, 1000))
def test_aps_of_the_right_label_is_uniform_for_right_probabilities(class_count: int, seed: int) -> None:
    """It is the probability integral transform of the label, so that its mean is 1/2."""
    rng = np.random.default_rng(seed)
    logits = np.tile(draw(1, class_count, seed), (400, 1))
    target = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    scores = aps_scores(logits, rng.random(400))[np.arange(400), target]
    assert abs(scores.mean() - 0.5) < 5 * np.sqrt(1 / 12 / 400)


@given(st.integers(2, 20), st.integers(0, 1000))
def test_classes_have_no_order(class_count: int, seed: int) -> None:
    logits, uniform = draw(20, class_count, seed), np.random.default_rng(seed).random(20)
    order = np.random.default_rng(seed).permutation(class_count)
    penalty = RankPenalty(0.1, 2)
    permuted = aps_scores(logits[:, order], uniform, penalty)
    np.testing.assert_allclose(permuted, aps_scores(logits, uniform, penalty)[:, order], atol=1e-12)


def test_no_more_ranks_are_free_than_labels_are_met_at() -> None:
    # The right label is the most probable one in 8 of 10 rows and the third in two.
    logits = np.tile(np.log([[0.4, 0.3, 0.2, 0.1]]), (10, 1))
    target = np.array([0] * 8 + [2] * 2)
    assert tune_rank_penalty(logits, target, 0.8, np.full(10, 0.5)).free_ranks == 1
    assert tune_rank_penalty(logits, target, 0.9, np.full(10, 0.5)).free_ranks <= 3


def test_a_tuned_penalty_makes_sets_no_larger_than_none() -> None:
    rng = np.random.default_rng(1)
    honest = rng.normal(0, 5, size=(2000, 100))
    target = (honest + rng.gumbel(size=honest.shape)).argmax(axis=1)
    # Noise that makes a long tail of labels look more probable than they are.
    logits, uniform = 0.6 * (honest + rng.normal(0, 3, size=honest.shape)), rng.random(2000)
    penalty = tune_rank_penalty(logits[:400], target[:400], 0.9, uniform[:400])
    sizes = []
    for one in (NO_PENALTY, penalty):
        scores = aps_scores(logits[400:], uniform[400:], one)
        sizes.append((scores <= np.quantile(scores[np.arange(1600), target[400:]], 0.9)).sum(axis=1).mean())
    assert sizes[1] < 0.99 * sizes[0]
