import io
import os
import signal
import time
from typing import Any

import pytest
from rich.console import Console

from crossent.cli.progress import Progress
from crossent.monitoring.records import EpochRecord


def record(fold: int, epoch: int, valid_loss: float) -> EpochRecord:
    return EpochRecord("boosting", fold, 2, epoch, 100, 0.5, valid_loss)


def test_plain_lines_off_a_terminal_one_a_fold() -> None:
    out = io.StringIO()
    with Progress(Console(file=out)) as progress:
        for fold in (1, 2):
            for epoch in range(1, 50):
                assert progress(record(fold, epoch, 1 / epoch)) is False
    lines = out.getvalue().splitlines()
    assert [line.split(",")[1].strip() for line in lines] == ["fold 1 of 2", "fold 2 of 2"]


def test_live_line_on_a_terminal_shows_the_best_and_is_cleared() -> None:
    out = io.StringIO()
    with Progress(Console(file=out, force_terminal=True, width=160)) as progress:
        progress(record(1, 1, 0.9))
        progress(record(1, 2, 0.4))
        time.sleep(0.15)
        progress(record(1, 3, 0.6))
        progress._live.refresh()  # type: ignore[union-attr]  # the screen, without waiting for its clock
        assert "held out 0.6000 █▁▄, best 0.4000 in epoch 2" in out.getvalue()
    assert out.getvalue().endswith("\x1b[2K")


def test_on_a_narrow_terminal_nothing_is_cut_off() -> None:
    out = io.StringIO()
    with Progress(Console(file=out, force_terminal=True, width=60)) as progress:
        progress(record(1, 1, 0.9))
        time.sleep(0.15)
        progress(record(1, 2, 0.4))
        progress._live.refresh()  # type: ignore[union-attr]  # the screen, without waiting for its clock
    assert "in epoch 2" in " ".join(out.getvalue().split())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_first_signal_asks_to_interrupt_and_the_second_does(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    out = io.StringIO()
    with Progress(Console(file=out)) as progress:
        assert progress(record(1, 1, 0.9)) is False
        assert progress.signal is None
        os.kill(os.getpid(), number)
        assert progress(record(1, 2, 0.8)) is True
        assert progress.interrupted()
        assert progress.signal == number
        assert "Finishing the step" in out.getvalue()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before


def test_a_signal_within_a_line_is_answered_after_it() -> None:
    """A handler that printed at once would use what rich has only half imported or half written."""
    out = io.StringIO()

    class Interrupted(Console):
        def print(self, *objects: Any, **options: Any) -> None:
            super().print(*objects, **options)
            if "training" in str(objects[0]):
                signal.raise_signal(signal.SIGTERM)
                super().print("whole", **options)

    with Progress(Interrupted(file=out)) as progress:
        assert progress(EpochRecord("network", 1, 1, 1, 3, train_loss=1.0, valid_loss=1.25))
    lines = out.getvalue().splitlines()
    assert lines[0].startswith("training network")
    assert lines[1:] == ["whole", "Finishing the step, and saving. Ctrl-C again to stop at once."]
