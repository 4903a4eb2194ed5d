"""What ``crossent calibrate`` and ``crossent apply-calibration`` do: logits from files, and probabilities to files."""

import dataclasses
import io
import json
import sys
from pathlib import Path

import numpy as np
from rich.table import Table

from crossent.calibration.calibrate import calibrate as calibrate_logits
from crossent.calibration.choose import Choice
from crossent.calibration.scaling import Calibration
from crossent.cli.flags import Header
from crossent.cli.number_files import NumberFile, agreed, open_numbers
from crossent.cli.terminal import Console
from crossent.disk import SCREEN, naming, write_file
from crossent.errors import DataError
from crossent.predictor import versions
from crossent.storage import load_folder, save_folder


def calibrate(logits: Path, labels: Path, output: Path, method: Choice, header: Header, *, as_json: bool) -> None:
    """Learn a calibration, save it, and say what it changes."""
    files = agreed(open_numbers(logits, header), open_numbers(labels, header))
    _show_guesses(*files)
    scores, target = (file.values() for file in files)
    if target.ndim == 2 and target.shape[1] == 1:
        target = target[:, 0]
    calibration = calibrate_logits(scores, target, method)
    save_folder(output, calibration, versions())
    if as_json:
        sys.stdout.write(json.dumps(_record(calibration)) + "\n")
        return
    console = Console()
    console.print(f"{scores.shape[0]:,} rows of {scores.shape[1]:,} classes", highlight=False)
    console.print(_table(calibration))
    for line in (_sentence(calibration), f"Saved to {output}", f"Next: crossent apply-calibration {output} new.npy"):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def apply_calibration(calibration: Path, logits: Path, output: Path | None, header: Header) -> None:
    """Write the calibrated probabilities of logits."""
    if output is not None and output.suffix.lower() not in {".npy", ".csv"}:
        raise DataError("Probabilities are written as .npy or .csv.", f"{output} ends in neither.", "Rename it.")
    if output is not None and not output.parent.is_dir():
        raise DataError("The output folder must exist.", f"There is no folder {output.parent}.", "Make it first.")
    learned = load_folder(calibration, Calibration)
    file = open_numbers(logits, header)
    _show_guesses(file)
    probs = learned.probs(file.values())
    if output is None:
        with naming(SCREEN):
            np.savetxt(sys.stdout, probs, fmt="%.9g", delimiter=",")
        return
    data = io.BytesIO()
    if output.suffix.lower() == ".npy":
        np.save(data, probs)
    else:
        np.savetxt(data, probs, fmt="%.9g", delimiter=",")
    write_file(output, data.getvalue())
    Console(stderr=True).print(f"{len(probs):,} rows: {output}", markup=False, highlight=False)


def _show_guesses(*files: NumberFile) -> None:
    # Notes go to standard error, because standard output may hold the probabilities or JSON.
    console = Console(stderr=True)
    for note in filter(None, (file.note() for file in files)):
        console.print(f"Note: {note}.", markup=False, highlight=False, soft_wrap=True)


def _table(calibration: Calibration) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("calibrator", "penalty", "log-loss", ""):
        table.add_column(heading, justify="right" if heading in {"penalty", "log-loss"} else "left")
    for attempt in calibration.attempts:
        penalty = f"x {attempt.strength:g}" if attempt.strength else ""
        table.add_row(attempt.method, penalty, f"{attempt.log_loss:.4f}", "kept" if attempt.kept else "")
    return table


def _sentence(calibration: Calibration) -> str:
    if calibration.method == "identity":
        return f"The logits stay as they are, with a log-loss of {calibration.log_loss_before:.4f}: {calibration.note}."
    before, after = calibration.log_loss_before, calibration.log_loss_after
    return f"Log-loss {before:.4f} before, {after:.4f} after, on rows that were not fitted to: {calibration.note}."


def _record(calibration: Calibration) -> dict[str, object]:
    return {
        "method": calibration.method,
        "temperature": calibration.temperature,
        "log_loss_before": calibration.log_loss_before,
        "log_loss_after": calibration.log_loss_after,
        "note": calibration.note,
        "attempts": [dataclasses.asdict(attempt) for attempt in calibration.attempts],
    }
