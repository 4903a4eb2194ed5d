"""A kind that a stranger adds: one new file, and a word in the list of the catalogue with its import."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import crossent
from crossent.kernels import info

ADDRESS = '''
"""Internet addresses: the four numbers of each."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crossent.kinds.blocks import Widths, features_of
from crossent.kinds.kind import Claim, Kind

_ADDRESS = r"\\d{1,3}(\\.\\d{1,3}){3}"


@dataclass(frozen=True, eq=False)
class AddressEncoding:
    column: str
    center: npt.NDArray[np.float64]

    @property
    def widths(self):
        return Widths(numbers=4)

    def encode(self, values):
        numbers = (_numbers(values) - self.center) / 255
        return features_of(len(values), numbers=[np.nan_to_num(numbers).astype(np.float32)])

    def unseen(self, values):
        return "some are private" if values.str.startswith("10.").any() else ""


def _numbers(values):
    return values.str.split(".", expand=True).reindex(columns=range(4)).to_numpy(np.float64, na_value=np.nan)


def _claims(raw):
    return Claim("routed") if raw.is_texts and raw.sample.str.fullmatch(_ADDRESS).all() else None


def _convert(values, column):
    return values.where(values.str.fullmatch(_ADDRESS))


def _learn(values, target, num_classes):
    encoding = AddressEncoding(values.name, np.nanmean(_numbers(values), axis=0))
    return encoding, encoding.encode(values)


ADDRESS = Kind(
    "address",
    _claims,
    plural="addresses",
    gives=frozenset({"numbers"}),
    convert=_convert,
    encoding=AddressEncoding,
    learn=_learn,
)
'''

ADDED = (
    ("from crossent.kinds.boolean", "from crossent.kinds.address import ADDRESS\nfrom crossent.kinds.boolean"),
    ("(CONSTANT, ", "(CONSTANT, ADDRESS, "),
)

SCRIPT = """
import sys

sys.meta_path = [finder for finder in sys.meta_path if "Redirecting" not in type(finder).__name__]
sys.path.insert(0, sys.argv.pop(1))
from crossent.cli.app import main

main()
"""


def draw_visits(rows: int = 300) -> pd.DataFrame:
    """Visits whose class follows from the first number of the address."""
    rng = np.random.default_rng(0)
    numbers = rng.integers(1, 255, size=(rows, 4))
    address = [".".join(map(str, row)) for row in numbers]
    return pd.DataFrame(
        {"address": address, "seconds": rng.normal(size=rows), "label": np.where(numbers[:, 0] < 127, "north", "south")}
    )


@pytest.mark.slow
def test_a_kind_is_one_file_and_a_word(tmp_path: Path) -> None:
    package = tmp_path / "source" / "crossent"
    shutil.copytree(Path(crossent.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    if info().path:
        shutil.copy(info().path, package / "kernels")
    (package / "kinds" / "address.py").write_text(ADDRESS)
    catalogue = (package / "kinds" / "catalogue.py").read_text()
    for before, after in ADDED:
        assert catalogue.count(before) == 1, before
        catalogue = catalogue.replace(before, after)
    (package / "kinds" / "catalogue.py").write_text(catalogue)
    visits = draw_visits()
    visits.to_csv(tmp_path / "visits.csv", index=False)

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-c", SCRIPT, str(package.parent), *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)

    trained = run("train", "visits.csv", "--target", "label", "--model", "linear", "--folds", "2")
    assert trained.returncode == 0, trained.stderr
    assert "routed" in trained.stdout
    assert "routed" in (tmp_path / "runs" / "visits" / "report.html").read_text()
    assert "AddressEncoding" in (tmp_path / "runs" / "visits" / "model" / "model.json").read_text()

    new = visits.head(40).assign(address=[f"{i}.7.7.7" for i in range(5, 245, 6)])
    new.loc[39, "address"] = "unknown"
    new.drop(columns="label").to_csv(tmp_path / "new.csv", index=False)
    predicted = run("predict", "runs/visits", "new.csv", "-o", "predicted.csv")
    assert predicted.returncode == 0, predicted.stderr
    labels = pd.read_csv(tmp_path / "predicted.csv")["predicted"].tolist()
    # Near the border between the classes, at 127, 300 rows cannot tell.
    assert labels[:15] + labels[27:39] == ["north"] * 15 + ["south"] * 12

    # The flag takes its name, and what is of another kind is refused by what its values are called.
    refused = run("train", "visits.csv", "--target", "label", "--kind.seconds=address")
    assert refused.returncode == 2
    assert "must hold addresses" in refused.stderr
