"""Calibration from the command line, on real files."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import crossent as ce
from tests.calibration.draw import draw_skewed
from tests.cli.command import crossent


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with logits that a matrix led astray, their labels, and logits of new rows."""
    logits, target = draw_skewed(3_000)
    np.save(tmp_path / "logits.npy", logits[:2_900])
    np.save(tmp_path / "labels.npy", target[:2_900])
    np.save(tmp_path / "new.npy", logits[2_900:])
    return tmp_path


def test_calibrate_says_what_it_tried_and_apply_gives_its_probabilities(folder: Path) -> None:
    done = crossent("calibrate", "logits.npy", "labels.npy", "-o", "fixed", cwd=folder)
    assert done.returncode == 0, done.stderr
    for words in ("2,900 rows of 4 classes", "identity", "temperature", "vector", "kept", "before", "after"):
        assert words in done.stdout
    assert "crossent apply-calibration fixed new.npy" in done.stdout
    done = crossent("apply-calibration", "fixed", "new.npy", "-o", "probs.npy", cwd=folder)
    assert done.returncode == 0, done.stderr
    expected = ce.calibrate(np.load(folder / "logits.npy"), np.load(folder / "labels.npy")).probs(
        np.load(folder / "new.npy")
    )
    np.testing.assert_array_equal(np.load(folder / "probs.npy"), expected)
    for arguments in (("-o", "probs.csv"), ()):
        done = crossent("apply-calibration", "fixed", "new.npy", *arguments, cwd=folder)
        text = (folder / "probs.csv").read_text() if arguments else done.stdout
        np.testing.assert_allclose(np.loadtxt(text.splitlines(), delimiter=","), expected, rtol=1e-6)


def test_tables_are_read_too_and_json_is_for_machines(folder: Path) -> None:
    pd.DataFrame(np.load(folder / "logits.npy")).rename(columns=str).to_parquet(folder / "logits.parquet")
    pd.DataFrame({"label": np.load(folder / "labels.npy")}).to_csv(folder / "labels.csv", index=False)
    done = crossent("calibrate", "logits.parquet", "labels.csv", "--method", "vector", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["method"] == "vector"
    assert record["log_loss_after"] < record["log_loss_before"]
    assert {one["method"] for one in record["attempts"]} == {"identity", "vector"}
    assert (folder / "calibration" / "model.json").is_file()


def test_no_row_of_a_file_without_names_is_taken_for_names(folder: Path) -> None:
    np.savetxt(folder / "logits.csv", np.load(folder / "logits.npy"), delimiter=",")
    np.savetxt(folder / "labels.csv", np.load(folder / "labels.npy"), fmt="%d")
    np.savetxt(folder / "new.csv", np.load(folder / "new.npy"), delimiter=",")
    for suffix in ("npy", "csv"):
        done = crossent("calibrate", f"logits.{suffix}", f"labels.{suffix}", "-o", suffix, "--json", cwd=folder)
        assert done.returncode == 0, done.stderr
        assert ("--header yes" in " ".join(done.stderr.split())) == (suffix == "csv")
        done = crossent("apply-calibration", suffix, f"new.{suffix}", "-o", f"{suffix}.csv", cwd=folder)
        assert done.returncode == 0, done.stderr
    done = crossent("apply-calibration", "npy", "new.csv", "-o", "csv.csv", cwd=folder)
    probs = np.loadtxt(folder / "csv.csv", delimiter=",")
    assert probs.shape == (100, 4)
    np.testing.assert_allclose(probs, np.loadtxt(folder / "npy.csv", delimiter=","), rtol=1e-6)
    # What it writes it reads: 100 rows in are 100 rows out.
    done = crossent("apply-calibration", "csv", "csv.csv", cwd=folder)
    assert len(done.stdout.splitlines()) == 100
    done = crossent("apply-calibration", "csv", "csv.csv", "--header", "yes", cwd=folder)
    assert len(done.stdout.splitlines()) == 99
    assert "Note" not in done.stderr


def test_logits_that_need_nothing_are_left_as_they_are(folder: Path) -> None:
    done = crossent("calibrate", "logits.npy", "labels.npy", "--method", "identity", cwd=folder)
    assert "The logits stay as they are" in done.stdout


def test_help_teaches(folder: Path) -> None:
    for command in ("calibrate", "apply-calibration"):
        done = crossent(command, "--help", cwd=folder)
        assert done.returncode == 0
        assert f"crossent {command}" in done.stdout


def save_bad_files(folder: Path) -> None:
    np.save(folder / "objects.npy", np.array([{"a": 1}, None]), allow_pickle=True)
    (folder / "damaged.npy").write_bytes((folder / "logits.npy").read_bytes()[:50])
    pd.DataFrame({"label": ["yes", "no"] * 1_450}).to_csv(folder / "words.csv", index=False)
    logits = np.load(folder / "logits.npy")
    logits[7, 2] = np.nan
    np.save(folder / "nan.npy", logits)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("calibrate", "logits.npy", "nowhere.npy"), "no file nowhere.npy"),
        (("calibrate", "logits.npy", "nowhere.csv"), "nowhere.csv"),
        (("calibrate", "objects.npy", "labels.npy"), "objects.npy is damaged or holds objects"),
        (("calibrate", "damaged.npy", "labels.npy"), "damaged.npy is damaged"),
        (("calibrate", "nan.npy", "labels.npy"), "Row 7 holds nan for class 2"),
        (("calibrate", "logits.npy", "new.npy"), "One class index"),
        (("calibrate", "logits.npy", "words.csv"), "words.csv"),
        (("calibrate", "logits.npy", "labels.npy", "-o", "."), "folder that holds nothing else"),
        (("calibrate", "logits.npy", "labels.npy", "--method", "isotonic"), "isotonic"),
        (("apply-calibration", "nowhere", "new.npy"), "nowhere has no model.json"),
        (("apply-calibration", "nowhere", "new.npy", "-o", "probs.txt"), "probs.txt ends in neither"),
        (("apply-calibration", "nowhere", "new.npy", "-o", "no/probs.npy"), "no folder no"),
    ],
)
def test_bad_input_is_one_block_and_exit_code_2(folder: Path, arguments: tuple[str, ...], said: str) -> None:
    save_bad_files(folder)
    done = crossent(*arguments, cwd=folder)
    assert done.returncode == 2
    assert said.lower() in " ".join((done.stdout + done.stderr).split()).lower()
    assert "Traceback" not in done.stderr


def test_logits_of_other_classes_are_an_error(folder: Path) -> None:
    assert crossent("calibrate", "logits.npy", "labels.npy", "--method", "matrix", cwd=folder).returncode == 0
    np.save(folder / "narrow.npy", np.load(folder / "new.npy")[:, :3])
    done = crossent("apply-calibration", "calibration", "narrow.npy", cwd=folder)
    assert done.returncode == 2
    assert "4 classes" in done.stderr


def test_a_folder_of_something_else_is_an_error(folder: Path) -> None:
    (folder / "other").mkdir()
    (folder / "other" / "model.json").write_text("{}")
    done = crossent("apply-calibration", "other", "new.npy", cwd=folder)
    assert done.returncode == 2
    assert "not a crossent model" in " ".join(done.stderr.split())
