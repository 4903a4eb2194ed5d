"""How tensors become what the row kernels are given."""

import ctypes

import numpy as np
import pytest
import torch

from crossent.kernels.problem import DTYPES, RowTerms, has_memory, num_classes_of, row_problem, view


def element(values: torch.Tensor, outer: int, inner: int, k: int) -> float:
    """What lies where a view says that the logit of a row and a class lies."""
    address, dtype, *strides = view(values)
    place = sum(step * i for step, i in zip(strides, (outer, inner, k), strict=True))
    assert dtype == DTYPES[torch.float64]
    return ctypes.c_double.from_address(address + 8 * place).value


def test_a_view_leads_to_every_element_of_any_strides() -> None:
    whole = torch.arange(2 * 3 * 4 * 5, dtype=torch.float64).view(4, 3, 2, 5)
    for values in (whole[:, :, 1], whole[1:, ::2, :, 3], whole.permute(3, 1, 0, 2)[..., 0], whole[:, :, 0].flip(0)[1:]):
        for (outer, k, inner), expected in np.ndenumerate(values.numpy()):
            assert element(values, outer, inner, k) == expected
    rows = whole[0, :, :, 2].T
    for (outer, k), expected in np.ndenumerate(rows.numpy()):
        assert element(rows, outer, 0, k) == expected
    row = whole[1, 2, :, 4]
    assert [element(row, 0, 0, k) for k in range(2)] == row.tolist()


@pytest.mark.parametrize(("shape", "rows"), [((5,), (1, 1)), ((3, 5), (3, 1)), ((3, 5, 7), (3, 7))])
def test_the_second_dimension_holds_the_classes_or_the_only_one(shape: tuple[int, ...], rows: tuple[int, int]) -> None:
    logits = torch.zeros(shape)
    problem = row_problem(logits, RowTerms(), None)
    assert num_classes_of(logits) == problem.classes == problem.total_classes == 5
    assert (problem.outer_rows, problem.inner_rows) == rows


def test_every_term_arrives_in_the_field_of_its_name() -> None:
    logits, gradient = torch.zeros(3, 5), torch.ones(3, 5)
    arrays = {
        "target": torch.zeros(3, dtype=torch.int64),
        "class_weight": torch.ones(5),
        "sample_weight": torch.ones(3),
        "log_prior": torch.zeros(5),
        "possible_count": torch.ones(3),
    }
    views = {"distribution": torch.zeros(3, 5), "possible": torch.ones(3, 5, dtype=torch.bool)}
    numbers = {
        "ignore_index": -7,
        "label_smoothing": 0.1,
        "temperature": 1.5,
        "softcap": 30.0,
        "z_loss": 0.25,
        "focal_gamma": 2.0,
        "weighted_smoothing": False,
    }
    problem = row_problem(logits, RowTerms(**arrays, **views, **numbers), gradient)
    assert {name: getattr(problem, name) for name in numbers} == numbers
    assert {name: getattr(problem, name) for name in arrays} == {
        name: tensor.data_ptr() for name, tensor in arrays.items()
    }
    for name, tensor in {**views, "logits": logits, "gradient": gradient}.items():
        assert (getattr(problem, name).data, getattr(problem, name).classes) == (tensor.data_ptr(), 1)
    empty = row_problem(logits, RowTerms(), None)
    assert [getattr(empty, name) for name in arrays] == [None] * 5
    assert empty.gradient.data is empty.distribution.data is empty.possible.data is None


def test_tensors_whose_elements_lie_nowhere_are_told() -> None:
    freed = torch.ones(3)
    freed.untyped_storage().resize_(0)
    assert not has_memory(freed)
    assert not has_memory(torch._efficientzerotensor(3))
    assert has_memory(torch.ones(3))
    assert has_memory(torch.empty(0))
