import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars
import pytest

import crossent.predictor as module
from crossent.data.encoder import Encoder
from crossent.data.read import read
from crossent.decide.decide import DecisionRule
from crossent.errors import DataError, ModelFileError, SettingError
from crossent.fitting.fit import FitResult, fit
from crossent.fitting.recipe import Recipe
from crossent.kinds.category import CategoryEncoding
from crossent.kinds.ngram_encoding import TextEncoding
from crossent.kinds.number import NumberEncoding
from crossent.models.boosting import FittedBoosting
from crossent.models.settings import Boosting
from crossent.predictor import load
from tests.conftest import draw_imbalanced, draw_reviews, draw_table

FORMAT_1 = Path(__file__).parent / "format_1"


@pytest.fixture(params=["linear_fit", "boosting_fit", "network_fit"])
def result(request: pytest.FixtureRequest) -> FitResult:
    fitted: FitResult = request.getfixturevalue(request.param)
    return fitted


def test_predictions_after_a_load_are_the_same_to_the_bit(result: FitResult, tmp_path: Path) -> None:
    new = draw_table(50, seed=5)
    before = result.predictor.logits(new)
    result.predictor.save(tmp_path / "model")
    loaded = load(tmp_path / "model")
    assert loaded.logits(new).tobytes() == before.tobytes()
    assert loaded.classes == ("a", "b", "c")
    assert loaded.columns == result.predictor.columns


def test_another_process_predicts_the_same_to_the_bit_without_lightgbm_and_scikit_learn(
    linear_fit: FitResult, boosting_fit: FitResult, network_fit: FitResult, tmp_path: Path
) -> None:
    new = draw_table(50, seed=5)
    new.to_parquet(tmp_path / "new.parquet")
    for name, result in {"linear": linear_fit, "boosting": boosting_fit, "network": network_fit}.items():
        result.predictor.save(tmp_path / name)
    code = (
        "import sys, crossent as ce\n"
        "data, *models = sys.argv[1:]\n"
        "print(*(ce.load(model).logits(data).tobytes().hex() for model in models))\n"
        "print({'lightgbm', 'sklearn'} & set(sys.modules))"
    )
    folders = [*(tmp_path / name for name in ("linear", "boosting", "network")), FORMAT_1 / "boosting"]
    command = [sys.executable, "-c", code, str(tmp_path / "new.parquet"), *map(str, folders)]
    *said, heavy = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    predictors = [*(result.predictor for result in (linear_fit, boosting_fit, network_fit)), load(folders[-1])]
    assert said == [predictor.logits(new).tobytes().hex() for predictor in predictors]
    assert heavy == "set()"


@pytest.mark.parametrize("name", ["linear", "boosting", "network", "text"])
def test_models_of_format_1_predict_as_when_they_were_saved(name: str, tmp_path: Path) -> None:
    # The folders were written by the code that had this format, from 80 rows, and the logits with them.
    new = (draw_reviews if name == "text" else draw_table)(20, seed=5)
    first = load(FORMAT_1 / name)
    np.testing.assert_allclose(first.logits(new), np.load(FORMAT_1 / f"{name}.npy"), rtol=1e-5, atol=1e-6)
    first.save(tmp_path)
    assert json.loads((tmp_path / "model.json").read_bytes())["format_version"] == 2
    assert load(tmp_path).logits(new).tobytes() == first.logits(new).tobytes()


def test_rows_are_the_same_alone_in_parts_and_together(result: FitResult, monkeypatch: pytest.MonkeyPatch) -> None:
    new = draw_table(50, seed=5)
    together = result.predictor.logits(new)
    alone = [result.predictor.logits(new.iloc[i : i + 1])[0] for i in range(9)]
    np.testing.assert_allclose(alone, together[:9], rtol=1e-5, atol=1e-6)
    monkeypatch.setattr(module, "CHUNK", 7)
    np.testing.assert_allclose(result.predictor.logits(new), together, rtol=1e-5, atol=1e-6)


def test_probabilities_sum_to_one_and_agree(result: FitResult) -> None:
    new = draw_table(50, seed=5)
    probs = result.predictor.probs(new)
    np.testing.assert_allclose(probs.sum(axis=1), 1.0, rtol=1e-12)
    np.testing.assert_allclose(np.exp(result.predictor.log_probs(new)), probs)
    assert result.predictor.predict(new) == [result.predictor.classes[i] for i in probs.argmax(axis=1)]


def test_rows_may_come_in_any_form_and_order(result: FitResult, tmp_path: Path) -> None:
    new = draw_table(20, seed=5).drop(columns="label")
    expected = result.predictor.logits(new)
    new.to_csv(tmp_path / "new.csv", index=False)
    shuffled = new[["flag", "seen", "colour", "size"]].assign(further=1)
    for rows in (shuffled, polars.DataFrame(new), tmp_path / "new.csv", str(tmp_path / "new.csv")):
        np.testing.assert_allclose(result.predictor.logits(rows), expected, atol=1e-5)


def test_one_row_alone_is_predicted_as_among_others(result: FitResult) -> None:
    new = draw_table(20, seed=5)
    together = result.predictor.logits(new)
    alone = np.concatenate([result.predictor.logits(new.iloc[[i]]) for i in range(20)])
    np.testing.assert_allclose(alone, together, atol=1e-6)


def test_missing_and_unseen_values_are_predicted_and_noted(result: FitResult) -> None:
    new = draw_table(5, seed=5).assign(colour=["mauve", None, "red", "mauve", "blue"], size=np.nan)
    assert np.isfinite(result.predictor.logits(new)).all()
    assert result.predictor.notes_on(new) == ("column 'colour': 2 rows hold values not seen in training: 'mauve'",)


def test_columns_that_are_missing_or_of_another_type_are_named(result: FitResult) -> None:
    new = draw_table(5, seed=5)
    with pytest.raises(DataError, match="'size'"):
        result.predictor.probs(new.drop(columns="size"))
    with pytest.raises(DataError, match="'size' must hold numbers"):
        result.predictor.probs(new.assign(size="large"))


def test_save_and_load_refuse_what_is_no_model(result: FitResult, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ModelFileError, match="holds other files"):
        result.predictor.save(tmp_path)
    with pytest.raises(ModelFileError, match=r"has no model\.json"):
        load(tmp_path)


def test_the_same_seed_gives_the_same_model_files(table: pd.DataFrame, tmp_path: Path) -> None:
    for name in ("first", "second"):
        fit(read(table, "label"), Recipe(model="linear", folds=2)).predictor.save(tmp_path / name)
    files = [{file.name: file.read_bytes() for file in (tmp_path / name).iterdir()} for name in ("first", "second")]
    assert len(files[0]) == 2
    assert files[0] == files[1]


def test_text_is_predicted_after_a_load_as_before_to_the_bit(text_fit: FitResult, tmp_path: Path) -> None:
    new = draw_reviews(50, seed=5).drop(columns="label")
    before = text_fit.predictor.logits(new)
    text_fit.predictor.save(tmp_path / "model")
    assert {path.suffix for path in (tmp_path / "model").iterdir()} == {".json", ".safetensors"}
    assert load(tmp_path / "model").logits(new).tobytes() == before.tobytes()
    alone = np.concatenate([text_fit.predictor.logits(new.iloc[[i]]) for i in range(50)])
    np.testing.assert_allclose(alone, before, atol=1e-6)


def test_a_saved_text_model_that_does_not_fit_is_refused(text_fit: FitResult, tmp_path: Path) -> None:
    text_fit.predictor.save(tmp_path / "model")
    (arrays,) = (tmp_path / "model").glob("*.safetensors")
    arrays.write_bytes(arrays.read_bytes()[:-1] + b"x")
    with pytest.raises(ModelFileError, match="checksum"):
        load(tmp_path / "model")
    encoding, *others = text_fit.predictor.encoder.encodings
    assert isinstance(encoding, TextEncoding)
    shorter = dataclasses.replace(encoding, hashes=encoding.hashes[1:], weights=encoding.weights[1:])
    encoder = Encoder((shorter, *others))
    with pytest.raises(ValueError, match=r"a model does not fit 3 classes and features of .*ngrams"):
        dataclasses.replace(text_fit.predictor, encoder=encoder)


def test_an_encoder_of_other_widths_is_refused(result: FitResult) -> None:
    predictor = result.predictor
    size, colour, seen, flag = predictor.encoder.encodings
    assert isinstance(size, NumberEncoding)
    assert isinstance(colour, CategoryEncoding)
    flagged = dataclasses.replace(size, scale=dataclasses.replace(size.scale, flag=not size.scale.flag))
    vocabulary = dataclasses.replace(colour.vocabulary, frequent=(*colour.vocabulary.frequent, "mauve"))
    longer = dataclasses.replace(colour, vocabulary=vocabulary)
    widths = predictor.encoder.widths
    for encodings in (
        (colour, flag),
        (colour, seen, flag),
        (flagged, colour, seen, flag),
        (size, seen, flag),
        (size, seen, flag, colour),
        (size, longer, seen, flag),
    ):
        encoder = Encoder(encodings)
        # Trees know how many features they read, but not of which categories.
        if (
            isinstance(predictor.members[0].model, FittedBoosting)
            and len(encoder.widths.cardinalities) == len(widths.cardinalities)
            and encoder.widths.numbers == widths.numbers
        ):
            continue
        with pytest.raises(ValueError, match="a model does not fit"):
            dataclasses.replace(predictor, encoder=encoder)


def test_columns_and_classes_that_do_not_fit_are_refused(result: FitResult) -> None:
    predictor = result.predictor
    first, *others = predictor.columns
    other_kinds = [(dataclasses.replace(first, kind=kind), *others) for kind in ("text", "identifier", "colour")]
    for columns in ((*others,), (first, first, *others), *other_kinds):
        with pytest.raises(ValueError, match=r"does not fit a \w+ column|names of columns must be distinct|no kind"):
            dataclasses.replace(predictor, columns=columns)
    for classes in (("a", "b"), ("a", "b", "a"), ("a", "b", "c", "d")):
        with pytest.raises(ValueError, match=r"classes|prior"):
            dataclasses.replace(predictor, classes=classes)


def test_text_that_is_empty_missing_or_of_a_megabyte_is_predicted(text_fit: FitResult) -> None:
    new = pd.DataFrame({"review": ["", None, "lovely " * 150_000, "x" * 1_000_000], "stars": 3.0})
    assert np.isfinite(text_fit.predictor.logits(new)).all()
    assert text_fit.predictor.predict(new)[2] == "happy"
    (note,) = text_fit.predictor.notes_on(new)
    assert note.startswith("column 'review': 3 rows are empty or hold no word")


def test_a_column_of_text_that_is_missing_or_numeric_is_named(text_fit: FitResult, tmp_path: Path) -> None:
    new = draw_reviews(5, seed=5)
    with pytest.raises(DataError, match="'review'"):
        text_fit.predictor.probs(new.drop(columns="review"))
    with pytest.raises(DataError, match="'review' must hold text"):
        text_fit.predictor.probs(new.assign(review=[1.0, 2.0, 3.0, 4.0, 5.0]))
    new.assign(review=["1", "2", "3", "4", "5"]).to_csv(tmp_path / "new.csv", index=False)
    with pytest.raises(DataError, match="'review' must hold text"):
        text_fit.predictor.probs(tmp_path / "new.csv")
    assert np.isfinite(text_fit.predictor.logits(new.head(1).assign(review="42"))).all()


def test_rows_are_converted_once_for_all_that_is_asked_of_them(result: FitResult) -> None:
    predictor = result.predictor
    new = draw_table(20, seed=5).assign(colour="mauve")
    converted = predictor.convert(new)
    assert predictor.notes_of(converted) == predictor.notes_on(new)
    assert predictor.logits_of(converted).tobytes() == predictor.logits(new).tobytes()
    rule = DecisionRule(top=2, coverage=0.8, risk=0.5)
    of_converted, of_rows = predictor.decide_of(converted, rule), predictor.decide(new, rule)
    for field in dataclasses.fields(of_rows):
        np.testing.assert_array_equal(getattr(of_converted, field.name), getattr(of_rows, field.name))
    np.testing.assert_array_equal(of_rows.log_probs, predictor.log_probs(new))
    assert of_rows.labels == predictor.predict(new)


# By name: settings of the training, and what is asked. Missing a rare case costs twenty times as much as a false alarm.
WAYS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "class-weight": ({"imbalance": "class-weight"}, {}),
    "oversample": ({"imbalance": "oversample"}, {}),
    "logit-adjust": ({"imbalance": "logit-adjust"}, {}),
    "costs": ({}, {"costs": [[0, 1, 1], [2, 0, 2], [20, 20, 0]]}),
    "thresholds": ({}, {"scoring": "f1_macro"}),
    "weights and costs": ({"imbalance": "class-weight"}, {"costs": [[0, 1, 1], [2, 0, 2], [20, 20, 0]]}),
}


def broken_risks(way: str, settings: dict[str, Any], rows: int, draws: int) -> int:
    """Return in how many draws more of the answers are wrong than the risk allows, by more rows than matter."""
    training, asked = WAYS[way]
    rule, new = DecisionRule(**asked, risk=0.2), draw_imbalanced(20_000, seed=10**6)
    broken = answering = 0
    for seed in range(draws):
        recipe = Recipe(**settings, **training, seed=seed)
        predictor = fit(read(draw_imbalanced(rows, seed), "label"), recipe).predictor
        try:
            decisions = predictor.decide(new, rule)
        except SettingError:
            continue  # a risk that is not promised is not broken
        assert decisions.abstains is not None
        wrong = (np.array(decisions.labels) != new["label"])[~decisions.abstains]
        answering += len(wrong) > 2000
        broken += wrong.mean() > 0.2
    assert answering > 0.7 * draws
    return broken


@pytest.mark.parametrize("way", WAYS)
def test_the_risk_holds_for_the_labels_that_are_answered(way: str) -> None:
    assert broken_risks(way, {"model": "linear", "folds": 2}, rows=2000, draws=2) == 0


@pytest.mark.slow
@pytest.mark.parametrize(("folds", "rows"), [(1, 8000), (5, 2000)])
@pytest.mark.parametrize("way", WAYS)
def test_the_risk_holds_in_95_of_100_draws(way: str, folds: int, rows: int) -> None:
    assert broken_risks(way, {"model": "linear", "folds": folds}, rows=rows, draws=20) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_the_risk_holds_with_trees(way: str) -> None:
    settings = {"model": "boosting", "folds": 2, "boosting": Boosting(max_rounds=60)}
    assert broken_risks(way, settings, rows=4000, draws=10) == 0


@pytest.mark.parametrize("imbalance", ["none", "class-weight"])
def test_the_risk_and_the_coverage_hold_on_real_jobs(imbalance: Any, hpc: pd.DataFrame) -> None:
    side = np.random.default_rng(0).random(len(hpc)) < 0.5
    predictor = fit(read(hpc[side], "class"), Recipe(model="linear", folds=2, imbalance=imbalance)).predictor
    new = hpc[~side]
    target = np.array([predictor.classes.index(label) for label in new["class"]])
    costs = 1 - np.eye(4) + 9 * (np.arange(4) == predictor.classes.index("L"))[:, None] * (1 - np.eye(4))
    for asked in ({}, {"costs": costs}, {"scoring": "f1_macro"}):
        decisions = predictor.decide(new, DecisionRule(**asked, risk=0.3, coverage=0.9))
        assert decisions.abstains is not None
        assert decisions.sets is not None
        wrong = (decisions.predicted != target)[~decisions.abstains]
        assert len(wrong) > 200
        assert wrong.mean() <= 0.3
        assert decisions.sets[np.arange(len(new)), target].mean() == pytest.approx(0.9, abs=0.03)
