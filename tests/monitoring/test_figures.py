import io

import numpy as np
from PIL import Image

from crossent.logits import LabelledLogits
from crossent.monitoring.figures import MOST_CLASSES, confusion_picture, most_confused, reliability_picture


def draw(n: int, classes: int, seed: int = 0) -> LabelledLogits:
    rng = np.random.default_rng(seed)
    target = rng.integers(classes, size=n)
    logits = rng.normal(size=(n, classes)).astype(np.float32)
    logits[np.arange(n), target] += 3
    return LabelledLogits(logits, target)


def size(png: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(png)) as image:
        assert image.format == "PNG"
        assert len(np.unique(np.asarray(image.convert("L")))) > 10
        return image.size


def test_pictures_are_drawn_for_any_number_of_classes() -> None:
    assert size(reliability_picture(draw(100, 3)))[0] == 520
    widths = [size(confusion_picture(draw(300, k), range(k)))[0] for k in (2, 30, 31, 300)]
    assert widths[0] < widths[1] < 1200
    assert max(widths) < 1200


def test_names_of_any_script_and_length_find_room() -> None:
    long = size(confusion_picture(draw(100, 3), ["$x$", "机器学习", "a name that is far too long"]))
    short = size(confusion_picture(draw(100, 3), ["a", "b", "c"]))
    assert long[0] > short[0]
    assert long[1] > short[1]


def test_of_many_classes_those_with_most_errors_are_drawn() -> None:
    counts = np.diag(np.full(100, 5))
    wrong = np.arange(99, 99 - 2 * MOST_CLASSES, -2)
    counts[wrong, (wrong + 2) % 100] = 3
    shown = most_confused(counts)
    assert len(shown) == MOST_CLASSES
    assert set(shown) <= set(wrong) | {1}
    assert (np.diff(shown) > 0).all()
