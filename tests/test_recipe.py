import dataclasses

import pytest

from crossent.errors import SettingError
from crossent.recipe import Recipe


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
    ],
)
def test_bad_values_are_named_with_their_bounds(name: str, value: object, words: str) -> None:
    with pytest.raises(SettingError, match=words):
        Recipe(**{name: value})


def test_settings_are_keyword_only() -> None:
    with pytest.raises(TypeError):
        Recipe("linear")  # type: ignore[misc]
