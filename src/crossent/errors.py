"""The project's errors: each says the rule that was broken, the value met, and what to do."""


class CrossentError(ValueError):
    """Bad input.

    Parameters
    ----------
    rule
        What must hold.
    met
        The value that was met, and where: the column, the row, the file.
    fix
        What to do about it.

    Examples
    --------
    >>> print(CrossentError("A target needs two classes.", "Column 'y' holds only 'a'.", "Choose another column."))
    A target needs two classes. Column 'y' holds only 'a'. Choose another column.
    """

    def __init__(self, rule: str, met: str, fix: str) -> None:
        super().__init__(rule, met, fix)
        self.rule = rule
        self.met = met
        self.fix = fix

    def __str__(self) -> str:
        return " ".join(part for part in (self.rule, self.met, self.fix) if part)


class DataError(CrossentError):
    """A file, table, column or label that cannot be used."""


class SettingError(CrossentError):
    """A setting outside its bounds."""


class ShapeError(CrossentError):
    """An array or tensor of the wrong shape or dtype, or with values outside its range."""


class ModelFileError(CrossentError):
    """A saved model that is damaged, unknown or newer than this version."""


class DiskError(CrossentError):
    """A file that cannot be read or written: the disk is full or read-only, or access is denied."""


class CheckpointError(CrossentError):
    """The state of a training that is damaged, or that belongs to another training."""


class ProcessError(CrossentError):
    """A process that takes part in a training has ended early."""
