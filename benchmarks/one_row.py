"""Time of one row through a predictor: a table of 20 columns, one of them with 31,000 different values.

python benchmarks/one_row.py
"""

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from crossent.data.read import read
from crossent.fitting.fit import fit
from crossent.fitting.recipe import Recipe
from crossent.predictor import load

ROWS, ADDRESSES = 62_000, 31_000
REPEATS = 500


def draw() -> pd.DataFrame:
    """Return 16 numbers, three categories and addresses, most of which two rows share."""
    rng = np.random.default_rng(0)
    target = rng.integers(3, size=ROWS)
    numbers = {f"x{i}": rng.normal(target * 0.2 * (i % 3), 1) for i in range(16)}
    categories = {f"c{i}": rng.choice(list("abcdefgh"), ROWS) for i in range(3)}
    addresses = np.concatenate([np.arange(ADDRESSES), np.arange(ADDRESSES)])
    address = [f"person{i}@example.org" for i in rng.permutation(addresses)]
    return pd.DataFrame({**numbers, **categories, "address": address, "label": np.array(["u", "v", "w"])[target]})


def main() -> None:
    frame = draw()
    dataset = read(frame, "label", kinds={"address": "category"})
    predictor = fit(dataset, Recipe(model="linear", folds=1)).predictor
    with tempfile.TemporaryDirectory() as folder:
        predictor.save(folder)
        size = (Path(folder) / "model.json").stat().st_size
        predictor = load(folder)
    rows = frame.drop(columns="label")
    seconds = []
    for i in range(REPEATS):
        row = rows.iloc[i : i + 1]
        begin = time.perf_counter()
        predictor.probs(row)
        seconds.append(time.perf_counter() - begin)
    print(f"one row: {statistics.median(seconds) * 1000:.2f} ms, best {min(seconds) * 1000:.2f} ms")
    print(f"model.json: {size / 1000:,.0f} kB")


if __name__ == "__main__":
    main()
