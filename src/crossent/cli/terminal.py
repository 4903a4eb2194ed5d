"""Safe printing to a terminal: names and values of the user's data must not control it."""

import re
from collections.abc import Iterator

import rich.console
from rich.console import ConsoleOptions, RenderableType
from rich.segment import Segment

# C0 except for tab and newline, DEL and C1, marks that change the direction of writing, line separators, and halves of
# characters, which stand for bytes of file names that are not text.
_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    r"""Return a text with its control characters as escapes, so that a terminal shows them and does nothing.

    Examples
    --------
    >>> print(visible("\x1b[2Jred\u202e"))
    \x1b[2Jred\u202e
    """
    return _UNSEEN.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


class Console(rich.console.Console):
    """The console that prints everything that the command line prints."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """Yield the segments of the output; only segments of rich itself may move the cursor."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=visible(segment.text))
