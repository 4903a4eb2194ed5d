"""The operators of torch take the options of a loss in the order of `RowTerms`."""

from dataclasses import fields

import pytest
import torch

import crossent.losses.operators  # noqa: F401 - registers the operators
from crossent.kernels.problem import RowTerms
from crossent.losses.terms import LossTerms


@pytest.mark.parametrize("operator", ["row_losses", "row_gradients"])
def test_the_options_of_an_operator_are_the_fields_of_row_terms(operator: str) -> None:
    arguments = getattr(torch.ops.crossent, operator).default._schema.arguments
    names = [field.name for field in fields(RowTerms)]
    assert [argument.name for argument in arguments[-len(names) :]] == names


@pytest.mark.parametrize("options", [RowTerms, LossTerms])
def test_options_are_set_by_name_only(options: type[RowTerms | LossTerms]) -> None:
    with pytest.raises(TypeError, match="positional"):
        options(torch.zeros(3))  # type: ignore[call-arg]
