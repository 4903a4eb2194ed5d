"""Every setting, declared once: constructor arguments, command-line flags and the record of a run come from here."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

from crossent.errors import SettingError


def _setting(default: Any, text: str, low: float | None = None, high: float | None = None) -> Any:
    return dataclasses.field(default=default, metadata={"help": text, "low": low, "high": high})


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a classifier is made. Each field has its bounds and a line of help in its metadata.

    Raises
    ------
    SettingError
        If a value is of the wrong type, not among the choices or out of bounds.

    Examples
    --------
    >>> Recipe(model="linear").model
    'linear'
    """

    model: Literal["auto", "linear", "boosting", "network"] = _setting(
        "auto",
        "Which model: linear (softmax regression), boosting (trees, no text), network (no text), or auto: the best of"
        " them on rows held out.",
    )
    calibration: Literal["auto", "none", "temperature", "vector", "matrix"] = _setting(
        "auto", "How confidence is corrected: auto is the best on rows held out, and none where nothing helps there."
    )
    imbalance: Literal["none", "class-weight", "oversample", "logit-adjust", "focal"] = _setting(
        "none",
        "How rare classes get more say in the predicted class; the probabilities stay those of the data's own mix.",
    )
    class_weight: dict[str, float] | None = dataclasses.field(
        default=None,
        metadata={
            "help": "Weights by class, a remedy of imbalance in place of the balanced ones: --class-weight.rare=5."
        },
    )
    label_smoothing: float = _setting(
        0.0, "Share of each label that training spreads evenly over all classes; calibration takes it back.", 0.0, 0.99
    )
    folds: int | None = _setting(
        None, "Train on so many folds and average the models; 1 is a single split. Default: 5, for many rows 1.", 1, 100
    )
    duplicates: Literal["auto", "together", "anywhere"] = _setting(
        "auto",
        "Where rows with the same features go in a split: all to one side (together), anywhere, or to one side where"
        " chance alone does not make so many alike (auto).",
    )
    C: float | None = _setting(
        None, "Inverse L2 penalty of linear, as in scikit-learn. Default: the best on rows held out.", 1e-9, 1e9
    )
    learning_rate: float | None = _setting(
        None,
        "Step size of boosting (default: 0.08) or network (default: 0.01); smaller is slower, often a little better.",
        1e-6,
        1.0,
    )
    find_lr: bool = _setting(
        False,
        "Search the learning rate of network first, by a short training in which it rises until the loss does; auto"
        " does so unless one is given.",
    )
    max_rounds: int = _setting(
        2000, "Most rounds of boosting; it stops before when rows held out gain no more.", 1, 1_000_000
    )
    max_leaves: int = _setting(31, "Most leaves of a tree in boosting.", 2, 100_000)
    max_epochs: int | None = _setting(
        None,
        "Most times that network goes over the rows; default: by their number, 10 to 60 times.",
        1,
        1_000_000,
    )
    batch_size: int | None = _setting(
        None, "Rows of a step of network; default: a 20th of the rows, 32 to 256; of 25,000 rows 512.", 1, 1_000_000
    )
    dropout: float = _setting(0.0, "Share of hidden units that each step of network leaves out.", 0.0, 0.9)
    weight_decay: float = _setting(
        0.2, "How strongly network pulls its weights to zero, times the learning rate.", 0.0, 10.0
    )
    mixup: float = _setting(
        0.0,
        "How strongly network mixes rows and labels in training, the alpha of a Beta distribution; 0.1 to 0.4 is usual,"
        " 0 is off.",
        0.0,
        100.0,
    )
    stop_by: Literal["refinement", "log-loss", "accuracy"] = _setting(
        "refinement",
        "What on rows held out tells the best epoch of network; refinement is log-loss at the temperature that suits.",
    )
    time_budget: float | None = _setting(
        None, "Seconds of training, shared by all fits; each ends early when its share is over.", 0.0, 1e9
    )
    seed: int = _setting(0, "Seed of every draw; the same seed gives the same model.", 0, 2**31 - 1)

    def __post_init__(self) -> None:
        hints = get_type_hints(Recipe)
        for field in dataclasses.fields(self):
            _check(field, hints[field.name], getattr(self, field.name))
        if self.imbalance == "focal" and self.label_smoothing > 0:
            raise SettingError(
                "The focal loss takes labels as they are.",
                f"label_smoothing is {self.label_smoothing}: both make the model less certain.",
                "Set label_smoothing to 0, or choose another remedy of imbalance.",
            )
        if self.class_weight is not None and self.imbalance not in {"none", "class-weight"}:
            raise SettingError(
                "Weights of classes are a remedy of imbalance of their own.",
                f"class_weight is given, and imbalance is {self.imbalance!r}.",
                "Leave one of them out.",
            )
        if self.find_lr and self.learning_rate is not None:
            raise SettingError(
                "A learning rate is either given or searched.",
                f"learning_rate is {self.learning_rate}, and find_lr is True.",
                "Leave one of them out.",
            )
        if self.find_lr and self.model not in {"network", "auto"}:
            raise SettingError(
                "The learning rate is searched for networks.",
                f"find_lr is True, and model is {self.model!r}.",
                "Take model network or auto, or leave find_lr out.",
            )


def _check(field: "dataclasses.Field[Any]", hint: Any, value: Any) -> None:
    if get_origin(hint) is Literal:
        if not isinstance(value, str) or value not in get_args(hint):
            choices = ", ".join(get_args(hint))
            raise SettingError(f"{field.name} is one of {choices}.", f"It is {value!r}.", "Choose one of these.")
        return
    if value is None and type(None) in get_args(hint):
        return
    if any(get_origin(arg) is dict for arg in get_args(hint)):
        if not isinstance(value, Mapping):
            example = "Write it like this: {'rare': 5.0, 'common': 1.0}."
            raise SettingError(f"{field.name} maps each class to a number.", f"It is {value!r}.", example)
        return
    if hint is bool:
        if not isinstance(value, bool):
            raise SettingError(f"{field.name} is True or False.", f"It is {value!r}.", f"Default: {field.default}.")
        return
    whole = int in (get_args(hint) or (hint,))
    low, high = field.metadata["low"], field.metadata["high"]
    # bool counts as int in Python; a setting of True is a mistake.
    right_type = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
    if not right_type or not low <= value <= high:
        kind = "a whole number" if whole else "a number"
        fix = "Leave it out to have it chosen." if field.default is None else f"Default: {field.default}."
        raise SettingError(f"{field.name} is {kind} from {low:g} to {high:g}.", f"It is {value!r}.", fix)
