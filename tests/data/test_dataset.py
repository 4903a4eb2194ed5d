import dataclasses

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


def test_shares_go_along_and_make_the_prior(table: pd.DataFrame) -> None:
    dataset = read(table, "label")
    np.testing.assert_allclose(dataset.prior, dataset.class_counts / 300)
    shares = np.random.default_rng(0).dirichlet([3.0, 2.0, 1.0], size=300).astype(np.float32)
    soft = dataclasses.replace(dataset, distribution=shares)
    np.testing.assert_allclose(soft.prior, shares.mean(axis=0), rtol=1e-6)
    some = soft.take(np.array([5, 2]))
    assert some.distribution is not None
    np.testing.assert_array_equal(some.distribution, shares[[5, 2]])
