import numpy as np
import pytest
from matplotlib.figure import Figure

from crossent.evaluation.drawing import (
    LABEL_LENGTH,
    confusion_shade,
    draw_confusion,
    fit_level,
    shorten,
    style,
    write_counts,
)

COUNTS = np.array([[990, 10, 0], [1, 3, 4], [0, 0, 0]])


def test_labels_are_shortened() -> None:
    assert shorten("  two\n words ") == "two words"
    assert len(shorten("x" * 99)) == LABEL_LENGTH


def test_shade_follows_the_share_of_the_true_class_and_shows_rare_errors() -> None:
    shade = confusion_shade(COUNTS)
    np.testing.assert_allclose(shade[:2] ** 3, COUNTS[:2] / [[1000], [8]])
    assert (shade[2] == 0).all()
    assert shade[0, 1] > 0.2


def test_errors_have_another_colour_and_counts_are_written() -> None:
    with style():
        axis = Figure().subplots()
        draw_confusion(axis, confusion_shade(COUNTS), ["a", "b", "c"])
        write_counts(axis, COUNTS, confusion_shade(COUNTS))
    red, _, blue = np.moveaxis(np.asarray(axis.images[0].get_array()), -1, 0)
    assert blue[0, 0] > red[0, 0]
    assert blue[0, 1] < red[0, 1]
    assert red[0, 2] == blue[0, 2] == 1
    assert sorted(text.get_text() for text in axis.texts) == ["1", "10", "3", "4", "990"]


@pytest.mark.parametrize(
    ("names", "level"), [("abcdefgh", True), (["a long name", "another one"], True), ("a" * 40, False)]
)
def test_names_without_room_are_turned(names: list[str], level: bool) -> None:
    assert fit_level(list(names)) is level
    axis = Figure().subplots()
    draw_confusion(axis, np.eye(len(names)), list(names))
    assert {label.get_rotation() for label in axis.get_xticklabels()} == {0.0 if level else 90.0}
