"""The list of all models. Code outside of this folder neither names a model nor asks which one it has."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Union

from crossent.errors import SettingError
from crossent.models import boosting, linear, network
from crossent.models.boosting import FittedBoosting
from crossent.models.linear import FittedLinear
from crossent.models.model import FittedModel, Task
from crossent.models.network import FittedNetwork, follow_fits
from crossent.models.settings import Boosting, Linear, Network, Settings
from crossent.train.learning_rate import LearningRateCurve

__all__ = ["AnyFitted", "Model", "fit", "follow_fits", "model_of", "settings_for_all_rows"]


def _as_they_are(settings: Any, _make_task: Callable[[], Task]) -> tuple[Any, None]:
    return settings, None


def _first_of_folds(settings: Any, _fits: tuple[Any, ...]) -> Any:
    return settings


def _nothing_to_say(_settings: Any, _processes: int) -> None:
    return None


@dataclass(frozen=True)
class Model:
    """A model: its settings, what a fit gives, and how it is fitted.

    Attributes
    ----------
    settings
        The class of its settings, as in `crossent.models.settings`.
    fitted
        The frozen class of fitted models, as in `FittedModel`; its type hints say what a saved file may hold.
    fit
        A function from settings and a task to a fitted model.
    prepare
        Called once before the fits, with a function that makes a task of the training rows of the first fold: returns
        the settings that all folds are fitted with, and the curve of a search of the learning rate where there was one.
    settings_for_all_rows
        A function from the settings and the choices of the folds to the settings of a fit to all rows, without held-out
        rows.
    note_on_processes
        A function from the settings and the number of processes to a sentence for people, if not all take part.
    """

    settings: type[Any]
    fitted: type[Any]
    fit: Callable[[Any, Task], FittedModel]
    prepare: Callable[[Any, Callable[[], Task]], tuple[Any, LearningRateCurve | None]] = _as_they_are
    settings_for_all_rows: Callable[[Any, tuple[Any, ...]], Any] = _first_of_folds
    note_on_processes: Callable[[Any, int], str | None] = _nothing_to_say


MODELS: tuple[Model, ...] = (
    Model(Linear, FittedLinear, linear.fit, settings_for_all_rows=linear.settings_for_all_rows),
    Model(Boosting, FittedBoosting, boosting.fit, settings_for_all_rows=boosting.settings_for_all_rows),
    Model(
        Network, FittedNetwork, network.fit, network.search_learning_rate, note_on_processes=network.note_on_processes
    ),
)

if TYPE_CHECKING:
    AnyFitted = FittedModel
else:
    # The fitted models that a saved file may hold; the loader reads this type hint.
    AnyFitted = Union[tuple(model.fitted for model in MODELS)]  # noqa: UP007 - made of the list


def model_of(settings: Settings) -> Model:
    """Return the model that settings are of."""
    return next(model for model in MODELS if type(settings) is model.settings)


def fit(settings: Settings, task: Task) -> FittedModel:
    """Fit a model.

    Raises
    ------
    SettingError
        If the objective asks for something that the model does not support.
    """
    check_takes(settings, task.objective.asks(task.train.distribution))
    return model_of(settings).fit(settings, task)


_WORDS = {
    "class-weight": "weights of classes",
    "log-prior": "logit adjustment",
    "focal": "the focal loss",
    "shares": "targets that are shares of the classes",
}


def check_takes(settings: Settings, asked: frozenset[str]) -> None:
    """Check that a model supports what a loss asks of it.

    Raises
    ------
    SettingError
        If it cannot.

    Examples
    --------
    >>> check_takes(Linear(), frozenset({"focal"}))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    crossent.errors.SettingError: Model linear does not take the focal loss. It takes ...
    """
    if lacking := sorted(asked - settings.takes):
        raise SettingError(
            f"Model {settings.name} does not take {_WORDS[lacking[0]]}.",
            f"It takes {', '.join(words for name, words in _WORDS.items() if name in settings.takes)}.",
            "Choose another model, or another remedy of imbalance: logit-adjust suits all.",
        )


def settings_for_all_rows(settings: Settings, fits: tuple[FittedModel, ...]) -> Settings:
    """Return the settings of a fit to all rows, from what the fits of folds chose."""
    chosen: Settings = model_of(settings).settings_for_all_rows(settings, fits)
    return chosen
