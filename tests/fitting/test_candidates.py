import numpy as np
import pandas as pd
import pytest

from crossent.data.dataset import Dataset
from crossent.data.read import read
from crossent.errors import SettingError
from crossent.fitting.candidates import Candidate, candidates
from crossent.fitting.recipe import Recipe
from crossent.models.settings import Boosting, Linear, Network
from tests.conftest import draw_reviews, draw_table

NOTHING: frozenset[str] = frozenset()


def names(recipe: Recipe, dataset: Dataset, *asked: str) -> list[str]:
    return [candidate.name for candidate in candidates(recipe, dataset, frozenset(asked))]  # type: ignore[arg-type]


def test_a_model_that_is_named_is_tried_alone_with_its_settings_as_they_are() -> None:
    table = read(draw_table(60), "label")
    recipe = Recipe(model="network", network=Network(mixup=0.3))
    assert candidates(recipe, table, frozenset()) == (Candidate("network", Network(mixup=0.3)),)


def test_auto_tries_all_in_their_order_and_searches_what_it_may() -> None:
    recipe = Recipe(boosting=Boosting(max_leaves=7))
    tried = candidates(recipe, read(draw_table(60), "label"), frozenset())
    assert tried == (
        Candidate("linear", Linear()),
        Candidate("boosting", Boosting(max_leaves=7)),
        Candidate("network", Network(find_lr=True)),
    )


def test_one_column_of_text_leaves_the_models_that_read_text() -> None:
    reviews = read(draw_reviews(60), "label")
    assert names(Recipe(), reviews) == ["linear"]
    with pytest.raises(SettingError, match="Model boosting does not read columns of text") as caught:
        candidates(Recipe(model="boosting"), reviews, frozenset())
    assert "review" in caught.value.met
    assert "Take model linear or auto" in caught.value.fix


def test_a_date_is_read_by_models_of_numbers_and_codes() -> None:
    table = read(draw_table(60)[["seen", "label"]], "label")
    assert [column.kind for column in table.columns] == ["date"]
    assert names(Recipe(), table) == ["linear", "boosting", "network"]


def test_a_column_that_is_not_used_bars_no_model() -> None:
    reviews = read(draw_reviews(60), "label", kinds={"review": "identifier"})
    assert names(Recipe(), reviews) == ["linear", "boosting", "network"]
    assert names(Recipe(model="boosting"), reviews) == ["boosting"]


def test_auto_leaves_out_what_cannot_take_all_of_the_loss() -> None:
    table = read(draw_table(60), "label")
    assert names(Recipe(), table, "focal") == ["boosting", "network"]
    assert names(Recipe(), table, "focal", "class-weight") == ["boosting", "network"]
    assert names(Recipe(), table, "class-weight") == ["linear", "boosting", "network"]
    with pytest.raises(SettingError, match="Model linear does not take the focal loss"):
        names(Recipe(), read(draw_reviews(60), "label"), "focal")
    with pytest.raises(SettingError, match="Model linear does not take the focal loss"):
        names(Recipe(model="linear"), table, "focal", "class-weight")


@pytest.mark.parametrize(("columns", "tried"), [(500, True), (501, False)])
def test_a_wide_table_is_not_for_the_network_unless_it_is_asked_for(columns: int, tried: bool) -> None:
    rng = np.random.default_rng(0)
    wide = pd.DataFrame(rng.normal(size=(20, columns))).add_prefix("column_").assign(label=["a", "b"] * 10)
    dataset = read(wide, "label")
    assert ("network" in names(Recipe(), dataset)) == tried
    assert names(Recipe(model="network"), dataset) == ["network"]
