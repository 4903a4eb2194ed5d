import dataclasses
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest

from crossent import run_folder
from crossent.data.read import read
from crossent.errors import DataError
from crossent.fitting.recipe import Recipe
from crossent.predictor import versions
from crossent.run_folder import (
    changed_versions,
    check_unfinished,
    describe_run,
    fingerprint,
    make_run_folder,
    name_of_run,
    read_description,
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


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("jobs.csv", "jobs"),
        ("a/jobs.CSV.gz", "jobs"),
        ("jobs.csv.GZ", "jobs"),
        (".data.csv", "data"),
        ("2024.01.sales.csv", "2024.01.sales"),
        ("v1.5.parquet", "v1.5"),
        ("odd . .csv", "odd"),
        ("....", "run"),
        ("x" * 200 + ".csv", "x" * 50),
        ("/", "run"),
    ],
)
def test_a_run_is_called_like_its_file(source: str, name: str) -> None:
    assert name_of_run(Path(source)) == name


def test_a_run_is_called_like_its_folder_however_that_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("reviews.2024", ".hidden"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        expected = name.lstrip(".")
        assert [name_of_run(Path(spelling)) for spelling in (".", "./", str(tmp_path / name))] == [expected] * 3
    assert name_of_run(Path("..")) == tmp_path.name


def test_fingerprint_follows_values_and_labels(table: pd.DataFrame) -> None:
    dataset = read(table, "label")
    assert fingerprint(dataset) == fingerprint(read(table.copy(), "label"))
    assert fingerprint(dataset) != fingerprint(read(table.assign(size=table["size"] + 1e-9), "label"))
    swapped = table.assign(label=table["label"].replace({"a": "b", "b": "a"}))
    assert fingerprint(dataset) != fingerprint(read(swapped, "label"))


def change(folder: Path, **changes: object) -> None:
    path = folder / run_folder.DESCRIPTION
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_what_a_run_is_made_from_comes_back(tmp_path: Path) -> None:
    begun = read_description(make(tmp_path))
    assert begun.recipe == Recipe(seed=7)
    assert begun.request == {"data": "jobs.csv"}
    assert changed_versions(begun) == ()


def test_other_versions_are_named(tmp_path: Path) -> None:
    folder = make(tmp_path)
    change(folder, environment=versions() | {"numpy": "1.0"})
    assert [change.split(" and")[0] for change in changed_versions(read_description(folder))] == ["numpy was 1.0"]


def test_a_finished_run_has_nothing_to_go_on_with(tmp_path: Path) -> None:
    folder = make(tmp_path)
    check_unfinished(folder)
    (folder / run_folder.REPORT).write_text("report")
    with pytest.raises(DataError, match="finished"):
        check_unfinished(folder)


@pytest.mark.parametrize(
    ("content", "met"),
    [
        (None, "There is no file"),
        ('{"created": "tod', "cannot be read"),
        ("[]", "does not hold an object"),
        ("7", "cannot be"),
        ("{}", "it lacks 'created'"),
        ("[" * 100_000, "nested too deeply"),
        ('{"created": "a", "created": "b"}', "a key comes twice"),
        ('{"held_out": NaN}', "NaN is not finite"),
        (r'{"source": "\ud800"}', "surrogates not allowed"),
    ],
)
def test_a_folder_that_is_no_run_is_refused(tmp_path: Path, content: str | None, met: str) -> None:
    if content is not None:
        (tmp_path / run_folder.DESCRIPTION).write_text(content)
    with pytest.raises(DataError) as caught:
        read_description(tmp_path)
    assert met in caught.value.met


@pytest.mark.parametrize(
    ("changes", "met"),
    [
        ({"held_out": "a quarter"}, "held_out is 'a quarter'"),
        ({"held_out": 1.5}, "held_out is 1.5"),
        ({"environment": {"torch": 2}}, "environment is"),
        ({"recipe": []}, "recipe is"),
    ],
)
def test_a_value_that_cannot_be_is_named(tmp_path: Path, changes: dict[str, object], met: str) -> None:
    folder = make(tmp_path)
    change(folder, **changes)
    with pytest.raises(DataError) as caught:
        read_description(folder)
    assert met in caught.value.met
    assert "run.json" in caught.value.met


@pytest.mark.parametrize("other", ["one more", "one less", "another type", "out of bounds"])
def test_settings_of_another_version_are_refused_and_the_version_is_named(tmp_path: Path, other: str) -> None:
    folder = make(tmp_path)
    recipe = dataclasses.asdict(Recipe(seed=7))
    network = recipe["network"]
    mixup = network.pop("mixup")
    network |= {
        "one more": {"mixup": mixup, "warp": 3},
        "one less": {},
        "another type": {"mixup": "much"},
        "out of bounds": {"mixup": -1.0},
    }[other]
    change(folder, recipe=recipe, environment=versions() | {"crossent": "9.8.7"})
    with pytest.raises(DataError) as caught:
        read_description(folder)
    assert ("warp" if other == "one more" else "mixup") in caught.value.met
    assert "crossent 9.8.7" in caught.value.fix


def test_a_link_in_the_place_of_the_description_is_not_followed(tmp_path: Path) -> None:
    folder = make(tmp_path)
    (folder / run_folder.DESCRIPTION).rename(tmp_path / "elsewhere.json")
    (folder / run_folder.DESCRIPTION).symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(DataError, match=r"run\.json cannot be read: it is a symbolic link"):
        read_description(folder)
