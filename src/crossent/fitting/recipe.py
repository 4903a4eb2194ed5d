"""Every setting, declared once: constructor arguments, command-line flags, TOML files and the record of a run.

What is true of any model is here; each model's own settings are those of `crossent.models.settings`.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from crossent.errors import SettingError
from crossent.models.settings import Boosting, Linear, Network, Settings, check_settings, setting

# Between the name of a model and the name of its setting, as in scikit-learn.
OF_MODEL = "__"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a classifier is made. Each field has its bounds and a line of help in its metadata.

    Raises
    ------
    SettingError
        If a value is of the wrong type, not among the choices or out of bounds.

    Examples
    --------
    >>> Recipe(model="boosting", boosting=Boosting(learning_rate=0.05)).boosting.learning_rate
    0.05
    """

    model: str = setting(
        "auto",
        "The model: linear (softmax regression), boosting (trees; reads no text), network (reads no text), or auto: the"
        " best of these on held-out rows.",
    )
    calibration: Literal["auto", "none", "temperature", "vector", "matrix"] = setting(
        "auto", "How confidence is corrected: auto is the best method on held-out rows, or none where no method helps."
    )
    imbalance: Literal["none", "class-weight", "oversample", "logit-adjust", "focal"] = setting(
        "none",
        "How rare classes are predicted more often; the probabilities stay right for the class shares of the data.",
    )
    class_weight: dict[str, float] | None = setting(
        None,
        "Weight of a class, as a remedy of imbalance in place of balanced weights: --class-weight rare=5. Can be given"
        " several times.",
    )
    label_smoothing: float = setting(
        0.0,
        "Share of each label that training spreads evenly over all classes, for labels that may be wrong; calibration"
        " corrects the probabilities afterwards.",
        0.0,
        0.99,
    )
    folds: int | None = setting(
        None,
        "Number of folds; a model is trained for each, and their average predicts. 1 is a single split. Default: 5, or"
        " 1 for many rows.",
        1,
        100,
    )
    duplicates: Literal["auto", "together", "anywhere"] = setting(
        "auto",
        "Where rows with equal features go in a split: all to one side (together), anywhere, or to one side only where"
        " more rows are equal than chance explains (auto).",
    )
    time_budget: float | None = setting(
        None, "Seconds that training may take, shared by all fits; a fit ends early when its share is over.", 0.0, 1e9
    )
    seed: int = setting(0, "Seed of all random draws; the same seed gives the same model.", 0, 2**31 - 1)
    linear: Linear = setting(Linear(), "Settings of softmax regression.")
    boosting: Boosting = setting(Boosting(), "Settings of boosted trees.")
    network: Network = setting(Network(), "Settings of the network for tables.")

    def __post_init__(self) -> None:
        check_settings(self)
        names = [AUTO, *(settings.name for settings in self.models)]
        if self.model not in names:
            raise SettingError(f"model is one of {', '.join(names)}.", f"It is {self.model!r}.", "Choose one of these.")
        if self.imbalance == "focal" and self.label_smoothing > 0:
            raise SettingError(
                "The focal loss takes labels as they are.",
                f"label_smoothing is {self.label_smoothing}: both make the model less certain.",
                "Set label_smoothing to 0, or choose another remedy of imbalance.",
            )
        if self.class_weight is not None and self.imbalance not in {"none", "class-weight"}:
            raise SettingError(
                "class_weight is itself a remedy of imbalance, and cannot be combined with another one.",
                f"class_weight is given, and imbalance is {self.imbalance!r}.",
                "Leave one of them out.",
            )

    @property
    def models(self) -> tuple[Settings, ...]:
        """The settings of all models, in the order in which ``auto`` tries them."""
        values = (getattr(self, field.name) for field in dataclasses.fields(self))
        return tuple(cast("Settings", value) for value in values if dataclasses.is_dataclass(value))


AUTO = "auto"


def flat_fields() -> "dict[str, dataclasses.Field[Any]]":
    """Return every setting by its name in one word: ``boosting__learning_rate`` for one of a model.

    Examples
    --------
    >>> flat_fields()["boosting__learning_rate"].default
    0.08
    """
    flat: dict[str, dataclasses.Field[Any]] = {}
    for field in dataclasses.fields(Recipe):
        if dataclasses.is_dataclass(field.default):
            of_model = dataclasses.fields(field.default)
            flat |= {f"{field.name}{OF_MODEL}{inner.name}": inner for inner in of_model}
        else:
            flat[field.name] = field
    return flat


def recipe_of(flat: Mapping[str, Any]) -> Recipe:
    """Return the recipe of settings by their names in one word.

    Raises
    ------
    SettingError
        If one is out of bounds.

    Examples
    --------
    >>> recipe_of({"model": "linear", "linear__C": 2.0}).linear
    Linear(C=2.0)
    """
    common = {name: value for name, value in flat.items() if OF_MODEL not in name}
    of_models: dict[str, dict[str, Any]] = {}
    for name, value in flat.items():
        model, mark, inner = name.partition(OF_MODEL)
        if mark:
            of_models.setdefault(model, {})[inner] = value
    defaults = Recipe()
    settings = {model: dataclasses.replace(getattr(defaults, model), **values) for model, values in of_models.items()}
    return Recipe(**common, **settings)


def flat_values(recipe: Recipe) -> dict[str, Any]:
    """Return the value of every setting, by names as in TOML files: ``boosting.learning_rate``."""
    values: dict[str, Any] = {}
    for name in flat_fields():
        model, mark, inner = name.partition(OF_MODEL)
        values[f"{model}.{inner}" if mark else name] = (
            getattr(getattr(recipe, model), inner) if mark else getattr(recipe, name)
        )
    return values
