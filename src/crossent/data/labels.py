"""Turns labels into class positions: the classes are fixed here, once."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from crossent.data.cells import plain_series
from crossent.errors import DataError
from crossent.kinds.column import Label
from crossent.kinds.values import is_duration, is_moment, texts_of
from crossent.names import listed, shortened

# With more classes than this share of the rows, a target is a quantity or an identifier, not a class.
MOST_CLASSES_SHARE = 0.5
MOST_FRACTIONS_SHARE = 0.1
_FEW_ROWS = 20
_MOST_INTEGER = np.iinfo(np.int64).max
# Above this, neighbouring whole numbers are the same number in float64.
_MOST_EXACT = 2.0**53


def encode_labels(labels: npt.NDArray[Any], target_name: str) -> tuple[npt.NDArray[np.int64], tuple[Label, ...]]:
    """Return each label's position, and the classes in sorted order.

    Raises
    ------
    DataError
        If there is only one class, or nearly as many classes as rows.
    """
    values, codes = _classes_of(labels, target_name)
    rule = f"A target needs two classes or more. Column {shortened(target_name)}"
    if len(values) < 2:
        met = f"holds one class only, {shortened(values[0])}," if len(values) else "is empty"
        raise DataError(
            f"{rule} {met} in {len(labels)} rows.", "", "Choose another target, or add rows of other classes."
        )
    _check_characters(values, target_name)
    if len(labels) >= _FEW_ROWS and len(values) > MOST_CLASSES_SHARE * len(labels):
        raise DataError(
            "A target holds classes, each with several rows.",
            f"Column {shortened(target_name)} has {len(values):,} different values in {len(labels):,} rows: "
            "a quantity or an identifier?",
            "Choose another target, or cut the quantity into classes first (pandas.cut).",
        )
    return codes, tuple(values)


def _check_characters(values: list[Any], target_name: str) -> None:
    """Check that labels can be written: half of a character can be neither shown nor saved."""
    for value in values:
        if isinstance(value, str) and any("\ud800" <= letter <= "\udfff" for letter in value):
            raise DataError(
                "Labels are made of whole characters.",
                f"Column {shortened(target_name)} holds {shortened(value)}, which contains half of a character.",
                "Read the labels again with the right encoding, or rename that class.",
            )


def _classes_of(labels: npt.NDArray[Any], target_name: str) -> tuple[list[Any], npt.NDArray[np.int64]]:
    """Return the sorted distinct labels, and the place of each row's among them."""
    try:
        codes, values = pd.factorize(labels.reshape(-1))
        order = np.argsort(values, kind="stable")
    except TypeError as error:
        types = sorted({type(label).__name__ for label in labels.reshape(-1).tolist()})
        raise DataError(
            "All labels of a target have the same type, and each is a single value.",
            f"Column {shortened(target_name)} holds {' and '.join(types[:5])}.",
            "Write all of them as text, or all as numbers.",
        ) from error
    if (codes < 0).any():
        raise DataError(
            "Every row has a label.",
            f"Column {shortened(target_name)} has none in row {int(np.argmax(codes < 0)) + 1}.",
            "Fill or drop such rows.",
        )
    places = np.empty(len(order), np.int64)
    places[order] = np.arange(len(order))
    return values[order].tolist(), places[codes]


def label_positions(labels: "pd.Series[Any]", classes: tuple[Label, ...]) -> npt.NDArray[np.int64]:
    """Return the positions of labels among known classes.

    Raises
    ------
    DataError
        If a label is missing or was not seen in training; the error names it.
    """
    positions = {_canonical(label): i for i, label in enumerate(classes)}
    # For a column of moments, the text that was a class in training.
    met = texts_of(labels) if is_moment(labels) or is_duration(labels) else labels
    # Where labels are versions, such as 3.9 and 4.0, a class may be called "4.0".
    codes = np.array([positions.get(_canonical(label), positions.get(str(label), -1)) for label in met], np.int64)
    if (codes < 0).any():
        row = int(np.argmax(codes < 0))
        unknown = sorted({str(labels.iloc[i]) for i in np.flatnonzero(codes < 0)[:1000]})
        raise DataError(
            f"Labels must be among the classes of the model: {listed(classes)}.",
            f"{int((codes < 0).sum())} are not, the first in row {_row_of_source(labels, row)}: {listed(unknown, 5)}.",
            "Correct or drop these rows, or train again with them.",
        )
    return codes


def _row_of_source(labels: "pd.Series[Any]", position: int) -> int:
    """Return the number, from 1, of a row in its file; the index also counts rows that were left out before it."""
    index = labels.index
    counts = pd.api.types.is_integer_dtype(index.dtype) and index.is_monotonic_increasing and index[0] >= 0
    return int(index[position] if counts else position) + 1


def _canonical(label: Any) -> str:
    """One form for 3, 3.0 and "3", and for True and "true", so that a file and a frame name the same class."""
    if isinstance(label, bytes):
        label = label.decode(errors="replace")
    if isinstance(label, str):
        return label.strip()
    if isinstance(label, float | np.floating) and float(label).is_integer():
        return str(int(label))
    return str(label)


def labels_of(values: "pd.Series[Any]") -> npt.NDArray[Any]:
    """Return the labels of a column: integers where all are whole numbers, booleans, or else texts.

    Raises
    ------
    DataError
        If they are fractions, or a cell holds no single value.
    """
    values = plain_series(values)
    if pd.api.types.is_bool_dtype(values.dtype):
        return values.to_numpy(bool)
    if pd.api.types.is_integer_dtype(values.dtype) and (not len(values) or values.max() <= _MOST_INTEGER):
        return values.to_numpy(np.int64)
    # Each text is stored once and, unlike in NumPy's text type, not padded to the length of the longest one.
    codes, distinct = pd.factorize(texts_of(values).str.strip())
    texts = pd.Series(distinct, dtype="str")
    real = pd.api.types.is_float_dtype(values.dtype)
    # The code -1 of a missing label takes the last entry.
    numbers = values.to_numpy(np.float64) if real else np.append(pd.to_numeric(texts, errors="coerce"), np.nan)[codes]
    whole = bool((numbers % 1 == 0).all())
    exact = whole and bool((np.abs(numbers) <= _MOST_EXACT).all())
    if exact and (real or texts.str.fullmatch(r"-?(0|[1-9]\d{0,14})").all()):
        return numbers.astype(np.int64)
    # A few distinct fractions can be names, such as versions; many are measurements.
    if whole or np.isnan(numbers).any() or len(texts) <= MOST_FRACTIONS_SHARE * len(codes):
        return np.array([*texts, None], dtype=object)[codes]
    raise DataError(
        "A target holds classes.",
        f"Column {shortened(values.name)} holds fractions, such as {numbers[numbers % 1 != 0][0]}: a quantity.",
        "Choose another target, or cut the quantity into classes first (pandas.cut).",
    )


def rare_class_notes(codes: npt.NDArray[np.int64], classes: tuple[Label, ...]) -> list[str]:
    """Say which classes have only one row."""
    counts = np.bincount(codes, minlength=len(classes))
    single = [str(classes[i]) for i in np.flatnonzero(counts == 1)]
    if not single:
        return []
    return [f"Classes with only one row are used for training and cannot be evaluated: {listed(single, 5)}."]
