"""Records of epochs as TensorBoard scalars."""

import dataclasses
from pathlib import Path
from typing import final

from torch.utils.tensorboard import SummaryWriter

from crossent.train.monitor import EpochRecord

# What tells records apart, or stays the same in all of them.
_NOT_CURVES = {"model", "fold", "folds", "epoch", "epochs", "baseline_loss", "valid_rows"}
# Curves that belong into one picture share the part before the slash.
_TAGS = {
    "train_loss": "loss/train",
    "valid_loss": "loss/held out",
    "refinement": "loss/held out, best temperature",
    "train_accuracy": "accuracy/train",
    "valid_accuracy": "accuracy/held out",
    "temperature": "calibration/temperature",
    "calibration_error": "calibration/error",
}


@final
class TensorBoardWriter:
    """Writes what records hold as scalars, a folder a model and fold; ``tensorboard --logdir runs`` shows them.

    Parameters
    ----------
    folder
        Made where it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writers: dict[tuple[str, int], SummaryWriter] = {}

    def __enter__(self) -> "TensorBoardWriter":
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def write(self, record: EpochRecord) -> None:
        """Add a record; what it does not measure is left out."""
        writer = self._writer(record)
        for name, value in dataclasses.asdict(record).items():
            if name not in _NOT_CURVES and value is not None:
                writer.add_scalar(_TAGS.get(name, f"training/{name.replace('_', ' ')}"), value, record.epoch)

    def close(self) -> None:
        """Write what is left and close the files."""
        for writer in self._writers.values():
            writer.close()

    def _writer(self, record: EpochRecord) -> SummaryWriter:
        key = (record.model, record.fold)
        if key not in self._writers:
            fold = f"-fold-{record.fold}" if record.folds > 1 else ""
            self._writers[key] = SummaryWriter(str(self._folder / f"{record.model}{fold}"))
        return self._writers[key]
