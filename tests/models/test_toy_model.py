"""A model that a stranger adds: one new file, a line in the recipe and a line in the catalogue, with their imports."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import crossent
from crossent.kernels import info
from tests.conftest import draw_table

NEAREST = '''
"""Distances to the mean of each class."""

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt

from crossent.models.settings import Ask, check_settings, setting


@dataclass(frozen=True, kw_only=True)
class Nearest:
    scale: float = setting(1.0, "How much a squared distance counts.", 0.0, 100.0)

    name: ClassVar[str] = "nearest"
    reads: ClassVar[frozenset[str]] = frozenset({"numbers", "codes"})
    takes: ClassVar[frozenset[Ask]] = frozenset({"class-weight", "log-prior", "shares"})
    most_columns: ClassVar[int | None] = None
    one_split_rows: ClassVar[int | None] = None

    def __post_init__(self) -> None:
        check_settings(self)

    def for_auto(self) -> Self:
        return self

    def seconds(self, size) -> float:
        return 1e-8 * size.rows * size.features


@dataclass(frozen=True, eq=False)
class FittedNearest:
    means: npt.NDArray[np.float64]
    scale: float

    @property
    def classes(self) -> int:
        return len(self.means)

    def ngram_weight(self) -> None:
        return None

    def reads(self, widths) -> bool:
        return widths.numbers == self.means.shape[1] and widths.ngrams == 0

    def logits(self, features) -> npt.NDArray[np.float32]:
        distance = ((features.numbers[:, None] - self.means) ** 2).sum(axis=2)
        return (-self.scale * distance).astype(np.float32)


def fit(settings, task) -> FittedNearest:
    target, numbers = task.train.target, task.train.features.numbers
    means = np.stack([numbers[target == k].mean(axis=0) for k in range(task.train.classes)])
    return FittedNearest(means.astype(np.float64), settings.scale)
'''

ADDED = {
    "fitting/recipe.py": [
        (
            "from crossent.models.settings import",
            "from crossent.models.nearest import Nearest\nfrom crossent.models.settings import",
        ),
        (
            "    network: Network =",
            '    nearest: Nearest = setting(Nearest(), "Settings of the nearest mean.")\n    network: Network =',
        ),
    ],
    "models/catalogue.py": [
        (
            "from crossent.models import boosting",
            "from crossent.models import nearest\nfrom crossent.models import boosting",
        ),
        (
            "MODELS: tuple[Model, ...] = (\n",
            "MODELS: tuple[Model, ...] = (\n    Model(nearest.Nearest, nearest.FittedNearest, nearest.fit),\n",
        ),
    ],
}

SCRIPT = """
import sys

sys.meta_path = [finder for finder in sys.meta_path if "Redirecting" not in type(finder).__name__]
sys.path.insert(0, sys.argv.pop(1))
import crossent
from crossent.cli.app import main

main()
"""


@pytest.mark.slow
def test_a_model_is_one_file_and_two_lines(tmp_path: Path) -> None:
    package = tmp_path / "source" / "crossent"
    shutil.copytree(Path(crossent.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    if info().path:
        shutil.copy(info().path, package / "kernels")
    (package / "models" / "nearest.py").write_text(NEAREST)
    for name, lines in ADDED.items():
        text = (package / name).read_text()
        for before, after in lines:
            assert text.count(before) == 1, before
            text = text.replace(before, after)
        (package / name).write_text(text)
    draw_table(300).to_csv(tmp_path / "rows.csv", index=False)

    def run(*arguments: str) -> str:
        command = [sys.executable, "-c", SCRIPT, str(package.parent), *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "--nearest.scale" in run("train", "--help")
    trained = run(
        "train", "rows.csv", "--target", "label", "--model", "nearest", "--nearest.scale", "0.5", "--folds", "2"
    )
    assert "Model: nearest" in trained
    report = (tmp_path / "runs" / "rows" / "report.html").read_text()
    assert "nearest.scale" in report
    predicted = run("predict", "runs/rows", "rows.csv")
    assert predicted.count("\n") == 301
    quick = ("--boosting.max-rounds", "3", "--network.max-epochs", "1", "--network.learning-rate", "0.01")
    assert "nearest 0." in run("train", "rows.csv", "--target", "label", "--folds", "2", "--name", "auto", *quick)
