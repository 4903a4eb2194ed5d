"""The settings of each model: declared once, with default, bounds, a line of help and a range to search.

Nothing here imports torch or LightGBM, so that ``--help`` answers at once.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, Self, get_args, get_origin, get_type_hints

from crossent.errors import SettingError
from crossent.models.costs import Size, total_seconds
from crossent.models.effort import choose_batch_size, choose_effort, choose_epochs

# What a loss may ask of a model: weights of classes, a prior added to the logits in the loss, the focal loss, targets
# that are shares of the classes.
Ask = Literal["class-weight", "log-prior", "focal", "shares"]
Scale = Literal["linear", "log"]


def setting(
    default: Any,
    text: str,
    low: float | None = None,
    high: float | None = None,
    search: tuple[Scale, float, float] | None = None,
) -> Any:
    """Return a field of a settings class.

    Parameters
    ----------
    default
        What it is if nothing is given.
    text
        A line of help.
    low, high
        Bounds of a number, both allowed.
    search
        The scale and the bounds of the range that tuning searches; None leaves the setting as it is.
    """
    return dataclasses.field(default=default, metadata={"help": text, "low": low, "high": high, "search": search})


class Settings(Protocol):
    """What every model's settings say of the model, beside their fields."""

    @property
    def name(self) -> str:
        """What people call the model."""
        ...

    @property
    def reads(self) -> frozenset[str]:
        """The blocks of features that it can read."""
        ...

    @property
    def takes(self) -> frozenset[Ask]:
        """What its loss can be asked for."""
        ...

    @property
    def most_columns(self) -> int | None:
        """Above this many columns ``auto`` does not try it, because training would take minutes; None: no limit."""
        ...

    @property
    def one_split_rows(self) -> int | None:
        """From this many rows on, one split is as good for it as several, and quicker; None: as for all models."""
        ...

    def for_auto(self) -> Self:
        """Return the settings that ``auto`` tries: what the user gave, and what it may choose itself."""
        ...

    def seconds(self, size: Size) -> float:
        """Return about how many seconds of one processor one fit takes."""
        ...


@dataclass(frozen=True, kw_only=True)
class Linear:
    """Settings of softmax regression: one optimum, and logits that are linear in all features."""

    C: float | None = setting(
        None,
        "Inverse of the L2 penalty, as in scikit-learn: smaller values make smaller weights. Default: the best on"
        " held-out rows.",
        1e-9,
        1e9,
        search=("log", 1e-3, 1e3),
    )

    name: ClassVar[str] = "linear"
    reads: ClassVar[frozenset[str]] = frozenset({"numbers", "codes", "ngrams"})
    # The focal loss has no one optimum for it to be fitted to.
    takes: ClassVar[frozenset[Ask]] = frozenset({"class-weight", "log-prior", "shares"})
    most_columns: ClassVar[int | None] = None
    one_split_rows: ClassVar[int | None] = None
    costs: ClassVar[tuple[float, ...]] = (1.0e-2, 3.6e-7, 1.5e-9, 2.8e-5, 1.9e-7, 7.5e-9, 5.5e-9)

    def __post_init__(self) -> None:
        check_settings(self)

    def for_auto(self) -> Self:
        """Return the settings as they are."""
        return self

    def work(self, size: Size) -> tuple[float, ...]:
        """Return how often each of `costs` is paid: three without n-grams, the others with them.

        With n-grams these are rows and n-grams for the counting, and n-grams, also times classes, for the solver.
        """
        # A search of the penalty takes about as long as this number of solutions, because each starts where another
        # ends.
        solutions = 4 if self.C is None else 1
        if size.ngrams:
            return 0, 0, 0, size.rows, size.ngrams, solutions * size.ngrams, solutions * size.ngrams * size.classes
        cells = solutions * size.rows * size.classes
        return solutions, cells, cells * size.features, 0, 0, 0, 0

    def seconds(self, size: Size) -> float:
        """Return about how many seconds of one processor one fit takes."""
        return total_seconds(self.costs, self.work(size))


@dataclass(frozen=True, kw_only=True)
class Boosting:
    """Settings of boosted trees. Source: Ke et al. 2017, "LightGBM"."""

    learning_rate: float = setting(
        0.08,
        "Step size of each round. Smaller steps take longer and are often a little better.",
        1e-6,
        1.0,
        search=("log", 0.01, 0.3),
    )
    max_rounds: int = setting(
        2000, "Largest number of rounds; training ends earlier once held-out rows no longer gain.", 1, 1_000_000
    )
    max_leaves: int = setting(
        31,
        "Largest number of leaves of a tree; more leaves fit finer patterns and need more rows.",
        2,
        100_000,
        search=("log", 4, 256),
    )

    name: ClassVar[str] = "boosting"
    reads: ClassVar[frozenset[str]] = frozenset({"numbers", "codes"})
    takes: ClassVar[frozenset[Ask]] = frozenset({"class-weight", "log-prior", "focal", "shares"})
    most_columns: ClassVar[int | None] = None
    one_split_rows: ClassVar[int | None] = None
    costs: ClassVar[tuple[float, ...]] = (3.0e-5, 2.3e-7, 1.1e-7, 6.9e-9)

    def __post_init__(self) -> None:
        check_settings(self)

    def for_auto(self) -> Self:
        """Return the settings as they are."""
        return self

    def work(self, size: Size) -> tuple[float, ...]:
        """Return how often each of `costs` is paid: trees, and for each of them rows, histograms and cells."""
        # Held-out rows gain no more after about 10 / learning rate rounds.
        trees = min(10 / self.learning_rate, self.max_rounds) * size.classes
        histograms = trees * self.max_leaves * size.features
        return trees, trees * size.rows, histograms, trees * size.rows * size.features

    def seconds(self, size: Size) -> float:
        """Return about how many seconds of one processor one fit takes."""
        return total_seconds(self.costs, self.work(size))


@dataclass(frozen=True, kw_only=True)
class Network:
    """Settings of a network for tables: numbers and categories embedded, then a few perceptrons side by side.

    Sources: Gorishniy et al. 2025, "TabM"; Holzmüller et al. 2024, "Better by Default".
    """

    learning_rate: float | None = setting(
        None, "Largest step size of AdamW during training. Default: 0.01.", 1e-6, 1.0, search=("log", 1e-3, 3e-2)
    )
    find_lr: bool = setting(
        False,
        "First search for a good learning rate: a short training raises it until the loss rises too. Model auto does"
        " this unless a learning rate is given.",
    )
    max_epochs: int | None = setting(
        None, "Largest number of passes over the rows. Default: 10 to 60, fewer for more rows.", 1, 1_000_000
    )
    batch_size: int | None = setting(
        None,
        "Number of rows in a step. Default: a 20th of the rows, but 32 to 256; from 25,000 rows on, 512.",
        1,
        1_000_000,
    )
    dropout: float = setting(
        0.0,
        "Share of the hidden units that each step leaves out, against overfitting.",
        0.0,
        0.9,
        search=("linear", 0.0, 0.5),
    )
    weight_decay: float = setting(
        0.2,
        "How strongly each step pulls the weights to zero, against overfitting; it is multiplied by the learning rate.",
        0.0,
        10.0,
        search=("log", 0.01, 1.0),
    )
    mixup: float = setting(
        0.0,
        "How strongly training mixes pairs of rows and their labels, against overfitting: the alpha of a Beta"
        " distribution. 0.1 to 0.4 is usual; 0 mixes nothing.",
        0.0,
        100.0,
    )
    stop_by: Literal["refinement", "log-loss", "accuracy"] = setting(
        "refinement",
        "What chooses the best epoch on held-out rows; refinement is the log-loss at the best temperature.",
    )

    name: ClassVar[str] = "network"
    reads: ClassVar[frozenset[str]] = frozenset({"numbers", "codes"})
    takes: ClassVar[frozenset[Ask]] = frozenset({"class-weight", "log-prior", "focal", "shares"})
    # In wider tables its first layer would take minutes.
    most_columns: ClassVar[int | None] = 500
    # It takes longer than the other models, and its heads are an average already.
    one_split_rows: ClassVar[int | None] = 10_000
    costs: ClassVar[tuple[float, ...]] = (1.9e-1, 4.0e-4, 4.8e-7, 3.6e-10)

    def __post_init__(self) -> None:
        check_settings(self)
        if self.find_lr and self.learning_rate is not None:
            raise SettingError(
                "A learning rate is either given or searched.",
                f"learning_rate is {self.learning_rate}, and find_lr is True.",
                "Leave one of them out.",
            )

    def for_auto(self) -> Self:
        """Return the settings with a search of the learning rate, unless one is given."""
        return self if self.learning_rate is not None else dataclasses.replace(self, find_lr=True)

    def work(self, size: Size) -> tuple[float, ...]:
        """Return how often each of `costs` is paid: once, steps, and embeddings and hidden weights of the rows seen."""
        effort = choose_effort(size.rows)
        seen = (self.max_epochs or choose_epochs(size.rows)) * size.rows
        steps = seen / (self.batch_size or choose_batch_size(size.rows))
        return 1, steps, seen * size.features, seen * effort.heads * effort.width**2

    def seconds(self, size: Size) -> float:
        """Return about how many seconds of one processor one fit takes."""
        return total_seconds(self.costs, self.work(size))


def check_settings(settings: Any) -> None:
    """Check all fields of a settings class against their types and bounds; numbers of NumPy become Python's own.

    Raises
    ------
    SettingError
        If a value is of the wrong type, not among the choices or out of bounds.
    """
    hints = get_type_hints(type(settings))
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0:
            value = value.item()
            object.__setattr__(settings, field.name, value)
        _check(field, hints[field.name], value)


def _check(field: "dataclasses.Field[Any]", hint: Any, value: Any) -> None:
    if dataclasses.is_dataclass(hint):
        _check_nested(field.name, hint, value)
    elif get_origin(hint) is Literal:
        if not isinstance(value, str) or value not in get_args(hint):
            choices = ", ".join(get_args(hint))
            raise SettingError(f"{field.name} is one of {choices}.", f"It is {value!r}.", "Choose one of these.")
    elif value is None and type(None) in get_args(hint):
        pass
    elif any(get_origin(arg) is dict for arg in get_args(hint)):
        if not isinstance(value, Mapping):
            example = "Write it like this: {'rare': 5.0, 'common': 1.0}."
            raise SettingError(f"{field.name} maps each class to a number.", f"It is {value!r}.", example)
    elif hint is bool:
        if not isinstance(value, bool):
            raise SettingError(f"{field.name} is True or False.", f"It is {value!r}.", f"Default: {field.default}.")
    elif hint is not str:
        _check_number(field, int in (get_args(hint) or (hint,)), value)


def _check_nested(name: str, expected: Any, value: Any) -> None:
    if not isinstance(value, expected):
        raise SettingError(
            f"{name} holds the settings of that model.",
            f"It is {value!r}.",
            f"Give it like this: {name}={expected.__name__}(…).",
        )


def _check_number(field: "dataclasses.Field[Any]", whole: bool, value: Any) -> None:
    low, high = field.metadata["low"], field.metadata["high"]
    # bool counts as int in Python; a setting of True is a mistake.
    right_type = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
    if not right_type or not low <= value <= high:
        kind = "a whole number" if whole else "a number"
        fix = "Leave it out to have it chosen." if field.default is None else f"Default: {field.default}."
        raise SettingError(f"{field.name} is {kind} from {low:g} to {high:g}.", f"It is {value!r}.", fix)
