"""Flags that several commands share; nothing heavy is imported here, so that ``--help`` answers at once."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Group, Parameter, default_name_transform

from crossent.fitting.recipe import Recipe

_ENCODING = "Encoding of the text file, such as utf-8, latin-1 or cp1252."
_RECIPE = Group("Recipe", help="Also keys of the file that --config names.", sort_key=2)
ROWS = Group("Rows", sort_key=1)
PREDICTION = Group("Prediction", sort_key=1)


@dataclass(frozen=True, kw_only=True)
class RowFlags:
    """Flags that say what the rows of a file mean, and which of them the model is evaluated on."""

    target: Annotated[str | None, Parameter(help="Column that holds the class to predict.")] = None
    groups: Annotated[
        str | None,
        Parameter(
            help="Column that names a group, such as a customer: rows of one group are never split between training and"
            " held-out rows. A row without a value is a group by itself."
        ),
    ] = None
    time: Annotated[
        str | None,
        Parameter(
            help="Column of dates or numbers, for data that change with time: the latest rows are held out; with"
            " --groups, the groups that end latest."
        ),
    ] = None
    weight: Annotated[
        str | None,
        Parameter(
            help="Column of numbers that says how many rows each row counts as, such as the weights of a survey. A row"
            " with weight 2 is the same as two such rows; a row with weight 0 is left out."
        ),
    ] = None
    kind: Annotated[
        dict[str, str] | None,
        Parameter(
            help="Kind of a column whose inferred kind is wrong: --kind zip=category. Can be given several times."
            " Kinds: number, category, boolean, date, text, identifier, constant."
        ),
    ] = None
    held_out: Annotated[
        float, Parameter(help="Share of the rows that training never sees; the model is evaluated on them.")
    ] = 0.25
    encoding: Annotated[str, Parameter(help=_ENCODING)] = "utf-8"


@dataclass(frozen=True, kw_only=True)
class PredictionFlags:
    """Flags that say what to predict."""

    prior: Annotated[
        str | None,
        Parameter(
            help="Shares of the classes in the new rows, where they differ from those in training: uniform, estimate"
            " (from the new rows themselves), LABEL=SHARE,LABEL=SHARE,…, or JSON: '{\"LABEL\": SHARE, …}'."
        ),
    ] = None
    costs: Annotated[
        Path | None,
        Parameter(
            help="CSV file with the cost of each error: a line for each true class, which begins with its label, and a"
            " column for each predicted class. The class with the lowest expected cost is predicted."
        ),
    ] = None
    scoring: Annotated[
        str | None,
        Parameter(
            help="Scorer of scikit-learn, such as f1_macro: the thresholds of the classes are tuned so that predictions"
            " score best on held-out rows."
        ),
    ] = None
    coverage: Annotated[
        float | None,
        Parameter(
            help="Add a column with a set of classes for each row; the sets contain the true class in this share of the"
            " rows, such as 0.9."
        ),
    ] = None
    method: Annotated[
        Literal["lac", "aps", "raps"],
        Parameter(
            help="How --coverage chooses the sets: lac (the smallest sets on average), aps or raps (larger sets for"
            " rows that are hard to tell)."
        ),
    ] = "lac"
    by: Annotated[
        Literal["overall", "class", "cluster"],
        Parameter(
            help="What --coverage holds for: all rows together (overall), the rows of each class, or the rows of each"
            " cluster of similar classes, where single classes have too few rows."
        ),
    ] = "overall"
    risk: Annotated[
        float | None,
        Parameter(
            help="Add a column that says which rows to give to a person, because the model is unsure, so that at most"
            " this share of the other rows is predicted wrong."
        ),
    ] = None
    top: Annotated[
        int | None,
        Parameter(
            help="Write this many of the most probable classes of each row, in place of a column for every class;"
            " useful with many classes."
        ),
    ] = None


Json = Annotated[bool, Parameter(help="Print one JSON object in place of text, for programs.", negative="")]


def flag_name(name: str) -> str:
    """Return the flag of a setting, which is also its key in TOML: ``max_rounds`` is ``max-rounds``, and C stays C."""
    return name if name == "C" else default_name_transform(name)


RecipeFlags = Annotated[Recipe, Parameter(name="*", group=_RECIPE, name_transform=flag_name)]
Model = Annotated[Path, Parameter(help="A run folder (runs/NAME) or a saved model.")]
Run = Annotated[Path, Parameter(help="A run folder (runs/NAME), or the folder of a ce.Monitor.")]
Encoding = Annotated[str, Parameter(help=_ENCODING)]
Logits = Annotated[
    Path, Parameter(help="Raw scores with a row for each case and a column for each class: .npy, CSV or Parquet.")
]
CalibrationMethod = Literal["auto", "identity", "temperature", "vector", "matrix"]
Header = Annotated[
    Literal["auto", "yes", "no"],
    Parameter(
        help="Whether the first line of CSV files holds names of columns; auto decides by the content of the line, and"
        " prints what it decided."
    ),
]
