import dataclasses

import pytest

from crossent.errors import SettingError
from crossent.fitting.recipe import Recipe


def test_every_setting_has_help_and_a_valid_default() -> None:
    for field in dataclasses.fields(Recipe):
        assert field.metadata["help"].endswith(".")
        assert getattr(Recipe(), field.name) == field.default


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("model", "forest", "auto, linear, boosting, network"),
        ("model", None, "auto, linear, boosting, network"),
        ("folds", 0, "from 1 to 100"),
        ("folds", 2.5, "whole number"),
        ("folds", True, "whole number"),
        ("C", -1.0, "C is a number"),
        ("C", float("nan"), "nan"),
        ("learning_rate", "fast", "'fast'"),
        ("mixup", -0.1, "mixup is a number from 0"),
        ("seed", -1, "seed"),
        ("find_lr", 1, "find_lr is True or False"),
        ("find_lr", "yes", "'yes'"),
        ("find_lr", None, "None"),
    ],
)
def test_bad_values_are_named_with_their_bounds(name: str, value: object, words: str) -> None:
    with pytest.raises(SettingError, match=words):
        Recipe(**{name: value})


def test_a_learning_rate_is_given_or_searched_and_only_networks_search() -> None:
    assert Recipe(model="network", find_lr=True).find_lr
    with pytest.raises(SettingError, match=r"learning_rate is 0\.01, and find_lr is True"):
        Recipe(model="network", find_lr=True, learning_rate=0.01)
    with pytest.raises(SettingError, match="model is 'linear'"):
        Recipe(model="linear", find_lr=True)


def test_settings_are_keyword_only() -> None:
    with pytest.raises(TypeError):
        Recipe("linear")  # type: ignore[misc]
