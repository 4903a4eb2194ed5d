"""Which tensors share memory, against sets of their places and cases worked by hand."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crossent.errors import ShapeError
from crossent.losses.overlap import check_out_is_apart, have_common_range, lie_in_memory
from crossent.losses.terms import LossTerms

# Where they begin, their steps, and numbers of their elements.
PARTS = st.tuples(st.integers(0, 15), st.integers(1, 4), st.integers(1, 5))


@settings(max_examples=100)
@given(first=PARTS, second=PARTS)
def test_the_gradient_is_refused_where_an_element_of_it_lies_over_another(
    first: tuple[int, int, int], second: tuple[int, int, int]
) -> None:
    """Interleaved tensors share a range, but no element."""
    memory = torch.zeros(32)
    places = [range(begin, begin + step * count, step) for begin, step, count in (first, second)]
    out, weight = (memory[at.start : at.stop : at.step] for at in places)
    target, terms = torch.zeros(1, dtype=torch.int64), LossTerms(class_weight=weight)
    if set(places[0]) & set(places[1]):
        with pytest.raises(ShapeError, match="class_weight"):
            check_out_is_apart(out, target, terms)
    else:
        check_out_is_apart(out, target, terms)


@pytest.mark.parametrize("name", ["target", "class_weight", "sample_weight", "log_prior", "class_mask"])
def test_the_error_names_what_lies_under_the_gradient(name: str) -> None:
    out = torch.zeros(6, 2)
    under = out[2:5, 1]
    target = under if name == "target" else torch.zeros(6, dtype=torch.int64)
    terms = LossTerms() if name == "target" else LossTerms(**{name: under})
    with pytest.raises(ShapeError, match=f"with {name}"):
        check_out_is_apart(out, target, terms)


def test_ranges_that_touch_are_not_common() -> None:
    memory = torch.zeros(10)
    assert not have_common_range(memory[:5], memory[5:])
    assert have_common_range(memory[:5], memory[4:])
    # From the first byte of the one to the last byte of the other.
    assert have_common_range(memory[::2], memory[1::2])
    assert have_common_range(memory, memory.view(torch.int32)[3:4])


def test_what_lies_in_memory() -> None:
    class Own(torch.Tensor):
        pass

    assert lie_in_memory(torch.zeros(2), None, torch.nn.Parameter(torch.zeros(2)))
    assert not lie_in_memory(torch.zeros(2), torch.zeros(2, device="meta"))
    assert not lie_in_memory(torch.eye(2).to_sparse())
    assert not lie_in_memory(torch.zeros(2).as_subclass(Own))
    seen = []
    torch.func.vmap(lambda row: seen.append(lie_in_memory(row)) or row)(torch.zeros(2, 3))
    assert seen == [False]
