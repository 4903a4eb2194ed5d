"""Makes the content of the report from the results of a run."""

import itertools
import shlex
from pathlib import Path

from crossent.calibration.scaling import Attempt
from crossent.data.dataset import Dataset
from crossent.explain.judgement import Judgement
from crossent.explain.ngrams import Evidence
from crossent.fitting.cross_fit import Trial
from crossent.fitting.fit import FitResult
from crossent.fitting.recipe import Recipe, flat_values
from crossent.kinds.catalogue import kind_of
from crossent.kinds.column import Column
from crossent.monitoring.diagnose import diagnosis_words
from crossent.monitoring.records import EpochRecord
from crossent.predictor import versions
from crossent.report import content

MOST_NGRAMS_SHOWN = 10


def report_content(
    folder: Path,
    history: tuple[EpochRecord, ...],
    dataset: Dataset,
    recipe: Recipe,
    result: FitResult,
    judgement: Judgement,
    created: str,
    evidence: tuple[Evidence, ...],
) -> content.ReportContent:
    """Return what the report says of a run.

    Parameters
    ----------
    folder
        Of the run.
    history
        Its records of epochs.
    dataset
        All labelled rows.
    recipe
        All settings of the training.
    result
        The result of training.
    judgement
        Its results on the held-out rows.
    created
        When the run began.
    evidence
        The n-grams that speak for each class.
    """
    counts = zip(dataset.classes, dataset.class_counts, strict=True)
    chosen = result.trials[result.chosen]
    settings = {name: str(value) for name, value in flat_values(recipe).items()}
    stopped = ("Training was ended early by the user.",) if result.stopped else ()
    return content.ReportContent(
        title=f"{dataset.target_name} from {Path(dataset.source).name}",
        source=Path(dataset.source).name,
        target=dataset.target_name,
        created=created[:16].replace("T", " "),
        training_rows=len(dataset) - judgement.evaluation.rows,
        class_counts=tuple((str(label), int(count)) for label, count in counts),
        columns=tuple(_column_summary(column, len(dataset)) for column in dataset.columns),
        notes=(*dataset.notes, *stopped),
        evaluation=judgement.evaluation,
        history=history,
        trials=tuple(_trial_summary(trial, trial is chosen) for trial in result.trials),
        calibration=_calibration_summary(chosen),
        worst_rows=judgement.worst_rows,
        ngrams=class_ngrams(evidence),
        settings=tuple(settings.items()),
        environment=tuple(versions().items()),
        commands=next_commands(folder),
        before_after=judgement.before_after,
        sets=judgement.sets,
        risk_coverage=judgement.risk_coverage,
        remedy=judgement.remedy,
        diagnosis=diagnosis_words(history, chosen.model),
        learning_rate=result.learning_rate,
    )


def class_ngrams(evidence: tuple[Evidence, ...]) -> tuple[content.ClassNgrams, ...]:
    """Return the n-grams of each class, with a dot where a piece begins or ends a word; not those of its parts."""
    classes = []
    for label, of_label in itertools.groupby(evidence, key=lambda item: item.label):
        words: list[str] = []
        pieces: list[str] = []
        for item in of_label:
            name = item.ngram.replace(" ", "·") if item.is_piece else item.ngram
            shown = pieces if item.is_piece else words
            # "·oil·", "oil·" and "oil" say the same; only the strongest of them is shown.
            if len(shown) < MOST_NGRAMS_SHOWN and not any(name in other or other in name for other in pieces):
                shown.append(name)
        classes.append(content.ClassNgrams(str(label), tuple(words), tuple(pieces)))
    return tuple(classes)


def next_commands(folder: Path) -> tuple[str, ...]:
    """Return the commands that a reader is likely to need next."""
    name = shlex.quote(str(folder))
    return (f"crossent predict {name} new.csv -o predictions.csv", f"crossent evaluate {name} labelled.csv")


def _column_summary(column: Column, rows: int) -> content.ColumnSummary:
    return content.ColumnSummary(
        name=column.name,
        kind=column.kind,
        missing=column.missing / rows,
        distinct=column.distinct,
        examples=column.examples,
        used=kind_of(column).used,
        note=column.note,
    )


def _trial_summary(trial: Trial, chosen: bool) -> content.Trial:
    folds = "one split" if trial.folds == 1 else f"{trial.folds} folds"
    averaged = folds if trial.folds == 1 else f"average of {trial.folds} models, one for each fold"
    models = f"{folds}, then fitted to all rows" if trial.refitted else averaged
    return content.Trial(
        model=trial.model,
        log_loss=trial.log_loss,
        calibrated_log_loss=trial.calibrated_log_loss,
        seconds=trial.seconds,
        chosen=chosen,
        note=f"lowest held-out log-loss; {models}" if chosen else models,
    )


def _calibration_summary(trial: Trial) -> content.CalibrationSummary:
    calibration = trial.calibration
    return content.CalibrationSummary(
        method=calibration.method,
        temperature=calibration.temperature,
        log_loss_before=calibration.log_loss_before,
        log_loss_after=calibration.log_loss_after,
        kept=calibration.method != "identity",
        note=calibration.note,
        attempts=tuple(_attempt_summary(attempt) for attempt in calibration.attempts),
    )


def _attempt_summary(attempt: Attempt) -> content.CalibrationAttempt:
    penalty = f", penalties times {attempt.strength:g}" if attempt.strength not in {0, 1} else ""
    name = "none" if attempt.method == "identity" else f"{attempt.method} scaling{penalty}"
    return content.CalibrationAttempt(name, attempt.log_loss, attempt.kept)
