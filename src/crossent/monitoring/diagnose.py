"""Diagnoses a training from its history: what is wrong, which figures show it, and what to do."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from crossent.monitoring.curves import CurveBuilder, Curves
from crossent.monitoring.finding import Finding
from crossent.monitoring.held_out_rules import confidence, few_rows, label_noise, overfitting, shift
from crossent.monitoring.records import EpochRecord
from crossent.monitoring.train_rules import (
    diverging,
    exploding_gradients,
    learning_rate_too_high,
    learning_rate_too_low,
    plateau,
    underfitting,
    vanishing_gradients,
)

Rule = Callable[[Curves], tuple[Finding, ...]]
# In each group only the first rule that finds something is reported; the others would name its consequences.
_GROUPS: tuple[tuple[Rule, ...], ...] = (
    (exploding_gradients, diverging),
    (vanishing_gradients, learning_rate_too_high, learning_rate_too_low, plateau),
    (shift, label_noise, overfitting, underfitting),
    (confidence,),
)
# After these findings the loss itself is wrong, and what the held-out rows show is a consequence.
_STOPPING = {"exploding gradients", "diverging", "vanishing gradients", "learning rate too high", "plateau"}


def diagnose(history: Iterable[EpochRecord]) -> tuple[Finding, ...]:
    """Say what is wrong with a training, and what to do.

    Parameters
    ----------
    history
        Records in the order of time, of one or several models and folds. The losses are enough; further values in the
        records show more.

    Returns
    -------
    tuple[Finding, ...]
        The most important first; empty if nothing is wrong. With several folds, a finding that at least half of them
        show is reported once.

    Examples
    --------
    >>> losses = [(1.0, 1.0), (0.6, 0.7), (0.4, 0.6), (0.3, 0.7), (0.2, 0.8), (0.1, 0.9), (0.1, 1.0)]
    >>> history = [EpochRecord("network", 1, 1, i + 1, 7, *pair) for i, pair in enumerate(losses)]
    >>> [finding.name for finding in diagnose(history)]
    ['overfitting']
    """
    return find(curves_of(history))


def curves_of(history: Iterable[EpochRecord]) -> dict[str, dict[int, Curves]]:
    """Return the curves of each fold of each model; records are read once, and not stored."""
    builders: dict[str, dict[int, CurveBuilder]] = {}
    for record in history:
        folds = builders.setdefault(record.model, {})
        if record.fold not in folds:
            folds[record.fold] = CurveBuilder()
        folds[record.fold].add(record)
    return {model: {fold: builder.curves() for fold, builder in folds.items()} for model, folds in builders.items()}


def find(trainings: Mapping[str, Mapping[int, Curves]]) -> tuple[Finding, ...]:
    """Say what is wrong with the trainings whose curves `curves_of` gave."""
    findings: list[Finding] = []
    # Losses may be as large as floating numbers can be.
    with np.errstate(all="ignore"):
        for model, folds in trainings.items():
            findings.extend(_merge([_of_one(run) for run in folds.values()], model if len(trainings) > 1 else ""))
    return tuple(findings)


def diagnosis_words(history: Sequence[EpochRecord], model: str) -> tuple[str, ...]:
    """Say in sentences what the history of a model shows, good or bad; nothing if it has no records.

    Examples
    --------
    >>> history = [EpochRecord("linear", 1, 1, epoch, 9, 1 / epoch, 1.1 / epoch) for epoch in (1, 2, 3)]
    >>> diagnosis_words(history, "linear")
    ('Training went as it should: nothing in its losses asks for a change.',)
    """
    records = [record for record in history if record.model == model]
    if not records:
        return ()
    sentences = tuple(str(finding) for finding in diagnose(records))
    return sentences or ("Training went as it should: nothing in its losses asks for a change.",)


def _of_one(run: Curves) -> tuple[Finding, ...]:
    few = few_rows(run)
    groups = _GROUPS[:2] if few else _GROUPS
    findings: list[Finding] = []
    for group in groups:
        findings.extend(next((said for said in (rule(run) for rule in group) if said), ()))
        # For a loss that diverges, the next group can still find the cause, which is the length of the steps.
        if any(finding.name in _STOPPING for finding in findings) and (
            group is not _GROUPS[0] or findings[0].name != "diverging"
        ):
            break
    return (*few, *findings)


def _merge(folds: list[tuple[Finding, ...]], model: str) -> list[Finding]:
    """Return the findings that at least half of the folds show, with the figures of the first such fold."""
    merged = []
    for name in dict.fromkeys(finding.name for findings in folds for finding in findings):
        showing = [finding for findings in folds for finding in findings if finding.name == name]
        if 2 * len(showing) < len(folds):
            continue
        where = ", ".join(
            part
            for part in (model, f"{len(showing)} of {len(folds)} folds; figures of the first" if len(folds) > 1 else "")
            if part
        )
        first = showing[0]
        merged.append(
            Finding(name, f"{where[:1].upper()}{where[1:]}: {first.seen}" if where else first.seen, first.remedy)
        )
    return merged
