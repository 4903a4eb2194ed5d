"""The command line as a user meets it, on real files."""

import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import crossent as ce
from tests.cli.command import Done, crossent
from tests.conftest import draw_reviews, draw_table, size_limit


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table and a finished run on it."""
    path = tmp_path_factory.mktemp("work")
    draw_table(200).to_csv(path / "jobs.csv", index=False)
    draw_table(50, seed=1).to_csv(path / "new.csv", index=False)
    done = crossent("train", "jobs.csv", "--target", "label", "--model", "linear", "--folds", "2", cwd=path)
    assert done.returncode == 0, done.stderr
    (path / "out.txt").write_text(done.stdout)
    return path


def test_train_says_what_matters_and_what_to_do_next(folder: Path) -> None:
    said = (folder / "out.txt").read_text()
    for words in (
        "200 rows, 4 columns, 3 classes",
        "colour",
        "training linear, fold 1 of 2",
        "right",
        "Log-loss",
        "runs/jobs/report.html",
        "crossent predict runs/jobs new.csv",
    ):
        assert words in said
    assert "takes about" not in said


@pytest.mark.parametrize(("budget", "said"), [("9", None), ("11", "11 seconds"), ("1e9", "minutes")])
def test_a_training_that_may_take_long_says_so_before_it_begins(tmp_path: Path, budget: str, said: str | None) -> None:
    draw_table(60).to_csv(tmp_path / "jobs.csv", index=False)
    # By its settings it takes a million rounds; that each gains nothing shows soon, and ends it.
    slow = ("--model", "boosting", "--boosting.learning-rate", "1e-6", "--boosting.max-rounds", "1_000_000")
    done = crossent("train", "jobs.csv", "--target", "label", *slow, "--time-budget", budget, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert ("training takes about" in done.stdout) == (said is not None)
    if said is not None:
        assert re.search(f"Note: training takes about (?:[0-9,]+ )?{said} on one processor", done.stdout)


def test_a_column_of_text_is_found_used_and_explained(tmp_path: Path) -> None:
    draw_reviews(200).to_csv(tmp_path / "reviews.csv", index=False)
    draw_reviews(20, seed=1).drop(columns="label").to_csv(tmp_path / "new.csv", index=False)
    done = crossent("train", "reviews.csv", "--target", "label", "--folds", "2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "review  text" in done.stdout
    run = tmp_path / "runs" / "reviews"
    ngrams = pd.read_csv(run / "ngrams.csv")
    assert list(ngrams.columns) == ["label", "column", "ngram", "is_piece", "gain"]
    assert "refund" in set(ngrams["ngram"][ngrams["label"] == "angry"])
    report = (run / "report.html").read_text(encoding="utf-8")
    assert "What speaks for each class?" in report
    assert "<span>refund</span>" in report
    done = crossent("predict", "runs/reviews", "new.csv", "-o", "out.csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(pd.read_csv(tmp_path / "out.csv")) == 20


def test_a_folder_of_texts_is_trained_on_and_predicted(tmp_path: Path) -> None:
    for label, rows in draw_reviews(120).groupby("label"):
        (tmp_path / "reviews" / str(label)).mkdir(parents=True)
        for i, text in enumerate(rows["review"]):
            (tmp_path / "reviews" / str(label) / f"{i}.txt").write_text(text)
    assert crossent("train", "reviews", "--target", "class", "--folds", "2", cwd=tmp_path).returncode == 0
    done = crossent("predict", "runs/reviews", "reviews", cwd=tmp_path)
    assert len(done.stdout.splitlines()) == 121
    (tmp_path / "reviews" / "happy" / "photo.txt").write_bytes(b"\xff\xd8\xff\xe0")
    done = crossent("train", "reviews", "--target", "class", cwd=tmp_path)
    assert done.returncode == 2
    assert "photo.txt, line 1, has the byte 0xff" in done.stderr.replace("\n", " ")


def test_trees_asked_for_text_are_one_clear_error(tmp_path: Path) -> None:
    draw_reviews(60).to_csv(tmp_path / "reviews.csv", index=False)
    done = crossent("train", "reviews.csv", "--target", "label", "--model", "boosting", cwd=tmp_path)
    assert done.returncode == 2
    assert "Model boosting does not read columns of text." in done.stderr
    assert not (tmp_path / "runs").exists()


def test_run_folder_holds_everything(folder: Path) -> None:
    run = folder / "runs" / "jobs"
    assert {path.name for path in run.iterdir()} == {
        "run.json",
        "history.jsonl",
        "metrics.json",
        "model",
        "tensorboard",
        "report.html",
    }
    description = json.loads((run / "run.json").read_text())
    assert description["recipe"]["model"] == "linear"
    assert description["class_counts"] == np.unique(draw_table(200)["label"], return_counts=True)[1].tolist()
    assert len(description["fingerprint"]) == 64
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["rows"] == 50
    assert metrics["metrics"]["log_loss"]["low"] <= metrics["metrics"]["log_loss"]["value"]
    assert ce.load(run / "model").classes == ("a", "b", "c")


def test_a_second_run_gets_a_folder_of_its_own(folder: Path) -> None:
    before = (folder / "runs" / "jobs" / "run.json").read_bytes()
    done = crossent("train", "jobs.csv", "--target", "label", "--model", "linear", "--folds", "1", "--json", cwd=folder)
    result = json.loads(done.stdout)
    assert result["run"] == "runs/jobs-2"
    assert result["metrics"].keys() >= {"log_loss", "accuracy", "brier"}
    assert (folder / "runs" / "jobs" / "run.json").read_bytes() == before


def test_predict_adds_columns_to_the_rows(folder: Path) -> None:
    done = crossent("predict", "runs/jobs", "new.csv", "-o", "out.csv", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "50 rows predicted" in done.stderr
    out = pd.read_csv(folder / "out.csv")
    new = pd.read_csv(folder / "new.csv")
    assert list(out.columns) == [*new.columns, "predicted", "prob_a", "prob_b", "prob_c"]
    expected = ce.load(folder / "runs" / "jobs" / "model").probs(folder / "new.csv")
    np.testing.assert_allclose(out[["prob_a", "prob_b", "prob_c"]], expected)
    assert out["predicted"].tolist() == [["a", "b", "c"][i] for i in expected.argmax(axis=1)]
    again = crossent("predict", "runs/jobs", "out.csv", cwd=folder)
    assert list(pd.read_csv(io.StringIO(again.stdout)).columns) == list(out.columns)


def test_predict_says_which_values_are_new(folder: Path) -> None:
    pd.read_csv(folder / "new.csv").assign(colour="mauve").to_csv(folder / "mauve.csv", index=False)
    done = crossent("predict", "runs/jobs", "mauve.csv", "-o", "mauve.parquet", cwd=folder)
    assert "column 'colour': 50 rows hold values not seen in training: 'mauve'" in done.stderr
    assert len(pd.read_parquet(folder / "mauve.parquet")) == 50


def test_evaluate_in_words_and_for_machines(folder: Path) -> None:
    words = crossent("evaluate", "runs/jobs", "new.csv", cwd=folder)
    assert "On 50 rows" in words.stdout
    assert "recall" in words.stdout
    figures = json.loads(crossent("evaluate", "runs/jobs", "new.csv", "--json", cwd=folder).stdout)
    predictor = ce.load(folder / "runs" / "jobs" / "model")
    accuracy = (np.array(predictor.predict(folder / "new.csv")) == pd.read_csv(folder / "new.csv")["label"]).mean()
    assert figures["metrics"]["accuracy"]["value"] == pytest.approx(accuracy)


def test_a_column_of_weights_in_training_and_evaluation(folder: Path) -> None:
    weight = np.random.default_rng(0).integers(0, 4, size=200)
    draw_table(200).assign(w=weight).to_csv(folder / "weighted.csv", index=False)
    arguments = ["train", "weighted.csv", "--target", "label", "--weight", "w", "--model", "linear", "--folds", "2"]
    done = crossent(*arguments, cwd=folder)
    assert done.returncode == 0, done.stderr
    rows, absent = int((weight > 0).sum()), int((weight == 0).sum())
    assert f"{absent} rows have weight 0 in 'w' and are left out." in done.stdout
    assert f"{rows} rows count by their weight in 'w', {weight.sum()} in all." in done.stdout
    held_out = json.loads((folder / "runs" / "weighted" / "metrics.json").read_text())["rows"]
    assert abs(held_out - rows / 4) <= 3
    figures = [
        json.loads(crossent("evaluate", "runs/weighted", "weighted.csv", *more, "--json", cwd=folder).stdout)
        for more in ([], ["--weight", "w"])
    ]
    assert [each["rows"] for each in figures] == [200, rows]
    predictor = ce.load(folder / "runs" / "weighted" / "model")
    right = np.array(predictor.predict(folder / "weighted.csv")) == draw_table(200)["label"]
    assert figures[1]["metrics"]["accuracy"]["value"] == pytest.approx(np.average(right, weights=weight))
    assert "no column 'v'" in crossent("evaluate", "runs/weighted", "weighted.csv", "--weight", "v", cwd=folder).stderr


def test_rows_without_a_label_are_left_out_of_an_evaluation(folder: Path) -> None:
    table = draw_table(50, seed=1)
    table.loc[[3, 7], "label"] = None
    table.to_csv(folder / "partly.csv", index=False)
    done = crossent("evaluate", "runs/jobs", "partly.csv", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "Note: 2 rows have no value in 'label' and are left out." in done.stdout
    assert "On 48 rows" in done.stdout
    table.loc[9, "label"] = "z"
    table.to_csv(folder / "odd.csv", index=False)
    assert "the first in row 10: 'z'" in crossent("evaluate", "runs/jobs", "odd.csv", cwd=folder).stderr
    table.assign(label=None).to_csv(folder / "none.csv", index=False)
    done = crossent("evaluate", "runs/jobs", "none.csv", cwd=folder)
    assert done.returncode == 2
    assert "No row of none.csv has a value in 'label'" in done.stderr


def test_settings_come_from_a_file_and_flags_overrule_it(folder: Path) -> None:
    (folder / "recipe.toml").write_text('model = "linear"\nfolds = 1\nseed = 7\n')
    arguments = ["train", "jobs.csv", "--target", "label", "--config", "recipe.toml", "--seed", "9", "--name", "set"]
    assert crossent(*arguments, cwd=folder).returncode == 0
    recipe = json.loads((folder / "runs" / "set" / "run.json").read_text())["recipe"]
    assert (recipe["model"], recipe["folds"], recipe["seed"]) == ("linear", 1, 9)


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return path.name


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "jobs.csv", "--target", "lable"], ["no column 'lable'", "Did you mean 'label'?"]),
        (["train", "nowhere.csv", "--target", "label"], ["no file nowhere.csv"]),
        (["train", "jobs.csv", "--target", "size"], ["fractions"]),
        (["train", "jobs.csv", "--target", "label", "--held-out", "2"], ["between 0 and 1"]),
        (["train", "jobs.csv", "--target", "label", "--folds", "0"], ["folds", "from 1 to 100"]),
        (["train", "jobs.csv", "--target", "label", "--model", "forest"], ["forest"]),
        (["train", "jobs.csv", "--target", "label", "--config", "nowhere.toml"], ["nowhere.toml"]),
        (["train", "jobs.csv", "--target", "label", "--config", "bad.toml"], ["colour"]),
        (["train", "jobs.csv", "--target", "label", "--config", "broken.toml"], ["broken.toml"]),
        (["train", "jobs.csv", "--target", "label", "--kind.colour=number"], ["'colour' must hold numbers"]),
        (["train", "jobs.csv"], ["--target"]),
        (["train"], ["needs a file"]),
        (["train", "--resume", "nowhere"], ["no file nowhere/run.json"]),
        (["train", "--resume", "runs/jobs"], ["finished", "runs/jobs/report.html"]),
        (["train", "jobs.csv", "--resume", "runs/jobs"], ["that it began with"]),
        (["train", "--resume", "runs/jobs", "--seed", "3"], ["that it began with"]),
        (["train", "jobs.csv", "--target", "label", "--time-budget", "-1"], ["time_budget", "from 0"]),
        (["predict", "nowhere", "new.csv"], ["model.json"]),
        (["predict", "runs/jobs", "other.csv"], ["Missing: 'size'"]),
        (["predict", "runs/jobs", "new.csv", "-o", "out.xlsx"], ["CSV or Parquet"]),
        (["predict", "runs/jobs", "new.csv", "-o", "no/such/folder/out.csv"], ["no/such/folder"]),
        (["evaluate", "runs/jobs", "unknown.csv"], ["row 1: 'z'"]),
        (["evaluate", "runs/jobs", "unlabelled.csv"], ["no column 'label'"]),
    ],
)
def test_bad_input_gets_one_block_and_exit_code_2(folder: Path, arguments: list[str], words: list[str]) -> None:
    (folder / "other.csv").write_text("x,y\n1,2\n")
    (folder / "bad.toml").write_text('colour = "red"\n')
    (folder / "broken.toml").write_text("model = \n")
    new = pd.read_csv(folder / "new.csv")
    new.assign(label="z").to_csv(folder / "unknown.csv", index=False)
    new.drop(columns="label").to_csv(folder / "unlabelled.csv", index=False)
    done = crossent(*arguments, cwd=folder)
    assert done.returncode == 2
    said = " ".join(done.stderr.split()) + " ".join(done.stdout.split())
    for word in words:
        assert word in said
    assert "Traceback" not in done.stderr


def test_a_failed_start_leaves_no_run_folder(folder: Path) -> None:
    before = sorted(path.name for path in (folder / "runs").iterdir())
    (folder / "tiny.csv").write_text("x,y\n1,a\n2,b\n")
    assert crossent("train", "jobs.csv", "--target", "nothing", cwd=folder).returncode == 2
    assert crossent("train", "tiny.csv", "--target", "y", cwd=folder).returncode == 2
    assert sorted(path.name for path in (folder / "runs").iterdir()) == before


@pytest.mark.slow
def test_the_demo_in_a_process_of_its_own(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "crossent", "demo"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "runs/demo/report.html" in done.stdout
    assert (tmp_path / "runs" / "demo" / "report.html").stat().st_size > 50_000


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_resuming_ends_in_the_same_weights(
    tmp_path: Path, hpc: pd.DataFrame, number: signal.Signals
) -> None:
    hpc.to_csv(tmp_path / "jobs.csv", index=False)
    command = [sys.executable, "-m", "crossent", "train"]
    settings = ["jobs.csv", "--target", "class", "--model", "network", "--folds", "2", "--network.max-epochs", "10"]
    process = subprocess.Popen([*command, *settings], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    history = tmp_path / "runs" / "jobs" / "history.jsonl"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and (not history.exists() or history.stat().st_size < 1000):
        time.sleep(0.02)
    os.kill(process.pid, number)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 128 + number
    assert "crossent train --resume runs/jobs" in said
    subprocess.run([*command, "--resume", "runs/jobs"], cwd=tmp_path, check=True)
    subprocess.run([*command, *settings, "--name", "straight"], cwd=tmp_path, check=True)
    # The names of array files hold their sha256.
    weights = [
        [path.name for path in (tmp_path / "runs" / name / "model").glob("*.safetensors")]
        for name in ("jobs", "straight")
    ]
    assert weights[0] == weights[1]
    lines = [(tmp_path / "runs" / name / "history.jsonl").read_text().count("\n") for name in ("jobs", "straight")]
    assert lines[0] == lines[1]
    assert (tmp_path / "runs" / "jobs" / "report.html").exists()
    assert not (tmp_path / "runs" / "jobs" / "checkpoints").exists()


def test_a_searched_learning_rate_is_said_and_kept_and_drawn(folder: Path) -> None:
    asked = ("train", "jobs.csv", "--target", "label", "--model", "network", "--network.find-lr", "--folds", "2")
    done = crossent(*asked, "--network.max-epochs", "2", "--name", "searched", cwd=folder)
    assert done.returncode == 0, done.stderr
    kept = json.loads((folder / "runs" / "searched" / "learning_rate.json").read_text())
    assert len(kept["rates"]) == len(kept["losses"]) == len(kept["smoothed"]) > 50
    said = f"Learning rate of the network: {kept['suggested']:.2g}. {kept['why']}"
    assert said in done.stdout
    assert said in (folder / "runs" / "searched" / "report.html").read_text()
    records = (folder / "runs" / "searched" / "history.jsonl").read_text().splitlines()
    # Cosine has brought the rate down by the end of the first of two epochs.
    assert 0 < json.loads(records[0])["learning_rate"] <= kept["suggested"]
    assert not (folder / "runs" / "jobs" / "learning_rate.json").exists()
    both = crossent(*asked, "--network.learning-rate", "0.01", cwd=folder)
    assert both.returncode == 2
    assert "find_lr is True" in both.stderr


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"recipe": {"model": "linear"}}, ["run.json", "it lacks 'calibration'"]),
        ({"request": {"data": "jobs.csv"}}, ["run.json", "it lacks"]),
        ({"request": {"data": 3}}, ["run.json"]),
        ({"held_out": None}, ["run.json", "held_out is None"]),
    ],
)
def test_a_run_of_another_version_is_one_clear_error(
    folder: Path, changes: dict[str, object], words: list[str]
) -> None:
    run = folder / "runs" / "other"
    run.mkdir(exist_ok=True)
    description = json.loads((folder / "runs" / "jobs" / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(description | changes))
    done = crossent("train", "--resume", "runs/other", cwd=folder)
    assert done.returncode == 2
    for word in words:
        assert word in done.stderr
    (run / "run.json").write_text(json.dumps(description | {"recipe": description["recipe"] | {"warp": 1}}))
    done = crossent("train", "--resume", "runs/other", cwd=folder)
    assert "'warp'" in done.stderr
    assert f"crossent {ce.__version__}" in done.stderr


def test_runs_do_not_go_to_the_folder_of_texts_and_their_names_are_never_empty(tmp_path: Path) -> None:
    texts = tmp_path / "reviews"
    for label, rows in draw_reviews(120).groupby("label"):
        (texts / str(label)).mkdir(parents=True)
        for i, text in enumerate(rows["review"]):
            (texts / str(label) / f"{i}.txt").write_text(text)
    done = crossent("train", ".", "--target", "class", "--folds", "1", cwd=texts)
    assert done.returncode == 2
    assert f"--runs {tmp_path / 'runs'}" in done.stderr
    assert not (texts / "runs").exists()
    # A run of something else, from where somebody stood.
    (texts / "runs-2").mkdir()
    (texts / "runs-2" / "run.json").write_text("{}")
    done = crossent("train", ".", "--target", "class", "--folds", "1", "--runs", "../runs", cwd=texts)
    assert done.returncode == 0, done.stderr
    assert "'runs-2'" in done.stdout
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["reviews"]
    assert ce.load(tmp_path / "runs" / "reviews" / "model").classes == ("angry", "happy", "unsure")


def test_odd_names_of_files_features_and_labels_on_real_files(tmp_path: Path) -> None:
    table = draw_table(120).rename(columns={"size": "predicted", "colour": "prob_a", "flag": "crossent_predicted"})
    table["label"] = table["label"].map({"a": "a", "b": "b" * 40_000, "c": "c"})
    table.to_csv(tmp_path / ".2024.01.sales.csv", index=False)
    settings = ["--target", "label", "--folds", "1", "--model", "linear"]
    done = crossent("train", ".2024.01.sales.csv", *settings, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["2024.01.sales"]
    table.to_csv(tmp_path / "new.csv", index=False)
    for source, output in (("new.csv", "out.csv"), ("out.csv", "again.csv")):
        done = crossent("predict", "runs/2024.01.sales", source, "--prior", "uniform", "-o", output, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    new, out, again = (pd.read_csv(tmp_path / name) for name in ("new.csv", "out.csv", "again.csv"))
    pd.testing.assert_frame_equal(out[list(new.columns)], new)
    pd.testing.assert_frame_equal(again, out)
    assert len(out.columns) == len(new.columns) + 1 + 3


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/tmp/a"])
def test_the_name_of_a_run_is_that_of_a_folder(folder: Path, name: str) -> None:
    done = crossent("train", "jobs.csv", "--target", "label", f"--name={name}", cwd=folder)
    assert done.returncode == 2
    assert "The name of a run is the name of a folder." in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no disk that is always full")
@pytest.mark.parametrize(
    "arguments",
    [
        ["predict", "runs/jobs", "new.csv"],
        pytest.param(["evaluate", "runs/jobs", "new.csv", "--json"], marks=pytest.mark.slow),
        ["--help"],
    ],
)
def test_a_full_disk_behind_the_output_is_one_clear_error(folder: Path, arguments: list[str]) -> None:
    command = [sys.executable, "-m", "crossent", *arguments]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, cwd=folder, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert "standard output: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no disk that is always full")
@pytest.mark.parametrize(
    ("arguments", "closing"),
    [
        # These end before torch is there, and in the same way as the last ones.
        ("train jobs.csv --config nowhere.toml --target label", "2>/dev/full"),
        ("train jobs.csv --config nowhere.toml --target label", "2>&-"),
        ("train jobs.csv --warp 3", ">/dev/full 2>/dev/full"),
        pytest.param("train nowhere.csv --target label", "2>/dev/full", marks=pytest.mark.slow),
        pytest.param("train nowhere.csv --target label", "2>&-", marks=pytest.mark.slow),
    ],
)
def test_a_failing_command_ends_with_2_also_where_nobody_can_be_told(
    folder: Path, arguments: str, closing: str
) -> None:
    command = f"{shlex.quote(sys.executable)} -m crossent {arguments} {closing}"
    assert subprocess.run(["sh", "-c", command], cwd=folder, check=False).returncode == 2


def test_a_folder_in_the_place_of_a_file_is_to_be_moved_before_a_run_goes_on(folder: Path) -> None:
    run = folder / "runs" / "in-the-way"
    shutil.copytree(folder / "runs" / "jobs", run)
    (run / "report.html").unlink()
    (run / "metrics.json").unlink()
    (run / "metrics.json").mkdir()
    done = crossent("train", "--resume", "runs/in-the-way", cwd=folder)
    assert done.returncode == 2
    said = " ".join(done.stderr.split())
    assert "runs/in-the-way/metrics.json: Is a directory. Something else stands in its place: move that away" in said
    (run / "metrics.json").rmdir()
    assert crossent("train", "--resume", "runs/in-the-way", cwd=folder).returncode == 0


LIMITED = """
import resource, sys
from crossent.cli.app import main
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)),) * 2)
main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit of the size of files")
@pytest.mark.parametrize(
    ("most", "words"),
    # As large as run.json, the history, files of the checkpoint, and the report.
    [
        (500, ["run.json"]),
        (5_000, ["--resume runs/full"]),
        pytest.param(20_000, ["--resume runs/full"], marks=pytest.mark.slow),
        (90_000, ["report.html"]),
    ],
)
@pytest.mark.parametrize("in_process", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_no_room_at_any_stage_names_the_file_and_the_way_on(
    folder: Path, most: int, words: list[str], in_process: bool
) -> None:
    shutil.rmtree(folder / "runs" / "full", ignore_errors=True)
    settings = ["train", "jobs.csv", "--target", "label", "--model", "linear", "--folds", "2", "--name", "full"]
    if in_process:
        with size_limit(most):
            done = crossent(*settings, cwd=folder)
    else:
        command = [sys.executable, "-c", LIMITED, str(most), *settings]
        ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        done = Done(ended.returncode, ended.stdout, ended.stderr)
    said = done.stderr
    assert done.returncode == 2, done.stdout + said
    assert said.startswith("Error Files must be readable and writable.")
    for word in [*words, "runs", "File too large"]:
        assert word in said
    assert "Traceback" not in said
    assert "Exception ignored" not in said
    if (folder / "runs" / "full").exists():
        assert crossent("train", "--resume", "runs/full", cwd=folder).returncode == 0


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit of the size of files")
def test_no_room_for_predictions_leaves_the_old_ones(folder: Path) -> None:
    (folder / "old.csv").write_text("old")
    with size_limit(100):
        done = crossent("predict", "runs/jobs", "new.csv", "-o", "old.csv", cwd=folder)
    assert done.returncode == 2
    assert "old.csv: File too large" in done.stderr
    assert (folder / "old.csv").read_text() == "old"
    assert not [path for path in folder.iterdir() if path.name.startswith(".old.csv")]
