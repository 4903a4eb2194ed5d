import math

from hypothesis import example, given
from hypothesis import strategies as st

from crossent.monitoring.records import EpochRecord
from crossent.monitoring.words import FoldLosses, duration, sparkline


@given(st.lists(st.floats(), max_size=40))
@example([1.7e308, -1.7e308, 0.0])
def test_any_values_are_drawn_in_their_width(values: list[float]) -> None:
    drawn = sparkline(values, 12)
    assert len(drawn) == min(12, len(values))
    if values:
        assert (drawn[-1] == " ") == (not math.isfinite(values[-1]))


def test_the_highest_is_a_full_block_and_nan_a_gap() -> None:
    assert sparkline([0.0, 7.0, float("nan"), 3.5]) == "▁█ ▅"
    assert sparkline([float("nan")]) == " "


def test_a_line_says_best_and_time_left() -> None:
    records = [EpochRecord("network", 1, 1, i, 10, 1 / i, loss) for i, loss in ((1, 0.9), (2, 0.4), (3, float("nan")))]
    fold = FoldLosses()
    for record in records:
        assert fold.goes_on_with(record) == (record.epoch > 1)
        fold.add(record)
    line = fold.line(3.0)
    assert line.startswith("epoch 3 of 10, 7 s left: ")
    assert line.endswith("best 0.4000 in epoch 2")
    assert "left" not in fold.line(None)
    assert not fold.goes_on_with(records[0])
    assert duration(59.6) == "1 min 0 s"
