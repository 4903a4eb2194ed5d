"""What saved dataclasses hold: each field of each of them is changed, and is refused, or predicts probabilities."""

import dataclasses
import typing
from collections.abc import Iterator
from typing import Annotated, Any

import numpy as np
import pandas as pd
import pytest

from crossent.calibration.scaling import Attempt, Calibration, MatrixScaling, Mixing, Temperature, VectorScaling
from crossent.data.understand import conform
from crossent.errors import ModelFileError
from crossent.fitting.fit import FitResult
from crossent.logits import log_softmax
from crossent.predictor import Predictor
from crossent.records import RecordDecoder, RecordEncoder
from crossent.value_checks import check_bounded, check_cardinalities, check_distinct, check_number, check_shares
from tests.conftest import draw_reviews, draw_table


def test_numbers_that_are_not_finite_or_too_large_are_refused() -> None:
    check_bounded("x", np.array([-3.0, 3.0]), 3)
    check_bounded("x", np.empty(0), 3)
    check_number("x", 3.0, 3, 3)
    for bad in (np.nan, np.inf, -np.inf, 3.1, -3.1):
        with pytest.raises(ValueError, match="x must be finite and within 3 of zero"):
            check_bounded("x", np.array([0.0, bad]), 3)
        with pytest.raises(ValueError, match="which is not from 3 to 3"):
            check_number("x", bad, 3, 3)


def test_values_that_come_twice_are_refused() -> None:
    check_distinct("x", ["a", "b"])
    with pytest.raises(ValueError, match="x must be distinct"):
        check_distinct("x", ["a", "b", "a"])


@pytest.mark.parametrize("shares", [[0.5, 0.6], [-0.1, 1.1], [np.nan, 1.0], [np.inf, 0.0], [0.5, 0.3, 0.2]])
def test_shares_that_are_negative_or_do_not_sum_to_one_are_refused(shares: list[float]) -> None:
    check_shares("x", np.array([[0.0, 1.0], [0.25, 0.75]]), (2, 2))
    with pytest.raises(ValueError, match="x "):
        check_shares("x", np.array(shares), (2,))


@pytest.mark.parametrize("cardinalities", [(0, 3), (-3, 6), (4, 5)])
def test_numbers_of_codes_that_do_not_fit_are_refused(cardinalities: tuple[int, ...]) -> None:
    check_cardinalities((3, 5), 8)
    with pytest.raises(ValueError, match="8 or less together"):
        check_cardinalities(cardinalities, 8)


def scaled(predictor: Predictor) -> list[Predictor]:
    """The predictor with calibrations of all steps."""
    weight, bias = np.full(3, 1.1), np.linspace(0, 0.1, 3)
    vector = (Temperature(1.5), Mixing(0.01), VectorScaling(weight, bias), Mixing(0.01))
    matrix = (Temperature(1.5), Mixing(0.01), MatrixScaling(np.diag(weight), bias), Mixing(0.01))
    attempts = (Attempt("vector", 0.25, 1.0, kept=True),)
    calibrations = (
        Calibration("vector", vector, 1.0, 0.9, "", attempts),
        Calibration("matrix", matrix, 1.0, 0.9, "", attempts),
    )
    return [dataclasses.replace(predictor, calibration=calibration) for calibration in calibrations]


def changed_values(value: Any, seen: set[tuple[str, str]]) -> Iterator[tuple[str, Any]]:
    """What may stand in the place of a value: with each part of it changed, one of a class for its like."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            if (type(value).__name__, field.name) in seen:
                continue
            seen.add((type(value).__name__, field.name))
            for what, other in changed_values(getattr(value, field.name), seen):
                yield f"{type(value).__name__}.{field.name}: {what}", unchecked(value, field.name, other)
    elif isinstance(value, tuple):
        for i, item in enumerate(value):
            for what, other in changed_values(item, seen if dataclasses.is_dataclass(item) else set()):
                yield what, (*value[:i], other, *value[i + 1 :])
        yield "emptied", ()
        yield "shortened", value[:-1]
        yield "first again", (*value, *value[:1])
        yield "turned", value[::-1]
    elif isinstance(value, np.ndarray):
        yield from changed_arrays(value)
    else:
        yield from ((f"{value!r} to {other!r}", other) for other in changed_scalars(value))


def unchecked(value: Any, name: str, other: Any) -> Any:
    """A copy of a dataclass with another field, as if it had no checks."""
    new = object.__new__(type(value))
    for field in dataclasses.fields(value):
        object.__setattr__(new, field.name, other if field.name == name else getattr(value, field.name))
    return new


def changed_arrays(array: np.ndarray[Any, Any]) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    for axis in range(array.ndim):
        yield f"none along {axis}", np.take(array, [], axis)
        if array.shape[axis]:
            yield f"less along {axis}", np.delete(array, -1, axis)
            yield f"more along {axis}", np.insert(array, 0, np.take(array, 0, axis), axis)
            yield f"turned along {axis}", np.flip(array, axis).copy()
    yield "one axis more", array[None]
    yield "flat", array.ravel()
    yield "of no axis", np.zeros((), array.dtype)
    yield "in other numbers", array.astype(np.int16 if array.dtype.kind == "f" else np.float64)
    others: list[Any] = [0, 1]
    if array.dtype.kind != "b":
        ends = np.finfo(array.dtype) if array.dtype.kind == "f" else np.iinfo(array.dtype)
        others += [ends.min, ends.max]
    others += [np.nan, np.inf, -1] if array.dtype.kind == "f" else []
    for other in others if array.size else ():
        for name, where in (("all", slice(None)), ("one", slice(1))):
            copy = array.copy()
            copy.reshape(-1)[where] = other
            yield f"{name} {other}", copy


def changed_scalars(value: Any) -> list[Any]:
    if value is None or isinstance(value, bool):
        return [1, "x", not value]
    if isinstance(value, int):
        return [value + 1, value - 1, -value, 0, 2**70, float(value), "x", None]
    if isinstance(value, float):
        return [-value, 0.0, 1e300, 5e-324, np.nan, np.inf, 1, None]
    return [value + "x", "", "x" * 1000, "\0", "\ud800", 1, None, *("value", "month", "text", "number", "matrix")]


def record_of(value: Any, hint: Any, key: str, arrays: dict[str, Any], texts: dict[str, str]) -> Any:
    """Return the record of a value of any type: saving refuses what is not as declared, and a file may hold it."""
    if typing.get_origin(hint) is Annotated:
        texts[key] = value
        return {"text": key}
    if isinstance(value, np.ndarray):
        arrays[key] = np.ascontiguousarray(value)
        return {"array": key, "dtype": str(value.dtype), "shape": list(value.shape)}
    if dataclasses.is_dataclass(value):
        hints = typing.get_type_hints(type(value), include_extras=True)
        fields = {
            field.name: record_of(getattr(value, field.name), hints[field.name], f"{key}.{field.name}", arrays, texts)
            for field in dataclasses.fields(value)
        }
        return {"type": type(value).__name__, "fields": fields}
    if isinstance(value, tuple):
        return [record_of(item, None, f"{key}.{i}", arrays, texts) for i, item in enumerate(value)]
    return {"float": repr(value)} if isinstance(value, float) and not np.isfinite(value) else value


def test_records_are_those_of_saving(text_fit: FitResult) -> None:
    encoder = RecordEncoder()
    arrays: dict[str, Any] = {}
    texts: dict[str, str] = {}
    assert record_of(text_fit.predictor, Predictor, "", arrays, texts) == encoder.encode(
        text_fit.predictor, Predictor, ""
    )
    assert (arrays.keys(), texts) == (encoder.arrays.keys(), encoder.texts)


def outcome(changed: Predictor, frame: pd.DataFrame) -> str:
    arrays: dict[str, Any] = {}
    texts: dict[str, str] = {}
    record = record_of(changed, Predictor, "", arrays, texts)
    try:
        loaded = RecordDecoder(arrays, texts, former=False).decode(record, Predictor, "")
    except ModelFileError:
        return "refused"
    probs = np.exp(log_softmax(loaded.logits_of(frame)))
    valid = np.isfinite(probs).all() and (probs >= 0).all() and np.allclose(probs.sum(axis=1), 1)
    return "predicts" if valid and probs.shape == (len(frame), len(loaded.classes)) else "invalid"


@pytest.mark.parametrize(
    "name", ["text", *(pytest.param(name, marks=pytest.mark.slow) for name in ("linear", "network", "boosting"))]
)
@pytest.mark.filterwarnings("ignore:overflow")
def test_each_field_that_is_changed_is_refused_or_predicts(name: str, request: pytest.FixtureRequest) -> None:
    result: FitResult = request.getfixturevalue(f"{name}_fit")
    frame = conform((draw_reviews if name == "text" else draw_table)(5, seed=5), result.predictor.columns)
    seen: set[tuple[str, str]] = set()
    outcomes = {
        what: outcome(changed, frame)
        for predictor in scaled(result.predictor)
        for what, changed in changed_values(predictor, seen)
    }
    assert len(outcomes) > 300
    assert [what for what, found in outcomes.items() if found not in {"refused", "predicts"}] == []
    # What decides nothing, such as a note, may change.
    assert sum(found == "refused" for found in outcomes.values()) > len(outcomes) / 2
