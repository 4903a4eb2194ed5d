import io
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.live import Live
from rich.table import Table
from rich.text import Text

import crossent.cli
from crossent.cli.app import print_error
from crossent.cli.terminal import Console, visible
from crossent.errors import DataError

HOSTILE = [
    "\x1b[2J",
    "\x1b]0;title\x07",
    "\x9b31m",
    "\u202egnp.exe",
    "\u2066",
    "\r overwritten",
    "\x08\x08",
    "\x7f",
    "\x00",
]
COMMANDS = {chr(code) for code in [*range(32), *range(127, 160), *range(0x202A, 0x202F), *range(0x2066, 0x206A)]} - set(
    "\n\t"
)


@given(st.text())
def test_no_text_commands_a_terminal(text: str) -> None:
    shown = visible(text)
    assert not COMMANDS & set(shown)
    assert visible(shown) == shown
    shown.encode()


def test_usual_text_is_as_it_was() -> None:
    text = "Größe, 大小, عربي, עברית, 👩‍👩‍👧, e\u0301, a\tb\nc"
    assert visible(text) == text
    assert visible("\x1b\u202e\udcff") == r"\x1b\u202e\udcff"


@pytest.mark.parametrize("hostile", HOSTILE, ids=ascii)
def test_whatever_is_printed_is_made_visible(hostile: str) -> None:
    out = io.StringIO()
    console = Console(file=out, width=200, force_terminal=True, color_system=None)
    table = Table(box=None)
    table.add_column(hostile)
    table.add_row(Text(hostile))
    console.print(table)
    console.print(f"Note: {hostile}", markup=False, highlight=False)
    console.print(Text(hostile), style="bold")
    with Live(console=console, auto_refresh=False) as live:
        live.update(Text(hostile), refresh=True)
        printed = out.getvalue()
    for command in set(hostile) & COMMANDS - {"\r", "\x1b"}:
        assert command not in printed
    # Escapes of rich itself, which move the cursor and hide it, are still there.
    assert hostile not in printed
    assert "\x1b[?25l" in printed
    # Some of them rich leaves out.
    assert hostile.strip("\x07\x08\r") == "" or visible(hostile.strip("\x07\x08\r"))[:4] in printed


def test_errors_are_made_visible(capsys: pytest.CaptureFixture[str]) -> None:
    print_error(DataError("A rule.", f"File \x1b[31m{HOSTILE[1]}.csv", "A fix \u202e."))
    said = capsys.readouterr().err
    assert r"\x1b[31m" in said
    assert not COMMANDS & set(said)


def test_all_commands_print_through_this_console() -> None:
    for path in Path(crossent.cli.__path__[0]).glob("*.py"):
        text = path.read_text()
        assert "rich.console import Console\n" not in text, path
        assert "\n    print(" not in text, path


@pytest.mark.slow
def test_hostile_names_from_flags_to_predictions(tmp_path: Path) -> None:
    """A process with a terminal of its own: what is on the screen, byte by byte."""
    name, label = "na\x1b]0;x\x07me", "la\u202ebel\x9b"
    rows = [f"{i % 5},{'pq'[i % 2]},{['a', label][i % 2]}" for i in range(60)]
    (tmp_path / "t.csv").write_text("\n".join([f"{name},z,y", *rows]) + "\n")
    code = """
import os, pty, sys
os.environ["TERM"] = "dumb"
commands = [
    ["train", "t.csv", "--target", "y", "--model", "linear", "--folds", "2"],
    ["predict", "runs/t", "t.csv"],
    ["evaluate", "runs/t", "t.csv"],
    ["train", "t.csv", "--target", "n\\x1b[31mo"],
    ["train", "\\x1b[31mno.csv", "--target", "y"],
    ["nothing\\x1b[31m"],
]
for command in commands:
    pty.spawn([sys.executable, "-m", "crossent", *command])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, check=True
    )
    screen = done.stdout.decode()
    for command in ("\x07", "\x9b", "\u202e", "\x1b[31m", "\x1b]0;"):
        assert command not in screen
    assert r"na\x1b]0;x\x07me" in screen
    assert r"la\u202ebel\x9b" in screen
    assert r"\x1b[31mno.csv" in screen
    assert "Traceback" not in screen
