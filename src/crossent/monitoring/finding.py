"""A finding about logits or about a training: what was seen, with its figures, and what to do."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """A fault that was found.

    Attributes
    ----------
    name
        Its name, such as ``"overfitting"``.
    seen
        What was seen, with figures.
    remedy
        What to do.

    Examples
    --------
    >>> print(Finding("overfitting", "Held-out loss rises from epoch 3 on.", "Stop there."))
    Overfitting. Held-out loss rises from epoch 3 on. Stop there.
    """

    name: str
    seen: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.name.capitalize()}. {self.seen} {self.remedy}"
