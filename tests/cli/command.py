"""The command line, called in the process of the test."""

import contextlib
import io
import sys
from dataclasses import dataclass
from pathlib import Path

from crossent.cli.app import main


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


def crossent(*arguments: str, cwd: Path) -> Done:
    """Run a command in this process, as the installed script would."""
    out, err = io.StringIO(), io.StringIO()
    old = sys.argv
    sys.argv = ["crossent", *arguments]
    try:
        with contextlib.chdir(cwd), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                main()
                code = 0
            except SystemExit as exit_:
                code = int(exit_.code or 0)
    finally:
        sys.argv = old
    return Done(code, out.getvalue(), err.getvalue())
