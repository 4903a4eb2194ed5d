import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossent.data.dataset import Dataset
from crossent.data.duplicates import Duplicates
from crossent.data.merge import merge_copies


def draw(rows: int, *, beside: bool = False, seed: int = 0) -> Dataset:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"volt": rng.normal(size=rows), "room": rng.choice(list("abc"), rows)})
    groups, time = (rng.integers(9, size=rows), rng.integers(5, size=rows).astype(float)) if beside else (None, None)
    return Dataset(frame, (), rng.integers(3, size=rows), ("a", "b", "c"), "y", groups, time)


def content(dataset: Dataset) -> list[tuple[object, ...]]:
    weight = np.ones(len(dataset)) if dataset.weight is None else dataset.weight
    columns = [dataset.frame["volt"], dataset.frame["room"], dataset.target, weight]
    return list(zip(*(list(column) for column in columns), strict=True))


def with_weight(dataset: Dataset, weight: np.ndarray) -> Dataset:
    return Dataset(
        dataset.frame,
        dataset.columns,
        dataset.target,
        dataset.classes,
        "y",
        dataset.groups,
        dataset.time,
        weight=weight.astype(np.float64),
    )


@given(st.data(), st.integers(0, 5), st.booleans())
def test_copies_in_any_order_are_weights(data: st.DataObject, seed: int, beside: bool) -> None:
    once = draw(12, beside=beside, seed=seed)
    weight = np.array(data.draw(st.lists(st.integers(1, 4), min_size=12, max_size=12)))
    weighted = merge_copies(with_weight(once, weight), "auto")
    order = np.random.default_rng(seed).permutation(int(weight.sum()))
    copies = once.take(np.repeat(np.arange(12), weight)[order])
    merged = merge_copies(copies, "auto")
    if (weight == 1).all():
        assert merged is copies
    else:
        assert content(merged) == content(weighted)
    assert sorted(content(weighted)) == sorted(
        (*row[:3], float(w)) for row, w in zip(content(once), weight, strict=True)
    )


def test_rows_without_weights_and_copies_stay_as_they_are() -> None:
    dataset = draw(20)
    assert merge_copies(dataset, "auto") is dataset


def test_copies_of_other_labels_groups_or_moments_stay_apart() -> None:
    once = draw(1)
    two = np.zeros(2, np.int64)
    kwargs = {"frame": once.frame.iloc[two], "columns": (), "classes": ("a", "b"), "target_name": "y"}
    other_label = Dataset(target=np.array([0, 1]), **kwargs)  # type: ignore[arg-type]
    other_group = Dataset(target=two, groups=np.array([0, 1]), **kwargs)  # type: ignore[arg-type]
    other_moment = Dataset(target=two, time=np.array([0.0, 1.0]), **kwargs)  # type: ignore[arg-type]
    for dataset in (other_label, other_group, other_moment):
        assert merge_copies(dataset, "together") is dataset
    assert merge_copies(Dataset(target=two, **kwargs), "together").weight == [2.0]  # type: ignore[arg-type]


@pytest.mark.parametrize(("duplicates", "rows"), [("auto", 40), ("together", 4), ("anywhere", 40)])
def test_answers_that_many_give_are_merged_only_where_all_equal_rows_are_copies(
    duplicates: Duplicates, rows: int
) -> None:
    frame = pd.DataFrame({"smoker": ["yes", "no"] * 20, "sex": ["f", "m", "m", "f"] * 10})
    dataset = Dataset(frame, (), (frame["smoker"] == "yes").to_numpy(np.int64), ("a", "b"), "y")
    assert len(merge_copies(dataset, duplicates)) == rows


def test_shares_of_classes_are_never_merged() -> None:
    once = draw(1)
    rows = np.zeros(3, np.int64)
    shares = np.full((3, 2), 0.5, np.float32)
    dataset = Dataset(once.frame.iloc[rows], (), rows, ("a", "b"), "y", distribution=shares)
    assert merge_copies(dataset, "together") is dataset


@pytest.mark.parametrize("duplicates", ["auto", "anywhere"])
def test_rows_that_are_equal_by_chance_come_in_an_order_of_their_content(duplicates: Duplicates) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"volt": rng.choice([0.5, 1.5], 40), "room": rng.choice(["a", "b"], 40)})
    dataset = Dataset(frame, (), rng.integers(2, size=40), ("a", "b"), "y")
    weighted = dataset.with_weight(rng.integers(1, 3, size=40).astype(np.float64))
    shuffled = weighted.take(rng.permutation(40))
    assert content(merge_copies(weighted, duplicates)) == content(merge_copies(shuffled, duplicates))
