import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from crossent.errors import CrossentError
from crossent.evaluation.inputs import Labelled, read_labelled, read_prior

PROBS = [[0.7, 0.2, 0.1], [0.1, 0.1, 0.8], [0.2, 0.5, 0.3]]


@pytest.mark.parametrize(
    "probs",
    [
        PROBS,
        np.array(PROBS),
        np.array(PROBS, dtype=np.float16),
        torch.tensor(PROBS),
        pd.DataFrame(PROBS, columns=["x", "y", "z"]),
        pl.DataFrame(PROBS, schema=["x", "y", "z"], orient="row"),
    ],
    ids=["lists", "array", "half", "tensor", "pandas", "polars"],
)
def test_probabilities_from_anywhere(probs):
    labelled = read_labelled(probs, ["x", "z", "y"], None)
    assert_allclose(np.exp(labelled.log_probs), PROBS, atol=1e-3)
    assert_array_equal(labelled.target, [0, 2, 1])
    assert labelled.classes == ("x", "y", "z")


@pytest.mark.parametrize(
    ("y", "classes", "target", "known"),
    [
        ([0, 2, 2], None, [0, 2, 2], (0, 1, 2)),  # column numbers
        ([0.0, 2.0, 2.0], None, [0, 2, 2], (0, 1, 2)),
        ([1, 3, 2], None, [0, 2, 1], (1, 2, 3)),  # labels, each occurs: in sorted order
        (["b", "b", "a"], ["b", "c", "a"], [0, 0, 2], ("b", "c", "a")),
        ([0, 2, 2], ["b", "c", "a"], [0, 2, 2], ("b", "c", "a")),  # no class is a number: column numbers
        ([2, 0, 2], [2, 1, 0], [0, 2, 0], (2, 1, 0)),  # classes are numbers: labels
        (["2", "0", "2"], [2, 1, 0], [0, 2, 0], (2, 1, 0)),
        (pd.Series(["x", "y", "z"], index=[7, 8, 9]), None, [0, 1, 2], ("x", "y", "z")),
        (pd.Series(["x", "y", "z"], dtype="category"), None, [0, 1, 2], ("x", "y", "z")),
        (pl.Series(["x", "y", "z"]), None, [0, 1, 2], ("x", "y", "z")),
        (torch.tensor([0, 1, 2]), None, [0, 1, 2], (0, 1, 2)),
    ],
)
def test_labels_or_column_numbers(y, classes, target, known):
    labelled = read_labelled(PROBS, y, classes)
    assert_array_equal(labelled.target, target)
    assert (labelled.classes, labelled.target.dtype) == (known, np.int64)


def test_true_and_false_are_two_classes():
    labelled = read_labelled([[0.3, 0.7], [0.6, 0.4]], [True, True], None)
    assert_array_equal(labelled.target, [1, 1])
    assert labelled.classes == (False, True)


@pytest.mark.parametrize(
    ("probs", "met", "fix"),
    [
        ([[0.5, 0.2, 0.1]] * 3, "row 0 sum to 0.8", "Is a class missing?"),
        ([[50, 30, 20]] * 3, "row 0 sum to 100", "divide them by 100"),
        ([[2.0, -1.0, 0.5]] * 3, "Row 0 holds -1", "logits"),
        ([[2.0, 1.0, 0.5]] * 3, "row 0 sum to 3.5", "logits"),
        (np.log(PROBS), "Row 0 holds -2.30259", "np.exp"),
        ([[0.5, np.nan, 0.5]] * 3, "Row 0 holds NaN", ""),
        ([[np.inf, 0.0, 0.0]] * 3, "sum to inf", ""),
        ([0.2, 0.6, 0.9], r"\(3,\)", "column_stack"),
        ([[0.2], [0.6], [0.9]], r"\(3, 1\)", "column_stack"),
        (np.ones((0, 3)), r"\(0, 3\)", "one row or more"),
        ([[0.5, 0.5], [1.0]], "list", "same number"),
        (pd.DataFrame({"a": ["x"] * 3, "b": [1.0] * 3}), "DataFrame", "other columns"),
        ("probs.npy", "a str that is neither", ""),
    ],
)
def test_bad_probabilities_are_named(probs, met, fix):
    with pytest.raises(CrossentError, match=met) as found:
        read_labelled(probs, [0, 1, 0], None)
    assert fix in str(found.value)


@pytest.mark.parametrize(
    ("y", "classes", "met"),
    [
        ([0, 1], None, r"shape is \(2,\)"),
        (np.eye(3), None, "argmax"),
        (["a", "b", "zebra"], ["a", "b", "c"], "zebra"),
        ([0, 1, 3], ["a", "b", "c"], "3"),
        (["a", "b", "b"], None, "2 different labels: a, b"),
        ([0, 1, 7], [0, 1], "3 columns and 2 classes"),
        (["a", None, "b"], None, "3 different labels"),
        ([0.0, np.nan, 1.0], None, "different labels"),
        ([0, 1, -1], None, None),
    ],
)
def test_bad_labels_are_named(y, classes, met):
    if met is None:  # three different numbers for three columns are labels in sorted order
        assert read_labelled(PROBS, y, classes).classes == (-1, 0, 1)
        return
    with pytest.raises(CrossentError, match=met):
        read_labelled(PROBS, y, classes)


def test_priors():
    labelled = Labelled(np.zeros((4, 2)), np.array([0, 0, 1, 0]), ("a", "b"))
    assert_array_equal(read_prior(None, labelled), [0.75, 0.25])
    assert_array_equal(read_prior({"b": 0.9, "a": 0.1}, labelled), [0.1, 0.9])
    assert_array_equal(read_prior([0.5, 0.5], labelled), [0.5, 0.5])
    with pytest.raises(CrossentError, match="the classes are"):
        read_prior({"b": 0.9, "c": 0.1}, labelled)
