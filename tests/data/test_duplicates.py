import numpy as np
import pandas as pd

import crossent as ce
from crossent.data.duplicates import Codes, copy_codes, duplicate_codes, hash_rows
from crossent.datasets import hpc_path


def copies(frame: pd.DataFrame) -> Codes:
    return copy_codes(frame, hash_rows(frame))


def units(frame: pd.DataFrame) -> int:
    return len(np.unique(copies(frame)))


def test_copies_of_measured_rows_are_one_whatever_stands_beside_the_measures() -> None:
    rng = np.random.default_rng(0)
    once = pd.DataFrame(
        {"volt": rng.normal(size=300), "room": rng.choice(list("abc"), 300), "on": rng.random(300) < 0.5}
    )
    # Copied as often as oversampling does.
    copied = once.loc[np.repeat(np.arange(300), 12)].sample(frac=1, random_state=0)
    assert units(copied) == 300
    assert np.array_equal(copies(copied), duplicate_codes(hash_rows(copied)))


def test_answers_that_many_give_are_not_copies() -> None:
    rng = np.random.default_rng(0)
    answers = pd.DataFrame({name: rng.choice(list("xyz"), 200) for name in "ab"})
    assert units(answers) == 200
    flags = pd.DataFrame((rng.random((3000, 30)) < 0.03).astype(float))
    found = copies(flags.set_axis([f"f{j}" for j in range(30)], axis=1))
    # Those without a flag are four in ten.
    bare = (flags == 0).all(axis=1)
    assert bare.mean() > 0.3
    assert len(np.unique(found[bare])) == bare.sum()


def test_the_same_text_is_a_copy_and_the_same_category_alone_is_not() -> None:
    assert units(pd.DataFrame({"note": [f"note {i // 2}" for i in range(100)]})) == 50
    assert units(pd.DataFrame({"colour": ["red", "blue"] * 50})) == 100


def test_missing_values_are_values() -> None:
    frame = pd.DataFrame({"volt": [np.nan, np.nan, 0.5, 0.7, 0.9], "note": [None, None, "a", "b", "c"]})
    codes = copies(frame)
    assert codes[0] == codes[1]
    assert len(np.unique(codes)) == 4


def test_no_rows_and_no_columns() -> None:
    assert copies(pd.DataFrame({"x": []})).tolist() == []
    assert units(pd.DataFrame(index=range(3))) == 3


def test_real_measures_are_told_from_chance() -> None:
    frame = pd.read_csv(hpc_path()).drop(columns="class")
    assert np.array_equal(copies(frame), duplicate_codes(hash_rows(frame)))


def test_a_table_of_few_answers_is_learned() -> None:
    rng = np.random.default_rng(0)
    answers = pd.DataFrame({name: rng.integers(3, size=240).astype(str) for name in "ab"})
    target = (answers["a"].astype(int) + answers["b"].astype(int)) % 3
    for model in ("auto", "network"):
        fitted = ce.Classifier(model=model, folds=2).fit("q" + answers, target)
        assert (fitted.predict("q" + answers) == target).mean() > 0.95
