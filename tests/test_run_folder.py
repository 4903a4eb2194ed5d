import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest

from crossent import run_folder
from crossent.data.read import read
from crossent.errors import DataError
from crossent.recipe import Recipe
from crossent.run_folder import (
    changed_versions,
    describe_run,
    fingerprint,
    make_run_folder,
    read_description,
    read_request,
)
from tests.conftest import draw_table


def make(runs: Path) -> Path:
    description = describe_run(read(draw_table(50), "label"), Recipe(seed=7), 0.25, {"data": "jobs.csv"})
    return make_run_folder(description, runs, "jobs")


def test_run_folders_never_collide(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        names = {folder.name for folder in pool.map(make, [tmp_path / "runs"] * 20)}
    assert names == {"jobs", *(f"jobs-{number}" for number in range(2, 21))}
    assert {path.name for path in (tmp_path / "runs").iterdir()} == names


def test_fingerprint_follows_values_and_labels(table: pd.DataFrame) -> None:
    dataset = read(table, "label")
    assert fingerprint(dataset) == fingerprint(read(table.copy(), "label"))
    assert fingerprint(dataset) != fingerprint(read(table.assign(size=table["size"] + 1e-9), "label"))
    swapped = table.assign(label=table["label"].replace({"a": "b", "b": "a"}))
    assert fingerprint(dataset) != fingerprint(read(swapped, "label"))


def test_what_a_run_is_made_from_comes_back(tmp_path: Path) -> None:
    folder = make(tmp_path)
    assert Recipe(**read_description(folder)["recipe"]) == Recipe(seed=7)
    assert read_request(folder) == {"data": "jobs.csv"}
    assert changed_versions(folder) == ()


def test_other_versions_are_named(tmp_path: Path) -> None:
    folder = make(tmp_path)
    description = read_description(folder)
    description["environment"]["numpy"] = "1.0"
    (folder / run_folder.DESCRIPTION).write_text(json.dumps(description))
    assert [change.split(",")[0] for change in changed_versions(folder)] == ["numpy was 1.0"]


def test_a_finished_run_has_nothing_to_go_on_with(tmp_path: Path) -> None:
    folder = make(tmp_path)
    (folder / run_folder.REPORT).write_text("report")
    with pytest.raises(DataError, match="finished"):
        read_request(folder)


@pytest.mark.parametrize(
    ("content", "met"),
    [(None, "There is no file"), ('{"created": "tod', "cannot be read"), ("[]", "lacks created"), ("7", "cannot be")],
)
def test_a_folder_that_is_no_run_is_refused(tmp_path: Path, content: str | None, met: str) -> None:
    if content is not None:
        (tmp_path / run_folder.DESCRIPTION).write_text(content)
    with pytest.raises(DataError) as caught:
        read_description(tmp_path)
    assert met in caught.value.met
