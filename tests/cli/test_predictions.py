"""What `crossent predict` adds, by its flags, on a real model and real files."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import crossent as ce
from crossent.calibration.prior import as_prior
from crossent.cli.predictions import parse_prior, read_costs
from crossent.data.read import read
from crossent.data.understand import conform
from crossent.errors import DataError, SettingError
from crossent.fitting.fit import fit
from crossent.fitting.recipe import Recipe
from tests.cli.command import crossent
from tests.conftest import draw_table


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("predictions")
    result = fit(read(draw_table(1200), "label"), Recipe(model="linear", folds=2))
    result.predictor.save(path / "model")
    draw_table(200, seed=5).to_csv(path / "new.csv", index=False)
    (path / "costs.csv").write_text("true,c,b,a\nb,1,0,1\na,9,9,0\nc,0,1,1\n")
    return path


def predict(folder: Path, *flags: str) -> pd.DataFrame:
    done = crossent("predict", "model", "new.csv", *flags, cwd=folder)
    assert done.returncode == 0, done.stderr
    return pd.read_csv(io.StringIO(done.stdout))


def test_sets_and_rows_to_hand_over(folder: Path) -> None:
    out = predict(folder, "--coverage", "0.8", "--risk", "0.3")
    sets = out["may_be"].fillna("").str.split(" | ", regex=False)
    covered = [label in members for label, members in zip(out["label"], sets, strict=True)]
    assert np.mean(covered) == pytest.approx(0.8, abs=0.1)
    answered = ~out["hand_over"]
    assert (out["predicted"] != out["label"])[answered].mean() < 0.3
    by_class = predict(folder, "--coverage", "0.8", "--by", "class")["may_be"]
    assert (by_class.fillna("") != out["may_be"].fillna("")).any()


def test_the_risk_is_that_of_the_predicted_labels(folder: Path) -> None:
    for flags in (("--costs", "costs.csv"), ("--scoring", "f1_macro"), ("--prior", "a=0.4,b=0.3,c=0.3")):
        out = predict(folder, *flags, "--risk", "0.35")
        answered = ~out["hand_over"]
        assert answered.sum() > 20
        assert (out["predicted"] != out["label"])[answered].mean() <= 0.35
        probs = out[["prob_a", "prob_b", "prob_c"]].to_numpy()
        confidence = probs[np.arange(len(out)), out["predicted"].map({"a": 0, "b": 1, "c": 2})]
        assert confidence[answered].min() > confidence[~answered].max(initial=0.0)


def test_all_flags_together_are_what_the_estimator_decides(folder: Path) -> None:
    new = pd.read_csv(folder / "new.csv")
    asked = ("--prior", "uniform", "--scoring", "f1_macro", "--coverage", "0.8", "--method", "aps", "--by", "class")
    out = predict(folder, *asked, "--risk", "0.4", "--top", "2")
    rule = ce.DecisionRule(prior="uniform", scoring="f1_macro", coverage=0.8, method="aps", by="class", risk=0.4, top=2)
    decisions = ce.load(folder / "model").decide(new, rule)
    assert out["predicted"].tolist() == decisions.labels
    assert decisions.sets is not None
    assert decisions.top is not None
    members = [" | ".join(np.array(["a", "b", "c"])[row]) for row in decisions.sets]
    assert out["may_be"].fillna("").tolist() == members
    np.testing.assert_array_equal(out["hand_over"], decisions.abstains)
    assert out["top_2"].tolist() == [decisions.classes[i] for i in decisions.top[:, 1]]


@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_rows_are_converted_once(folder: Path, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    converted = []

    def counted(frame: pd.DataFrame, columns: Any) -> pd.DataFrame:
        converted.append(len(frame))
        return conform(frame, columns)

    monkeypatch.setattr("crossent.predictor.conform", counted)
    pd.read_csv(folder / "new.csv").assign(colour="mauve").to_csv(folder / "mauve.csv", index=False)
    done = crossent(command, "model", "mauve.csv", cwd=folder)
    assert "200 rows hold values not seen in training: 'mauve'" in " ".join((done.stdout + done.stderr).split())
    assert converted == [200]


def test_costs_are_matched_by_name(folder: Path) -> None:
    costs = read_costs(folder / "costs.csv", ("a", "b", "c"))
    assert costs.tolist() == [[0, 9, 9], [1, 0, 1], [1, 1, 0]]
    out = predict(folder, "--costs", "costs.csv")
    probs = out[["prob_a", "prob_b", "prob_c"]].to_numpy()
    assert out["predicted"].tolist() == [["a", "b", "c"][i] for i in (probs @ costs).argmin(axis=1)]


def test_the_most_probable_classes_stand_in_place_of_all(folder: Path) -> None:
    out = predict(folder, "--top", "2")
    assert list(out.columns[-4:]) == ["top_1", "top_1_prob", "top_2", "top_2_prob"]
    assert "prob_a" not in out
    assert (out["top_1_prob"] >= out["top_2_prob"]).all()
    assert (out["top_1"] == out["predicted"]).all()


def test_priors_by_name_and_estimated(folder: Path) -> None:
    new = pd.read_csv(folder / "new.csv")
    predictor = ce.load(folder / "model")
    given = predict(folder, "--prior", "c=0.5,a=0.25,b=0.25")[["prob_a", "prob_b", "prob_c"]]
    ratio = predictor.probs(new) * np.array([0.25, 0.25, 0.5]) / predictor.prior
    np.testing.assert_allclose(given, ratio / ratio.sum(axis=1, keepdims=True), rtol=1e-5)
    estimated = predict(folder, "--prior", "estimate")
    assert not np.allclose(estimated["prob_a"], predictor.probs(new)[:, 0])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--coverage", "1.5"), "between 0 and 1"),
        (("--coverage", "0.9999"), "rows"),
        (("--risk", "0.0001"), "rows"),
        (("--prior", "a=0.5,b=0.4"), "c"),
        (("--prior", "d=1"), "'d' names no class"),
        (("--prior", "estimate", "--coverage", "0.9"), "an estimate may be wrong"),
        (("--prior", "estimate", "--risk", "0.3"), "an estimate may be wrong"),
        (("--costs", "costs.csv", "--scoring", "f1_macro"), "Both are given"),
        (("--scoring", "neg_log_loss"), "judges labels"),
        (("--scoring", "warmth"), "'warmth'"),
        (("--by", "class"), "no coverage is given"),
        (("--top", "4"), "4"),
        (("--costs", "new.csv"), "has no line, or more than one"),
    ],
)
def test_bad_flags_are_one_clear_error(folder: Path, flags: tuple[str, ...], message: str) -> None:
    done = crossent("predict", "model", "new.csv", *flags, cwd=folder)
    assert done.returncode == 2
    assert message in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr


def test_priors_as_they_are_written() -> None:
    classes = ("a=b", "c", 3)
    assert parse_prior(None, classes) is None
    assert parse_prior("uniform", classes) == "uniform"
    assert parse_prior("estimate", classes) == "estimate"
    written = parse_prior("a=b=0.5, c=0.25, 3=0.25", classes)
    assert written == {"a=b": 0.5, "c": 0.25, 3: 0.25}
    assert as_prior({"a=b": 0.5, "c": 0.25, 3: 0.25}, classes).tolist() == [0.5, 0.25, 0.25]
    with pytest.raises(SettingError, match="The share of 'c' is 'much'"):
        parse_prior("c=much", classes)


@pytest.mark.parametrize(
    "text", ["true,a,b\na,0,1\n", "true,a,b\na,0,1\nb,1,x\n", "true,a,a\na,0,1\nb,1,0\n", "a\n", "true,a,b\n"]
)
def test_a_file_of_costs_that_does_not_fit_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "costs.csv").write_text(text)
    with pytest.raises(DataError, match=r"costs\.csv"):
        read_costs(tmp_path / "costs.csv", ("a", "b"))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of a table whose names, values and labels a spreadsheet would run."""
    path = tmp_path_factory.mktemp("hostile")
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 2, 300)
    frame = pd.DataFrame(
        {
            "=HYPERLINK": rng.normal(size=300) - 3 * classes,
            "kind": np.array(["=A1", "-5", "'=B1", "d"])[rng.integers(0, 4, 300)],
            "predicted": rng.normal(size=300).round(3) + classes,
            "label": np.array(["@no", "yes"])[classes],
        }
    )
    frame.to_csv(path / "rows.csv", index=False)
    fit(read(path / "rows.csv", "label"), Recipe(model="linear", folds=2)).predictor.save(path / "model")
    return path


def test_predictions_are_safe_in_a_spreadsheet_and_are_read_back_as_they_were(hostile: Path) -> None:
    done = crossent("predict", "model", "rows.csv", "-o", "out.csv", cwd=hostile)
    rows = pd.read_csv(hostile / "rows.csv", dtype=str)
    formulas = int(rows["kind"].isin(["=A1", "'=B1"]).sum()) + 2 * int((rows["label"] == "@no").sum()) + 1
    assert "texts that a spreadsheet would run as formulas" in " ".join(done.stderr.split())
    out = pd.read_csv(hostile / "out.csv", dtype=str)
    assert {*out["kind"]} == {"'=A1", "-5", "''=B1", "d"}
    assert "'=HYPERLINK" in out
    texts = out.select_dtypes("str").to_numpy().ravel().tolist() + list(out.columns)
    assert not [text for text in texts if text.startswith(("=", "+", "@"))]
    assert formulas > 100
    # Evaluation and prediction of that file are those of the file that it was made of.
    first = crossent("evaluate", "model", "rows.csv", "--json", cwd=hostile)
    again = crossent("evaluate", "model", "out.csv", "--json", cwd=hostile)
    assert first.stdout == again.stdout
    assert "are read without the apostrophe" in again.stderr
    crossent("predict", "model", "out.csv", "-o", "out2.csv", cwd=hostile)
    assert (hostile / "out2.csv").read_text() == (hostile / "out.csv").read_text()


def test_formulas_stay_where_they_are_asked_for_and_in_parquet(hostile: Path) -> None:
    done = crossent("predict", "model", "rows.csv", "--keep-formulas", cwd=hostile)
    assert {*pd.read_csv(io.StringIO(done.stdout), dtype=str)["kind"]} == {"=A1", "-5", "'=B1", "d"}
    assert "apostrophe" not in done.stderr
    crossent("predict", "model", "rows.csv", "-o", "out.parquet", cwd=hostile)
    assert {*pd.read_parquet(hostile / "out.parquet")["kind"]} == {"=A1", "-5", "'=B1", "d"}


def test_a_feature_with_the_name_of_a_prediction_stays(hostile: Path) -> None:
    crossent("predict", "model", "rows.csv", "-o", "out.parquet", cwd=hostile)
    out = pd.read_parquet(hostile / "out.parquet")
    assert out["predicted"].astype(float).tolist() == pd.read_csv(hostile / "rows.csv")["predicted"].tolist()
    assert {*out["crossent_predicted"]} == {"@no", "yes"}
    assert "crossent_prob_yes" not in out
    assert (out["crossent_predicted"] == np.where(out["prob_yes"] > 0.5, "yes", "@no")).mean() > 0.99
