import numpy as np
import pandas as pd

from crossent.data.read import read


def test_take_keeps_classes_columns_and_row_numbers(table: pd.DataFrame) -> None:
    dataset = read(table.assign(who=np.arange(300) % 7), "label", groups="who", time="seen")
    some = dataset.take(np.array([5, 2]))
    assert some.frame.index.tolist() == [5, 2]
    assert some.classes == dataset.classes
    assert some.columns == dataset.columns
    assert some.groups is not None
    assert some.groups.tolist() == [5, 2]
    mask = dataset.target == 1
    assert len(dataset.take(mask)) == mask.sum() == dataset.class_counts[1]
    assert dataset.take(mask).class_counts.tolist() == [0, int(mask.sum()), 0]
