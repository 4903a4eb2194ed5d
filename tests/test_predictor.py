import subprocess
import sys
from pathlib import Path

import numpy as np
import polars
import pytest

from crossent.errors import DataError, ModelFileError
from crossent.fit import FitResult
from crossent.predictor import load, mean_log_probs
from tests.conftest import draw_table


@pytest.fixture(params=["linear_fit", "boosting_fit"])
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
    new.to_parquet(tmp_path / "new.parquet")
    code = (
        "import sys, crossent as ce\n"
        "model, data = sys.argv[1:]\n"
        "sys.stdout.write(ce.load(model).logits(data).tobytes().hex())"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "model"), str(tmp_path / "new.parquet")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == before.tobytes().hex()


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
    with pytest.raises(ModelFileError, match="has none"):
        load(tmp_path)


def test_log_probabilities_are_averaged() -> None:
    first, second = np.log([[0.9, 0.1]]), np.log([[0.5, 0.5]])
    mean = mean_log_probs([first.astype(np.float32), second.astype(np.float32) + 7])
    np.testing.assert_allclose(mean, (first + second) / 2, rtol=1e-6)
