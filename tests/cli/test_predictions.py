"""What `crossent predict` adds, by its flags, on a real model and real files."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import crossent as ce
from crossent.calibration.prior import as_prior
from crossent.cli.predictions import parse_prior, read_costs
from crossent.data.read import read
from crossent.errors import DataError, SettingError
from crossent.fit import fit
from crossent.recipe import Recipe
from tests.cli.test_app import crossent
from tests.conftest import draw_table


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("predictions")
    result = fit(read(draw_table(900), "label"), Recipe(model="linear", folds=2))
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
        (("--prior", "d=1"), "'d=1' names no class"),
        (("--prior", "uniform", "--coverage", "0.9"), "Leave one of them out"),
        (("--top", "4"), "4"),
        (("--costs", "new.csv"), "has not one line"),
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
    with pytest.raises(SettingError, match="holds none"):
        parse_prior("c=much", classes)


@pytest.mark.parametrize(
    "text", ["true,a,b\na,0,1\n", "true,a,b\na,0,1\nb,1,x\n", "true,a,a\na,0,1\nb,1,0\n", "a\n", "true,a,b\n"]
)
def test_a_file_of_costs_that_does_not_fit_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "costs.csv").write_text(text)
    with pytest.raises(DataError, match=r"costs\.csv"):
        read_costs(tmp_path / "costs.csv", ("a", "b"))
