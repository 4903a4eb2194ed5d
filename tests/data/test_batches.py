from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from crossent.data import batches
from crossent.data.batches import open_number_batches
from crossent.errors import DataError


def test_reads_what_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "BATCH_ROWS", 300)
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "a": rng.normal(size=1000).astype(np.float32),
            "label": rng.choice(["x", "y", "zz"], 1000),
            "b": rng.integers(0, 100, 1000).astype(np.int16),
        }
    )
    frame.to_parquet(tmp_path / "rows.parquet", row_group_size=450)
    file = open_number_batches(tmp_path / "rows.parquet", "label")
    assert (len(file), file.features, file.dtype) == (1000, ("a", "b"), np.float32)
    assert list(file.classes) == ["x", "y", "zz"]
    assert list(file.counts) == list(frame["label"].value_counts().sort_index())
    for _ in range(2):
        parts = list(file)
        assert max(len(features) for features, _ in parts) <= 300
        np.testing.assert_array_equal(np.vstack([features for features, _ in parts]), frame[["a", "b"]].to_numpy())
        codes = np.concatenate([codes for _, codes in parts])
        np.testing.assert_array_equal(file.classes[codes], frame["label"])


def test_wide_numbers_stay_wide(tmp_path: Path) -> None:
    pd.DataFrame({"a": [2**40, 1], "y": [5, 3]}).to_parquet(tmp_path / "rows.parquet")
    file = open_number_batches(tmp_path / "rows.parquet", "y")
    ((features, codes),) = file
    assert features.dtype == np.float64
    assert features[0, 0] == 2**40
    assert (list(file.classes), list(codes)) == ([3, 5], [1, 0])


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ({"a": [1.0, None, 2.0], "y": [0, 1, 0]}, "row 2, column 'a': nan"),
        ({"a": [1.0, 2.0, np.inf], "y": [0, 1, 0]}, "row 3, column 'a': inf"),
        ({"a": ["one", "two", "three"], "y": [0, 1, 0]}, "column 'a', is of type"),
        ({"a": [1.0, 2.0, 3.0], "y": ["u", None, "v"]}, "row 2, has none"),
        ({"a": [1.0, 2.0, 3.0]}, "has no column 'y'"),
    ],
)
def test_bad_files_are_refused(tmp_path: Path, frame: dict[str, list[object]], message: str) -> None:
    pd.DataFrame(frame).to_parquet(tmp_path / "rows.parquet")
    with pytest.raises(DataError, match=message):
        list(open_number_batches(tmp_path / "rows.parquet", "y"))


def test_no_file_and_no_parquet(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is no file"):
        open_number_batches(tmp_path / "none.parquet", "y")
    (tmp_path / "text.parquet").write_text("a,y\n1,2\n")
    with pytest.raises(DataError, match=r"cannot be read as \.parquet"):
        open_number_batches(tmp_path / "text.parquet", "y")
