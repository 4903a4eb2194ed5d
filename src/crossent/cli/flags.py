"""Flags that several commands share; nothing heavy is imported here, so that ``--help`` answers at once."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Group, Parameter, default_name_transform

from crossent.fitting.recipe import Recipe

_ENCODING = "Encoding of the text file: utf-8, latin-1, cp1252."
_RECIPE = Group("Recipe", help="Also keys of the file that --config names.", sort_key=2)
ROWS = Group("Rows", sort_key=1)
PREDICTION = Group("Prediction", sort_key=1)


@dataclass(frozen=True, kw_only=True)
class RowFlags:
    """Flags that say what the rows of a file mean, and which of them judge the model."""

    target: Annotated[str | None, Parameter(help="Column that holds the class to predict.")] = None
    groups: Annotated[
        str | None,
        Parameter(help="Column; rows with the same value are never split, a row without one is a group of its own."),
    ] = None
    time: Annotated[
        str | None,
        Parameter(
            help="Column of dates or numbers; the latest rows are held out, with --groups the groups that end latest."
        ),
    ] = None
    weight: Annotated[
        str | None,
        Parameter(
            help="Column of numbers: how many rows each row counts as, such as the weights of a survey. A row of"
            " weight 2 is the same as two such rows, one of weight 0 is left out."
        ),
    ] = None
    kind: Annotated[
        dict[str, str] | None,
        Parameter(
            help="Kind of a column where the inferred one is wrong, as often as there are: --kind zip=category. Kinds:"
            " number, category, boolean, date, text, identifier, constant."
        ),
    ] = None
    held_out: Annotated[float, Parameter(help="Share of the rows that are held out to judge the model.")] = 0.25
    encoding: Annotated[str, Parameter(help=_ENCODING)] = "utf-8"


@dataclass(frozen=True, kw_only=True)
class PredictionFlags:
    """Flags that say what is to be predicted."""

    prior: Annotated[
        str | None,
        Parameter(
            help="Class shares of the new rows where they differ from training: uniform, estimate (found from the rows"
            " themselves), LABEL=SHARE,LABEL=SHARE,…, or JSON: '{\"LABEL\": SHARE, …}'."
        ),
    ] = None
    costs: Annotated[
        Path | None,
        Parameter(
            help="CSV file of what each error costs: a line a true class, its label first, a column a predicted class;"
            " the cheapest class is predicted."
        ),
    ] = None
    scoring: Annotated[
        str | None,
        Parameter(
            help="Scorer of scikit-learn, such as f1_macro: predict by thresholds of the classes that are tuned for it."
        ),
    ] = None
    coverage: Annotated[
        float | None,
        Parameter(help="Add a column with the classes that a row may have, right in this share of the rows: 0.9."),
    ] = None
    method: Annotated[
        Literal["lac", "aps", "raps"],
        Parameter(help="How --coverage chooses these classes: lac (fewest), aps or raps (more for hard rows)."),
    ] = "lac"
    by: Annotated[
        Literal["overall", "class", "cluster"],
        Parameter(help="What --coverage is promised for: all rows, those of each class, or of clusters of classes."),
    ] = "overall"
    risk: Annotated[
        float | None,
        Parameter(
            help="Add a column that says which rows to hand to a person, so that at most this share of the others is"
            " predicted wrong."
        ),
    ] = None
    top: Annotated[
        int | None, Parameter(help="Give this many of the most probable classes in place of a column for each class.")
    ] = None


Json = Annotated[bool, Parameter(help="Print one JSON object, for machines.", negative="")]


def flag_name(name: str) -> str:
    """Return the flag of a setting, which is also its key in TOML: ``max_rounds`` is ``max-rounds``, and C stays C."""
    return name if name == "C" else default_name_transform(name)


RecipeFlags = Annotated[Recipe, Parameter(name="*", group=_RECIPE, name_transform=flag_name)]
Model = Annotated[Path, Parameter(help="A run folder (runs/NAME) or a saved model.")]
Run = Annotated[Path, Parameter(help="A run folder (runs/NAME), or that of a ce.Monitor.")]
Encoding = Annotated[str, Parameter(help=_ENCODING)]
Logits = Annotated[
    Path, Parameter(help="Raw scores, a row for each row and a column for each class: .npy, or CSV or Parquet.")
]
CalibrationMethod = Literal["auto", "identity", "temperature", "vector", "matrix"]
Header = Annotated[
    Literal["auto", "yes", "no"],
    Parameter(
        help="Whether the first line of CSV files names their columns; auto tells by what it holds, and says so."
    ),
]
