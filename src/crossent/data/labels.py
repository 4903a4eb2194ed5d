"""Labels to class positions: the classes are fixed here, once."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from crossent.data.column import Label
from crossent.errors import DataError

# With more classes than this share of the rows, a target is a quantity or an identifier, not a class.
MOST_CLASSES_SHARE = 0.5
MOST_FRACTIONS_SHARE = 0.1
_FEW_ROWS = 20


def encode_labels(labels: npt.NDArray[Any], target_name: str) -> tuple[npt.NDArray[np.int64], tuple[Label, ...]]:
    """Return each label's position, and the classes in sorted order.

    Raises
    ------
    DataError
        If there is one class only, or nearly as many as rows.
    """
    values, codes = np.unique(labels, return_inverse=True)
    rule = f"A target needs two classes or more. Column {target_name!r}"
    if len(values) < 2:
        met = f"holds one class only, {values.tolist()[0]!r}," if len(values) else "is empty"
        raise DataError(
            f"{rule} {met} in {len(labels)} rows.", "", "Choose another target, or add rows of other classes."
        )
    if len(labels) >= _FEW_ROWS and len(values) > MOST_CLASSES_SHARE * len(labels):
        raise DataError(
            "A target holds classes, each with several rows.",
            f"Column {target_name!r} has {len(values):,} different values in {len(labels):,} rows: "
            "a quantity or an identifier?",
            "Choose another target, or cut the quantity into classes first (pandas.cut).",
        )
    return codes.astype(np.int64).reshape(-1), tuple(values.tolist())


def label_positions(labels: "pd.Series[Any]", classes: tuple[Label, ...]) -> npt.NDArray[np.int64]:
    """Return the positions of labels among known classes.

    Raises
    ------
    DataError
        If a label is missing or was not seen in training; it is named.
    """
    positions = {_canonical(label): i for i, label in enumerate(classes)}
    codes = np.array([positions.get(_canonical(label), -1) for label in labels], dtype=np.int64)
    if (codes < 0).any():
        row = int(np.argmax(codes < 0))
        unknown = sorted({str(labels.iloc[i]) for i in np.flatnonzero(codes < 0)[:1000]})
        raise DataError(
            "Labels must be among the classes of the model: " + ", ".join(map(str, classes[:12])) + ".",
            f"{int((codes < 0).sum())} are not, the first in row {row + 1}: {', '.join(unknown[:5])}.",
            "Mend or drop these rows, or train again with them.",
        )
    return codes


def _canonical(label: Any) -> str:
    """One form for 3, 3.0 and "3", and for True and "true", so that a file and a frame name the same class."""
    if isinstance(label, str):
        return label.strip()
    if isinstance(label, float | np.floating) and float(label).is_integer():
        return str(int(label))
    return str(label)


def labels_of(values: "pd.Series[Any]") -> npt.NDArray[Any]:
    """Whole numbers become integers, whatever the file kept them as; all else stays text or what it was."""
    if pd.api.types.is_bool_dtype(values.dtype):
        return values.to_numpy(bool)
    if pd.api.types.is_integer_dtype(values.dtype):
        return values.to_numpy(np.int64)
    texts = values.astype("str").str.strip()
    numbers = np.asarray(pd.to_numeric(values, errors="coerce"), dtype=np.float64)
    whole = bool((numbers % 1 == 0).all())
    if whole and (pd.api.types.is_float_dtype(values.dtype) or texts.str.fullmatch(r"-?(0|[1-9]\d{0,14})").all()):
        return numbers.astype(np.int64)
    # A few fractions are names, such as versions; many are measurements.
    if whole or np.isnan(numbers).any() or texts.nunique() <= MOST_FRACTIONS_SHARE * len(texts):
        return texts.to_numpy(dtype=str)
    raise DataError(
        "A target holds classes.",
        f"Column {values.name!r} holds fractions, such as {numbers[numbers % 1 != 0][0]}: a quantity.",
        "Choose another target, or cut the quantity into classes first (pandas.cut).",
    )


def rare_class_notes(codes: npt.NDArray[np.int64], classes: tuple[Label, ...]) -> list[str]:
    """Say which classes have one row only."""
    counts = np.bincount(codes, minlength=len(classes))
    single = [str(classes[i]) for i in np.flatnonzero(counts == 1)]
    if not single:
        return []
    shown = ", ".join(single[:5]) + (", …" if len(single) > 5 else "")
    return [f"Classes with one row only are used for training, and no figure can judge them: {shown}."]
