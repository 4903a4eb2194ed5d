"""Columns of a frame without the types that only wrap other types; features and labels are read from these."""

import functools
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from crossent.data.arrow import series_of
from crossent.errors import DataError
from crossent.kinds.values import arrow_of, is_duration, is_moment, not_writable, series_of_texts, texts_of
from crossent.names import shortened

# Texts that mean "no value" in a feature. In a target only an empty field means it, because a class may be called "NA".
MISSING_TEXTS = ("", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "NULL", "null", "None", "<NA>", "?")

_NESTED = (list, dict, set, frozenset, tuple, np.ndarray, pd.Series, pd.DataFrame)


def plain_series(values: "pd.Series[Any]") -> "pd.Series[Any]":
    """Return a column without the types of pandas and Arrow that only wrap other types.

    Raises
    ------
    DataError
        If a cell holds a list, a structure or a complex number.
    """
    if isinstance(values.dtype, pd.ArrowDtype):
        values = series_of(pa.chunked_array([pa.array(values)]), str(values.name), "The table").set_axis(values.index)
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(object)
    if values.dtype == object:
        nested = next((value for value in values if isinstance(value, _NESTED)), None)
        if nested is not None:
            raise DataError(
                "A cell holds one value.",
                f"Column {shortened(values.name)} holds a {type(nested).__name__}: {str(nested)[:40]}.",
                "Spread it over several columns, or drop it.",
            )
        try:
            values = values.infer_objects()
        except ValueError as error:
            raise not_writable(values.name, error) from error
    if pd.api.types.is_complex_dtype(values.dtype):
        met = f"Complex data not supported: column {shortened(values.name)}."
        raise DataError("Values must be real.", met, "Split them.")
    return values


def features_of(values: "pd.Series[Any]") -> "pd.Series[Any]":
    """Return a column of a frame as numbers, moments, durations, or texts whose words for "missing" are missing.

    Raises
    ------
    DataError
        If a cell holds more than one value, or none that can be written as text.
    """
    if isinstance(values.dtype, np.dtype) and values.dtype.kind in "biuf":
        return values
    if not isinstance(values.dtype, pd.StringDtype):
        values = plain_series(values)
        if pd.api.types.is_numeric_dtype(values) or is_moment(values) or is_duration(values):
            return values
    values = texts_of(values)
    before = arrow_of(values)
    texts = pc.utf8_trim_whitespace(before)
    missing = pc.is_in(texts, value_set=_missing_texts())
    if missing.true_count:
        texts = pc.if_else(missing, pa.scalar(None, texts.type), texts)
    return values if texts.equals(before) else series_of_texts(texts, values.name, values.index)


@functools.cache
def _missing_texts() -> pa.Array:
    return pa.array(MISSING_TEXTS, pa.large_string())
