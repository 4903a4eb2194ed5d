"""Converts probabilities and labels of any kind into one form."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import numpy as np
import numpy.typing as npt
import pandas as pd

from crossent.array_checks import weight_array
from crossent.data.labels import label_positions
from crossent.errors import DataError, ShapeError
from crossent.evaluation.metrics import FloatArray, IntArray
from crossent.kinds.column import Label

SUM_TOLERANCE = 1e-3  # larger than the rounding error in the sum of 1,000 float32 probabilities
_LEAST = 1e-6  # rounding below zero


@dataclass(frozen=True)
class Labelled:
    """Probabilities of rows with known labels.

    Attributes
    ----------
    log_probs
        ``(n, K)`` float64; -inf stands for probability 0.
    target
        ``(n,)`` class indices.
    classes
        The K labels, in column order.
    weight
        ``(n,)`` float64 above 0: how many rows each row counts as; None where each counts as one.
    """

    log_probs: FloatArray
    target: IntArray
    classes: tuple[Label, ...]
    weight: FloatArray | None = None


def read_labelled(probs: Any, y: Any, classes: Sequence[Label] | None, sample_weight: Any = None) -> Labelled:
    """Read probabilities, labels and weights, without rows of weight 0; `crossent.evaluate` says what may be given.

    Raises
    ------
    ShapeError
        If values are not probabilities, do not fit the classes or labels, or a weight is negative or not finite.
    DataError
        If a label is not among the classes, or the class of each column is unknown.

    Examples
    --------
    >>> labelled = read_labelled([[0.9, 0.1], [0.5, 0.5]], ["yes", "no"], None)
    >>> labelled.target, labelled.classes
    (array([1, 0]), ('no', 'yes'))
    """
    values, columns = _values_and_columns(probs)
    check_probs(values)
    labels = _labels(y, len(values))
    found = classes if classes is not None else columns
    if found is None:
        target, known = _target_without_classes(labels, values.shape[1])
    else:
        known = tuple(found)
        if len(known) != values.shape[1]:
            raise ShapeError(
                "Each column of probabilities belongs to one class.",
                f"There are {values.shape[1]} columns and {len(known)} classes.",
                "Give the classes in the order of the columns.",
            )
        target = _target_among(labels, known)
    with np.errstate(divide="ignore"):
        log_probs = np.log(np.maximum(values, 0.0))
    if sample_weight is None:
        return Labelled(log_probs, target, known)
    weight = weight_array("sample_weight", sample_weight, len(target))
    counted = weight > 0
    return Labelled(log_probs[counted], target[counted], known, weight[counted])


def read_prior(prior: Mapping[Label, float] | npt.ArrayLike | None, labelled: Labelled) -> FloatArray:
    """Return the ``(K,)`` prior; by default the class shares of the labels.

    Raises
    ------
    ShapeError
        If a mapping does not name each class.

    Examples
    --------
    >>> read_prior({"yes": 0.25, "no": 0.75}, Labelled(np.zeros((1, 2)), np.array([0]), ("no", "yes")))
    array([0.75, 0.25])
    """
    classes = labelled.classes
    if prior is None:
        mass = np.bincount(labelled.target, labelled.weight, minlength=len(classes))
        return np.asarray(mass / mass.sum())
    if isinstance(prior, Mapping):
        missing = [label for label in classes if label not in prior]
        if missing or len(prior) != len(classes):
            raise ShapeError(
                "A prior gives the share of each class.",
                f"It names {list(prior)[:12]}; the classes are {list(classes[:12])}.",
                "Name each class once, as the classes are named.",
            )
        return np.array([prior[label] for label in classes], dtype=np.float64)
    return np.asarray(prior, dtype=np.float64)


def check_probs(probs: FloatArray) -> None:
    """Check that ``(n, K)`` values are probabilities.

    Raises
    ------
    ShapeError
        If their shape is another, one is missing or negative, or a row does not sum to 1.
    """
    if probs.ndim != 2 or probs.shape[1] < 2 or not len(probs):
        one = probs.ndim == 1 or (probs.ndim == 2 and probs.shape[1] == 1)
        raise ShapeError(
            "Probabilities have the shape (n, K): a row for each case, a column for each of two classes or more.",
            f"Their shape is {probs.shape}.",
            "Are they those of the second of two classes, p? Give np.column_stack([1 - p, p])."
            if one and probs.size
            else "Give one row or more.",
        )
    missing = np.isnan(probs).any(axis=1)
    if missing.any():
        row = int(missing.argmax())
        raise ShapeError("Probabilities are numbers.", f"Row {row} holds NaN.", "Find out where it arose.")
    sums = probs.sum(axis=1)
    negative, off = (probs < -_LEAST).any(axis=1), ~(np.abs(sums - 1) <= SUM_TOLERANCE)
    if negative.any():
        row = int(negative.argmax())
        raise ShapeError(
            "Probabilities lie between 0 and 1.", f"Row {row} holds {probs[row].min():.6g}.", _fix_of_scores(probs)
        )
    if off.any():
        row = int(off.argmax())
        raise ShapeError(
            "The probabilities of a row sum to 1.",
            f"Those of row {row} sum to {sums[row]:.6g}.",
            _fix_of_sums(probs, sums),
        )


def _fix_of_scores(probs: FloatArray) -> str:
    with np.errstate(over="ignore"):
        logs = np.abs(np.exp(probs).sum(axis=1) - 1) <= SUM_TOLERANCE
    if logs.all():
        return "These are log-probabilities: give np.exp of them."
    return "Are these logits? Give scipy.special.softmax(logits, axis=1)."


def _fix_of_sums(probs: FloatArray, sums: FloatArray) -> str:
    if (np.abs(sums - 100) <= 100 * SUM_TOLERANCE).all():
        return "These are percentages: divide them by 100."
    if (np.abs(probs.sum(axis=0) - 1) <= SUM_TOLERANCE).all():
        return "The columns sum to 1: give the transpose, with a row for each case."
    if probs.max() > 1 + SUM_TOLERANCE:
        return "Are these logits? Give scipy.special.softmax(logits, axis=1)."
    return "Is a class missing? Give a column for each. Scores of each class against the rest? Divide by their sum."


def _values_and_columns(probs: Any) -> tuple[FloatArray, tuple[Label, ...] | None]:
    if isinstance(probs, np.ndarray | list | tuple):
        frame = None
    else:
        frame = nw.from_native(probs, eager_only=True, pass_through=True)
    columns = tuple(frame.columns) if isinstance(frame, nw.DataFrame) else None
    try:
        return np.asarray(probs, dtype=np.float64), columns
    except (TypeError, ValueError) as error:
        raise ShapeError(
            "Probabilities are an (n, K) array of numbers, or a frame whose columns are the classes.",
            f"They are a {type(probs).__name__} that is neither ({error}).",
            "Leave out other columns, and give every row the same number of classes.",
        ) from error


def _labels(y: Any, rows: int) -> "pd.Series[Any]":
    values: npt.NDArray[Any] = np.asarray(y.to_numpy() if hasattr(y, "to_numpy") else y)
    if values.shape != (rows,):
        one_hot = values.ndim == 2 and len(values) == rows and values.shape[1] > 1
        raise ShapeError(
            f"Labels have the shape (n,), here ({rows},): one for each row of probabilities.",
            f"Their shape is {values.shape}.",
            "Is it one-hot? Give y.argmax(axis=1)." if one_hot else "Give the label of each row.",
        )
    if values.dtype.kind == "f" and (values % 1 == 0).all():
        values = values.astype(np.int64)  # whole numbers that passed through floats
    return pd.Series(values)


def _target_without_classes(labels: "pd.Series[Any]", class_count: int) -> tuple[IntArray, tuple[Label, ...]]:
    if pd.api.types.is_bool_dtype(labels.dtype) and class_count == 2:
        return labels.to_numpy(np.int64), (False, True)
    if pd.api.types.is_integer_dtype(labels.dtype) and labels.between(0, class_count - 1).all():
        return labels.to_numpy(np.int64), tuple(range(class_count))
    target, distinct = pd.factorize(labels, sort=not labels.isna().any(), use_na_sentinel=False)
    if len(distinct) == class_count and not labels.isna().any():
        return np.asarray(target, dtype=np.int64), tuple(distinct.tolist())
    raise DataError(
        "Without classes, labels are column numbers from 0, or each of the K classes occurs: the columns are then in "
        "sorted order, as scikit-learn has them.",
        f"There are {class_count} columns and {len(distinct)} different labels: "
        f"{', '.join(map(str, list(distinct)[:8]))}{', …' if len(distinct) > 8 else ''}.",
        "Give classes=[…] in the order of the columns.",
    )


def _target_among(labels: "pd.Series[Any]", classes: tuple[Label, ...]) -> IntArray:
    numbered = pd.api.types.is_integer_dtype(labels.dtype) and labels.between(0, len(classes) - 1).all()
    if numbered and not any(_is_number(label) for label in classes):
        return labels.to_numpy(np.int64)
    return label_positions(labels, classes)


def _is_number(label: Label) -> bool:
    return not isinstance(label, str) or label.strip().lstrip("+-").isdigit()
