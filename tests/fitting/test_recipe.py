import dataclasses

import numpy as np
import pytest

from crossent.errors import SettingError
from crossent.fitting.recipe import Recipe, flat_fields, flat_values, recipe_of
from crossent.models.settings import Boosting, Linear, Network


def test_every_setting_has_help_and_a_valid_default() -> None:
    for field in dataclasses.fields(Recipe):
        assert field.metadata["help"].endswith(".")
        assert getattr(Recipe(), field.name) == field.default
    for name, field in flat_fields().items():
        assert field.metadata["help"].endswith("."), name


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("model", "forest", "auto, linear, boosting, network"),
        ("model", None, "auto, linear, boosting, network"),
        ("folds", 0, "from 1 to 100"),
        ("folds", 2.5, "whole number"),
        ("folds", True, "whole number"),
        ("linear__C", -1.0, "C is a number"),
        ("linear__C", float("nan"), "nan"),
        ("boosting__learning_rate", "fast", "'fast'"),
        ("network__mixup", -0.1, "mixup is a number from 0"),
        ("seed", -1, "seed"),
        ("network__find_lr", 1, "find_lr is True or False"),
        ("network__find_lr", "yes", "'yes'"),
        ("network__find_lr", None, "None"),
        ("network", 0.1, "network holds the settings of that model"),
        ("network", Boosting(), "network holds the settings of that model"),
    ],
)
def test_bad_values_are_named_with_their_bounds(name: str, value: object, words: str) -> None:
    with pytest.raises(SettingError, match=words):
        recipe_of({name: value})


def test_a_learning_rate_is_given_or_searched() -> None:
    assert Recipe(network=Network(find_lr=True)).network.find_lr
    with pytest.raises(SettingError, match=r"learning_rate is 0\.01, and find_lr is True"):
        Network(find_lr=True, learning_rate=0.01)


def test_settings_are_keyword_only() -> None:
    with pytest.raises(TypeError):
        Recipe("linear")  # type: ignore[misc]


def test_numbers_of_numpy_are_numbers() -> None:
    recipe = Recipe(folds=np.int64(3), linear=Linear(C=np.float32(0.5)), network=Network(find_lr=np.bool_(True)))  # type: ignore[arg-type]
    assert (recipe.folds, recipe.linear.C, recipe.network.find_lr) == (3, 0.5, True)
    assert type(recipe.folds) is int
    assert type(recipe.linear.C) is float
    with pytest.raises(SettingError, match="folds is a whole number"):
        Recipe(folds=np.float64(2.5))  # type: ignore[arg-type]


def test_settings_by_one_word_make_the_recipe_that_they_were_taken_from() -> None:
    recipe = Recipe(seed=3, boosting=Boosting(max_leaves=7), network=Network(mixup=0.2))
    values = flat_values(recipe)
    assert (values["boosting.max_leaves"], values["network.mixup"], values["seed"]) == (7, 0.2, 3)
    assert recipe_of({name.replace(".", "__"): value for name, value in values.items()}) == recipe


def test_the_focal_loss_takes_labels_as_they_are() -> None:
    with pytest.raises(SettingError, match=r"label_smoothing is 0\.1: both make the model less certain"):
        Recipe(imbalance="focal", label_smoothing=0.1)
    assert Recipe(imbalance="focal").label_smoothing == 0.0
    assert Recipe(imbalance="class-weight", label_smoothing=0.1).label_smoothing == 0.1


@pytest.mark.parametrize("imbalance", ["oversample", "logit-adjust", "focal"])
def test_weights_by_hand_go_with_no_other_remedy(imbalance: str) -> None:
    with pytest.raises(SettingError, match=f"class_weight is given, and imbalance is '{imbalance}'"):
        Recipe(imbalance=imbalance, class_weight={"a": 1.0})  # type: ignore[arg-type]
    for allowed in ("none", "class-weight"):
        assert Recipe(imbalance=allowed, class_weight={"a": 1.0}).class_weight == {"a": 1.0}  # type: ignore[arg-type]
