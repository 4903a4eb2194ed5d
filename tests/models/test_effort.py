from hypothesis import given
from hypothesis import strategies as st

from crossent.models.effort import choose_batch_size, choose_effort, choose_epochs, choose_patience

ROWS = st.integers(1, 10_000_000)


@given(ROWS)
def test_a_batch_is_the_next_power_of_two_of_a_twentieth_within_bounds(rows: int) -> None:
    size = choose_batch_size(rows)
    assert size in ({32, 64, 128, 256} if rows < 25_000 else {512})
    assert size >= 256 or size >= rows // 20
    assert size == 32 or size // 2 < rows // 20


@given(ROWS)
def test_epochs_are_few_enough_to_see_the_rows_that_are_enough(rows: int) -> None:
    effort, epochs = choose_effort(rows), choose_epochs(rows)
    assert effort.fewest_epochs <= epochs <= 60
    assert epochs == effort.fewest_epochs or epochs * rows <= effort.rows_seen
    assert epochs == 60 or (epochs + 1) * rows > effort.rows_seen


def test_from_8_000_rows_on_a_network_is_larger_and_sees_more() -> None:
    few, many = choose_effort(7_999), choose_effort(8_000)
    assert (few.heads, few.width, many.heads, many.width) == (1, 128, 2, 256)
    assert few.rows_seen < many.rows_seen


@given(st.integers(1, 10_000))
def test_patience_is_at_least_an_epoch_and_never_longer_than_training(epochs: int) -> None:
    assert 1 <= choose_patience(epochs) <= epochs
