"""What `crossent predict` adds to the rows of a file."""

import collections
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from crossent.calibration.prior import Prior
from crossent.cli.flags import PredictionFlags
from crossent.cli.named_values import parse_shares
from crossent.data.read import read_table
from crossent.decide.decide import DecisionRule, Decisions
from crossent.errors import DataError, SettingError
from crossent.kinds.column import Label
from crossent.names import listed, shortened
from crossent.predictor import Predictor

# The column of the predicted class.
PREDICTED = "predicted"
_PRIOR_EXAMPLE = (
    "Give uniform, estimate, or a share for each class: --prior 'no=0.9,yes=0.1', or as JSON, which can name any label:"
    """ --prior '{"no": 0.9, "yes": 0.1}'."""
)


def decision_rule(flags: PredictionFlags, classes: tuple[Label, ...]) -> DecisionRule:
    """Return what the flags ask for.

    Raises
    ------
    CrossentError
        If a flag does not fit the classes or another flag.
    """
    return DecisionRule(
        prior=parse_prior(flags.prior, classes),
        costs=None if flags.costs is None else read_costs(flags.costs, classes),
        scoring=flags.scoring,
        top=flags.top,
        coverage=flags.coverage,
        method=flags.method,
        by=flags.by,
        risk=flags.risk,
    )


def columns_of(decisions: Decisions, index: pd.Index) -> pd.DataFrame:
    """Return the columns to add to the rows, which have this index."""
    classes, probs = decisions.classes, decisions.probs
    columns: dict[str, object] = {PREDICTED: decisions.labels}
    if decisions.sets is not None:
        names = np.array([str(label) for label in classes], dtype=object)
        columns["may_be"] = [" | ".join(names[members]) for members in decisions.sets]
    if decisions.abstains is not None:
        columns["hand_over"] = decisions.abstains
    if decisions.top is None:
        columns |= {f"prob_{label}": probs[:, i] for i, label in enumerate(classes)}
    else:
        for i, position in enumerate(decisions.top.T, start=1):
            columns[f"top_{i}"] = [classes[k] for k in position]
            columns[f"top_{i}_prob"] = probs[np.arange(len(probs)), position]
    return pd.DataFrame(columns, index=index)


def beside(predictor: Predictor, frame: pd.DataFrame, added: pd.DataFrame) -> pd.DataFrame:
    """Return rows with predictions beside them.

    Columns of earlier predictions are replaced, but never a column that the model reads or predicts: the new column
    then gets another name.
    """
    added = added.rename(columns={name: name_of_added(predictor, name) for name in added.columns})
    return pd.concat([frame.drop(columns=[name for name in added.columns if name in frame.columns]), added], axis=1)


def name_of_added(predictor: Predictor, name: str) -> str:
    """Return the name of a column that is added: with ``crossent_`` before it where the model knows such a column."""
    columns = {predictor.target_name, *(column.name for column in predictor.columns)}
    while name in columns:
        name = f"crossent_{name}"
    return name


def parse_prior(text: str | None, classes: tuple[Label, ...]) -> Prior | Literal["estimate"] | None:
    """Return the prior that the flag ``--prior`` asks for.

    Raises
    ------
    SettingError
        If it has none of the forms, or names an unknown class.

    Examples
    --------
    >>> parse_prior("1=0.25,2=0.75", (1, 2))
    {1: 0.25, 2: 0.75}
    """
    if text is None:
        return None
    if text == "uniform":
        return "uniform"
    if text == "estimate":
        return "estimate"
    labels = {str(label): label for label in classes}
    shares: dict[Label, float] = {}
    for written, share in parse_shares(text).items():
        name = written if written in labels else written.strip()
        if name not in labels:
            met = f"{shortened(written or share)} names no class; they are {listed(list(labels))}."
            raise SettingError("A prior gives a share to each class.", met, _PRIOR_EXAMPLE)
        try:
            shares[labels[name]] = float(share)
        except ValueError:
            met = f"The share of {shortened(name)} is {shortened(share)}."
            raise SettingError("A share is a number.", met, _PRIOR_EXAMPLE) from None
    return shares


def read_costs(path: Path, classes: tuple[Label, ...]) -> npt.NDArray[np.float64]:
    """Return the ``(K, K)`` costs of a CSV file, true classes by rows and predicted ones by columns, in their order.

    Raises
    ------
    DataError
        If the file lacks a class, or holds something other than numbers.
    """
    table = read_table(path)
    names = [str(label) for label in classes]
    table = table.set_axis(table.iloc[:, 0].astype(str)).iloc[:, 1:] if table.shape[1] else table
    for where, present in (("line", table.index), ("column", table.columns)):
        counts = collections.Counter(present)
        missing = [name for name in names if counts[name] != 1]
        if missing:
            raise DataError(
                "A file of costs has one line and one column for each class.",
                f"{path} has no {where}, or more than one, for {shortened(missing[0])}; it has {listed(present)}.",
                "Name the true class first in each line, and the predicted classes in the first line.",
            )
    try:
        return table.loc[names, names].to_numpy(np.float64)
    except ValueError as error:
        raise DataError("Costs are numbers.", f"{path}: {error}.", "Write 0 on the diagonal.") from error
