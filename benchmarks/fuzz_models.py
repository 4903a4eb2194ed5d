"""Hostile model folders: a saved model is changed and gets right checksums, and then it must predict or be refused.

Each case saves a small model and changes one to three things, like an attacker who knows the format: values, types and
keys of the record, shapes, dtypes and numbers of arrays, texts, bytes, lengths and names of files, links. It writes the
folder with right checksums, loads it and predicts rows. The result must be a ModelFileError, or probabilities that are
finite, from 0 to 1, with a sum of 1. An error about the rows is allowed only if columns were renamed.

python benchmarks/fuzz_models.py --model all              10,000 cases of each model
python benchmarks/fuzz_models.py --model text --only 12   one case, with its traceback

With kernels that stop at the first access or operation that C++ leaves undefined:

cmake -S . -B build/sanitized -DCROSSENT_SANITIZE=address,undefined && cmake --build build/sanitized
LD_PRELOAD="$(c++ -print-file-name=libasan.so) $(c++ -print-file-name=libubsan.so)" ASAN_OPTIONS=detect_leaks=0 \
    FUZZ_KERNELS=build/sanitized python benchmarks/fuzz_models.py --model all
"""

import argparse
import contextlib
import copy
import dataclasses
import functools
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import safetensors.numpy

import chosen_kernels  # noqa: F401 - before the rest of crossent
import fuzz_cases
import hostile_files
import hostile_models
from crossent.calibration.scaling import Attempt, Calibration, MatrixScaling, Mixing, Temperature, VectorScaling
from crossent.data.read import read
from crossent.decide.decide import DecisionRule
from crossent.errors import DataError, ModelFileError, SettingError
from crossent.fitting.fit import fit
from crossent.fitting.recipe import Recipe
from crossent.kernels.library import info
from crossent.models.settings import Boosting, Network
from crossent.predictor import Predictor, load

RECIPES = {
    "linear": Recipe(model="linear", folds=2),
    "network": Recipe(model="network", folds=2, network=Network(max_epochs=2)),
    "text": Recipe(folds=1),
    "boosting": Recipe(model="boosting", folds=2, boosting=Boosting(max_rounds=4)),
}
ALLOWED = ("ModelFileError", "answered", "answered otherwise", "DataError of renamed columns")
CASES = 10_000
# Trees of an earlier format, whose text our own code reads.
OLD, OLD_FOLDER = "boosting-format-1", Path(__file__).parents[1] / "tests" / "format_1" / "boosting"
# A case takes 30 ms; on a busy machine it may wait long.
SECONDS = 60.0
TRAINING_ROWS, NEW_ROWS = 240, 20
IN_MEMORY = Path("/dev/shm")
# The environment variable that tells a child which model its parent was asked for.
CHOSEN = "FUZZ_MODEL"


CHANGES: tuple[Callable[[hostile_models.Saved, np.random.Generator], None], ...] = (
    hostile_models.change_scalar,
    hostile_models.change_scalar,
    hostile_models.change_list,
    hostile_models.change_dict,
    hostile_models.change_array,
    hostile_models.change_array,
    hostile_models.change_pair,
    hostile_files.change_index,
    hostile_files.change_entries,
    hostile_files.change_bytes,
    hostile_files.change_text,
    hostile_files.change_text,
)


@dataclass(frozen=True)
class Original:
    """The start of the cases of a model.

    Attributes
    ----------
    saved
        The model.
    rows
        To predict.
    probs
        Of these rows by the model as it was saved.
    """

    saved: hostile_models.Saved
    rows: pd.DataFrame
    probs: npt.NDArray[np.float64]


def draw_table(n: int, seed: int) -> pd.DataFrame:
    """Draw rows of numbers, one of them with a long tail, categories, flags and dates, and a label that follows."""
    rng = np.random.default_rng(seed)
    size, colour = rng.normal(size=n), rng.choice(["red", "green", "blue", "ochre"], p=[0.4, 0.3, 0.29, 0.01], size=n)
    score = np.column_stack([size, -size + (colour == "red"), (colour == "blue") * 1.5])
    days = pd.to_timedelta(rng.integers(0, 500, size=n) * 24 + rng.integers(0, 24, size=n), unit="h")
    return pd.DataFrame(
        {
            "size": np.where(rng.random(n) < 0.1, np.nan, size),
            "price": np.exp(rng.normal(size=n) * 3),
            "colour": pd.Series(colour).where(rng.random(n) > 0.05, None),
            "seen": pd.Timestamp("2024-01-01") + days,
            "flag": rng.random(n) < 0.5,
            "label": np.array(["a", "b", "c"])[(2 * score + rng.gumbel(size=score.shape)).argmax(axis=1)],
        }
    )


def draw_texts(n: int, seed: int) -> pd.DataFrame:
    """Draw rows of a text, a number and a category, and a label that follows from the words."""
    rng = np.random.default_rng(seed)
    words = {"angry": ["awful", "broken"], "happy": ["lovely", "perfect"], "unsure": ["perhaps", "okay"]}
    label = rng.choice(list(words), size=n)
    filling = ["the", "parcel", "came", "on", "monday", "and", "my", "sister"]
    texts = [" ".join([*rng.choice(filling, 6), *rng.choice(words[name], 2)]) for name in label]
    return pd.DataFrame(
        {"review": texts, "stars": rng.normal(size=n), "shop": rng.choice(["x", "y"], size=n), "label": label}
    )


@functools.cache
def original(model: str) -> Original:
    """Train the model, or take the old one, and separate the parts of its saved form."""
    draw = draw_texts if model == "text" else draw_table
    if model == OLD:
        return _taken_apart(OLD_FOLDER, draw(NEW_ROWS, 1))
    predictor = fit(read(draw(TRAINING_ROWS, 0), "label"), RECIPES[model]).predictor
    with tempfile.TemporaryDirectory() as folder:
        _with_scaling(predictor, "matrix" if model in {"linear", "text"} else "vector").save(folder)
        return _taken_apart(Path(folder), draw(NEW_ROWS, 1))


def _taken_apart(folder: Path, rows: pd.DataFrame) -> Original:
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    index = json.loads(files.pop("model.json"))
    (name,) = [name for name in files if name.endswith(".safetensors")]
    arrays = safetensors.numpy.load(files.pop(name))
    return Original(hostile_models.Saved(index, arrays, files), rows, load(folder).probs(rows))


def case(model: str, seed: int) -> str:
    """Run the case of a seed, and return its outcome."""
    begun, rng = original(model), np.random.default_rng(seed)
    saved = copy.deepcopy(begun.saved)
    folder = Path(tempfile.mkdtemp(dir=IN_MEMORY if IN_MEMORY.is_dir() else None))
    try:
        for _ in range(int(rng.choice([1, 1, 1, 2, 3]))):
            CHANGES[int(rng.integers(len(CHANGES)))](saved, rng)
        hostile_models.write(saved, folder)
        if rng.random() < 0.1:
            path = sorted(folder.iterdir())[int(rng.integers(len(list(folder.iterdir()))))]
            hostile_files.change_folder(path, rng)
        return _outcome(begun, saved, folder)
    finally:
        shutil.rmtree(folder)


def _outcome(begun: Original, saved: hostile_models.Saved, folder: Path) -> str:
    try:
        predictor = load(folder)
    except ModelFileError:
        return "ModelFileError"
    try:
        probs = predictor.probs(begun.rows)
        predictor.predict(begun.rows)
        predictor.notes_on(begun.rows)
        _predict_sets(predictor, begun.rows)
    except DataError:
        if saved.renamed:
            return "DataError of renamed columns"
        raise
    good = np.isfinite(probs).all() and (probs >= 0).all() and np.abs(probs.sum(axis=1) - 1).max() < 1e-6
    if not good or probs.shape != (len(begun.rows), len(predictor.classes)):
        return "invalid probabilities"
    same = probs.shape == begun.probs.shape and np.allclose(probs, begun.probs)
    return "answered" if same else "answered otherwise"


def _predict_sets(predictor: Predictor, rows: pd.DataFrame) -> None:
    """Predict sets, or get the error that there are too few conformal rows."""
    with contextlib.suppress(SettingError):
        predictor.decide(rows, DecisionRule(coverage=0.8))


def _with_scaling(predictor: Predictor, method: Literal["vector", "matrix"]) -> Predictor:
    """Return a predictor whose calibration has all the steps of a method, even if the rows would choose another one."""
    classes = len(predictor.classes)
    weight, bias = np.full(classes, 1.1), np.linspace(0, 0.1, classes)
    scaling = MatrixScaling(np.diag(weight), bias) if method == "matrix" else VectorScaling(weight, bias)
    steps = (Temperature(1.5), Mixing(0.01), scaling, Mixing(0.01))
    attempts = (Attempt("identity", 0.0, 1.0, kept=False), Attempt(method, 0.25, 0.9, kept=True))
    return dataclasses.replace(predictor, calibration=Calibration(method, steps, 1.0, 0.9, "", attempts))


def main() -> int:
    """Run the campaign of one model, or of all; return 1 if any outcome is not allowed."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument(
        "--model", nargs="+", choices=(*RECIPES, OLD, "all"), default=os.environ.get(CHOSEN, "all").split()
    )
    arguments, others = parser.parse_known_args()
    sys.argv[1:] = others
    is_child, bad = "--child" in others, 0
    for model in (*RECIPES, OLD) if "all" in arguments.model else arguments.model:
        # The child is called without the flag.
        os.environ[CHOSEN] = model
        if not is_child:
            print(f"\n{model}, with kernels {info().path}", flush=True)
        bad |= fuzz_cases.main(
            functools.partial(case, model),
            allowed=ALLOWED,
            count=CASES,
            description=__doc__,
            seconds=SECONDS,
            prepare=functools.partial(original, model),
        )
    return bad


if __name__ == "__main__":
    sys.exit(main())
