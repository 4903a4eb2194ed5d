"""The structs that Python fills, against the headers that the kernels are compiled with."""

import ctypes
import re
from pathlib import Path

import pytest

from crossent.kernels import (
    adamw,
    curves,
    dual_ascent,
    info,
    linear,
    log_softmax,
    ngrams,
    problem,
    products,
    regression,
    trees,
)
from crossent.kernels.library import open_library

HEADERS = Path(problem.__file__).parent
STRUCTS: list[tuple[str, type[ctypes.Structure]]] = [
    ("rows.h", problem.View),
    ("rows.h", problem.RowProblem),
    ("linear.h", linear._LinearProblem),
    ("regression.h", regression._RegressionProblem),
    ("regression.h", regression._CouplingProblem),
    ("dual_ascent.h", dual_ascent._DualProblem),
    ("matrix_product.h", products._ProductProblem),
    ("matrix_product.h", products._ColumnSumProblem),
    ("matrix_product.h", products._ScatterProblem),
    ("curves.h", curves._CurveProblem),
    ("adamw.h", adamw._AdamWProblem),
    ("ngrams.h", ngrams._NgramProblem),
    ("log_softmax.h", log_softmax._LogSoftmaxProblem),
    ("trees.h", trees._Forest),
    ("trees.h", trees._TreeArrangement),
    ("trees.h", trees._TreeProblem),
]


def fields_in_header(header: str, struct: str) -> list[tuple[str, str]]:
    """Return name and type of each field, all pointers being of one type."""
    text = re.sub(r"//[^\n]*", "", (HEADERS / header).read_text())
    body = re.search(rf"struct {struct} \{{(.*?)\n\}};", text, re.DOTALL)
    assert body is not None
    declarations = [" ".join(part.split()) for part in body[1].split(";") if part.strip()]
    fields = []
    for declaration in declarations:
        kind, name = declaration.rsplit(" ", 1)
        is_pointer = "*" in kind or kind == "ParallelFor"
        fields.append((name, "pointer" if is_pointer else kind))
    return fields


def fields_in_python(struct: type[ctypes.Structure]) -> list[tuple[str, str]]:
    names = {
        ctypes.c_int64: "int64_t",
        ctypes.c_double: "double",
        ctypes.c_void_p: "pointer",
        ctypes.c_char_p: "pointer",
    }
    return [(name, names.get(kind, kind.__name__.lstrip("_"))) for name, kind in struct._fields_]


@pytest.mark.parametrize(("header", "struct"), STRUCTS)
def test_fields_are_those_of_the_header_in_their_order(header: str, struct: type[ctypes.Structure]) -> None:
    assert fields_in_python(struct) == fields_in_header(header, struct.__name__.lstrip("_"))


def test_every_struct_of_the_headers_that_python_fills_is_compared() -> None:
    named = {struct.__name__.lstrip("_") for _, struct in STRUCTS}
    in_headers = {
        name
        for header in HEADERS.glob("*.h")
        for name in re.findall(r"^struct (\w+Problem) \{", header.read_text(), re.M)
    }
    assert in_headers <= named


@pytest.mark.skipif(not info().available, reason="there are no native kernels here")
def test_a_struct_of_another_size_is_refused_at_load() -> None:
    class CurveProblem(ctypes.Structure):
        _fields_ = (("rows", ctypes.c_int64),)

    class UnknownProblem(ctypes.Structure):
        _fields_ = (("rows", ctypes.c_int64),)

    open_library(*(struct for _, struct in STRUCTS if struct not in (problem.View, trees._Forest)))
    with pytest.raises(ImportError, match=r"CurveProblem has \d+ bytes in .* and 8 here"):
        open_library(CurveProblem)
    with pytest.raises(ImportError, match="UnknownProblem has 0 bytes"):
        open_library(UnknownProblem)
