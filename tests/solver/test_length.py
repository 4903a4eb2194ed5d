"""Lengths of steps along functions whose lowest point is known."""

import numpy as np
import pytest

from crossent.solver.length import LONGEST, SHORTEST, lowest_along


@pytest.mark.parametrize("lowest", [0.2, 0.5, 0.8, 1.25, 2.0, 3.5])
def test_the_lowest_point_of_a_square(lowest: float) -> None:
    rise = (1 - lowest) ** 2 - lowest**2
    assert lowest_along(-2 * lowest, rise, 2 * (1 - lowest)) == pytest.approx(lowest)


def test_the_lowest_point_of_a_cubic() -> None:
    # x^3 - 0.75 x
    assert lowest_along(-0.75, 0.25, 2.25) == pytest.approx(0.5)


@pytest.mark.parametrize(("rise", "end"), [(np.inf, 1.0), (1.0, np.nan), (1e30, 1e30)])
def test_far_too_long_is_shortened_as_far_as_may_be(rise: float, end: float) -> None:
    assert lowest_along(-1.0, rise, end) == SHORTEST


def test_no_longer_than_may_be() -> None:
    assert lowest_along(-1.0, -1.0, -0.99) == LONGEST
    assert lowest_along(-1.0, -1.0, -2.0) == LONGEST
