import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossent.monitoring.diagnose import diagnose, diagnosis_words
from crossent.monitoring.records import EpochRecord

LOSSES = st.one_of(st.floats(-1e6, 1e6), st.sampled_from([math.nan, math.inf, 1e30]))


def history(train: object, valid: object, *, model: str = "network", fold: int = 1, folds: int = 1, **measured: object):  # type: ignore[no-untyped-def]
    """Records of a training; what is measured is one value for all epochs, or one for each."""
    pairs = list(zip(train, valid, strict=True))  # type: ignore[call-overload]

    def at(i: int) -> dict[str, object]:
        return {name: value[i] if isinstance(value, np.ndarray) else value for name, value in measured.items()}

    return [
        EpochRecord(model, fold, folds, i + 1, len(pairs), float(a), float(b), **at(i))  # type: ignore[arg-type]
        for i, (a, b) in enumerate(pairs)
    ]


EPOCHS = np.arange(1, 21)
FALLING = 1.4 * np.exp(-EPOCHS / 4) + 0.1
SOUND = {"baseline_loss": 2.0, "valid_rows": 1000, "learning_rate": 0.01}


def names(records: list[EpochRecord]) -> list[str]:
    return [finding.name for finding in diagnose(records)]


def test_a_sound_training_asks_for_nothing() -> None:
    records = history(FALLING, FALLING + 0.05, **SOUND, refinement=FALLING + 0.04, temperature=1.1, gradient_norm=1.0)
    assert diagnose(records) == ()
    assert diagnose(history(FALLING, FALLING + 0.05)) == ()
    assert diagnose(records[:1]) == ()
    assert diagnose([]) == ()


def test_rows_held_out_of_one_class_alone_give_no_scale_that_all_is_far_from() -> None:
    assert names(history(FALLING, FALLING + 0.05, **(SOUND | {"baseline_loss": 0.0}))) == []
    done = np.array([1e-3, 1e-6, 1e-9, 1e-9, 1e-8, 1e-8, 1e-8])
    assert names(history(done, done, **(SOUND | {"baseline_loss": 0.0}))) == []


def test_overfitting_says_since_when() -> None:
    valid = np.concatenate([FALLING[:8], FALLING[7] + 0.05 * np.arange(1, 13)])
    (finding,) = diagnose(history(FALLING, valid))
    assert finding.name == "overfitting"
    assert "Since epoch 8" in finding.seen
    assert f"{valid.min():.3f} to {valid[-2]:.3f}" in finding.seen
    # By confidence alone: the classes are told apart as well as before, and a temperature mends it.
    records = history(FALLING, valid, **SOUND, refinement=np.minimum.accumulate(valid), temperature=2.0)
    assert names(records) == ["overconfidence"]


def test_a_solver_that_stopped_when_nothing_was_gained_has_kept_its_best() -> None:
    records = history(FALLING, FALLING + 0.02 * EPOCHS, model="boosting")
    assert names(records) == ["overfitting"]
    assert names([dataclasses.replace(record, epochs=2000) for record in records]) == []


@pytest.mark.parametrize(
    ("train", "measured", "name"),
    [
        (np.where(EPOCHS > 5, np.nan, FALLING), {}, "diverging"),
        (np.where(EPOCHS > 5, 0.4 * EPOCHS, FALLING), {}, "diverging"),
        (1.0 + 0.3 * (-1.0) ** EPOCHS - 0.01 * EPOCHS, {}, "learning rate too high"),
        (2.0 - 0.02 * EPOCHS, {}, "learning rate too low"),
        (np.full(20, 2.0), {}, "plateau"),
        (0.6 * np.exp(-EPOCHS / 2) + 1.4, {}, "underfitting"),
        (FALLING, {"gradient_norm": 1e4}, "exploding gradients"),
        (1.9 - 0.001 * EPOCHS, {"gradient_norm": 0.2, "gradient_ratio": 1e-6}, "vanishing gradients"),
        (FALLING, {"temperature": 2.0, "refinement": FALLING / 2}, "overconfidence"),
        (FALLING, {"temperature": 0.5, "refinement": FALLING / 2}, "underconfidence"),
        (FALLING, {"valid_rows": 30}, "too few held-out rows"),
        (FALLING, {"valid_accuracy": 0.8, "confidently_wrong": 0.15, "temperature": 1.0}, "label noise"),
    ],
)
def test_each_cause_alone_is_named_alone(train: object, measured: dict[str, object], name: str) -> None:
    assert names(history(train, train, **{**SOUND, **measured})) == [name]  # type: ignore[arg-type]


def test_rows_held_out_that_fare_worse_from_the_start_are_a_shift() -> None:
    assert names(history(FALLING, FALLING + 1.0, **SOUND)) == ["shift"]
    assert names(history(FALLING, FALLING + 1.0)) == ["shift"]


def test_errors_of_overlapping_classes_are_no_label_noise() -> None:
    assert names(history(FALLING, FALLING, **SOUND, valid_accuracy=0.8, confidently_wrong=0.05, temperature=1.0)) == []


def test_folds_are_put_together_and_one_alone_is_chance() -> None:
    rising = FALLING + 0.1 * EPOCHS
    records = [
        record
        for fold in (1, 2, 3)
        for record in history(FALLING, rising if fold < 3 else FALLING, fold=fold, folds=3, model="boosting")
    ]
    (finding,) = diagnose(records)
    assert finding.seen.startswith("2 of 3 folds; figures of the first: ")
    sound = history(FALLING, FALLING, model="linear")
    (finding,) = diagnose([*records, *sound])
    assert finding.seen.startswith("Boosting, 2 of 3 folds")
    assert diagnosis_words([*records, *sound], "linear")[0].startswith("Training went as it should")
    assert diagnosis_words(records, "boosting")[0].startswith("Overfitting. 2 of 3 folds")
    assert diagnosis_words(records, "linear") == ()
    one = [r for r in records if r.fold > 1] + history(FALLING, FALLING, fold=1, folds=3, model="boosting")
    assert diagnose(one) == ()


@given(st.lists(st.tuples(LOSSES, LOSSES), max_size=30))
def test_any_history_is_read(pairs: list[tuple[float, float]]) -> None:
    records = history([a for a, _ in pairs], [b for _, b in pairs])
    found = diagnose(records)
    assert all(finding.seen and finding.remedy for finding in found)
    if any(not math.isfinite(a) for a, _ in pairs):
        assert "diverging" in [finding.name for finding in found]


def test_steps_too_long_are_the_cause_where_the_first_gradient_was_sound() -> None:
    thrown = np.where(EPOCHS > 5, np.inf, FALLING)
    measured = {"gradient_norm": 1e5, "first_gradient_norm": 1.0}
    assert names(history(thrown, thrown, **SOUND, **measured)) == ["diverging", "learning rate too high"]
    measured["first_gradient_norm"] = 1e4
    assert names(history(thrown, thrown, **SOUND, **measured)) == ["exploding gradients"]
