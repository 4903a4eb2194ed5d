"""Cases that may kill the process that runs them: each runs in a child, which is replaced when it dies or hangs.

A campaign is a script with a function from a seed to a word for its outcome, such as "answered" or the name of an
error. The script calls `main` with this function; the child is the script itself, called again with ``--child``.
"""

import argparse
import collections
import dataclasses
import json
import os
import resource
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

SECONDS_TO_START = 120.0


@dataclass(frozen=True)
class Outcome:
    """The outcome of a case.

    Attributes
    ----------
    seed
        Of the case: the same seed gives the same case.
    word
        What `case` returned, the name of the exception that it raised, ``"signal 11"``, ``"exit 3"`` or ``"hang"``.
    peak
        Peak memory in bytes, minus the memory of the idle child.
    """

    seed: int
    word: str
    peak: int


def main(
    case: Callable[[int], str],
    *,
    allowed: Collection[str],
    count: int,
    description: str | None,
    seconds: float = 10.0,
    memory: int | None = None,
    prepare: Callable[[], object] = bool,
) -> int:
    """Run a campaign and print its outcomes; return 1 if any outcome is not allowed.

    Parameters
    ----------
    case
        Runs the case of a seed in this process, and returns a word for its outcome.
    allowed
        The words that are not faults.
    count
        Number of cases, unless ``--count`` says otherwise.
    description
        The script's own docstring.
    seconds
        Time limit of a case, after which it counts as a hang.
    memory
        Memory limit of a case in bytes, above the memory of the idle child; a case above it has the outcome
        ``"memory"``.
    prepare
        Run once in each child, before it counts its memory as idle.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=count, help="number of cases")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="run the case of this seed here, without a child, with its traceback")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        prepare()
        _serve(case)
        return 0
    if arguments.only is not None:
        prepare()
        print(case(arguments.only))
        return 0
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.count)
    outcomes = run_cases([sys.argv[0], "--child"], seeds, seconds)
    return _report([_with_memory(outcome, memory) for outcome in outcomes], allowed)


def run_cases(command: list[str], seeds: Iterable[int], seconds: float) -> Iterator[Outcome]:
    """Yield the outcome of each seed, run by a child that `command` starts."""
    child = None
    for seed in seeds:
        if child is None:
            child = _start(command)
        assert child.stdin is not None
        child.stdin.write(f"{seed}\n".encode())
        child.stdin.flush()
        line = _read_line(child, seconds)
        if line:
            answer = json.loads(line)
            yield Outcome(seed, answer["word"], answer["peak"])
            continue
        hung = child.poll() is None and not _ended_within(child, 1.0)
        child.kill()
        code = child.wait()
        yield Outcome(seed, "hang" if hung else f"signal {-code}" if code < 0 else f"exit {code}", 0)
        child = None
    if child is not None:
        assert child.stdin is not None
        child.stdin.close()
        child.wait()


def _with_memory(outcome: Outcome, most: int | None) -> Outcome:
    if most is None or outcome.peak <= most:
        return outcome
    return dataclasses.replace(outcome, word="memory")


def _start(command: list[str]) -> "subprocess.Popen[bytes]":
    child = subprocess.Popen(
        [sys.executable, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0
    )
    if not _read_line(child, SECONDS_TO_START):
        child.kill()
        raise RuntimeError(f"{' '.join(command)} did not start: run one case with --only to see why")
    return child


def _read_line(child: "subprocess.Popen[bytes]", seconds: float) -> bytes:
    """Return the next line of the child, or nothing if it dies or takes too long."""
    assert child.stdout is not None
    line, ends = b"", time.monotonic() + seconds
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([child.stdout], [], [], max(ends - time.monotonic(), 0))
        part = os.read(child.stdout.fileno(), 65536) if ready else b""
        if not part:
            return b""
        line += part
    return line


def _ended_within(child: "subprocess.Popen[bytes]", seconds: float) -> bool:
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _serve(case: Callable[[int], str]) -> None:
    """Read seeds, one in each line, and answer each with its outcome."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # the output of a case is not an answer
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    idle = _peak_memory()
    answers.write("ready\n")
    for line in sys.stdin:
        _forget_peak()
        try:
            word = case(int(line))
        except Exception as error:
            word = type(error).__name__
        answers.write(json.dumps({"word": word, "peak": max(_peak_memory() - idle, 0)}) + "\n")


def _peak_memory() -> int:
    """Return the bytes of memory at the highest point since `_forget_peak`."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _forget_peak() -> None:
    clear = Path("/proc/self/clear_refs")
    if clear.exists():
        clear.write_text("5")


def _report(outcomes: list[Outcome], allowed: Collection[str]) -> int:
    by_word: dict[str, list[int]] = collections.defaultdict(list)
    for outcome in outcomes:
        by_word[outcome.word].append(outcome.seed)
    print("| outcome | cases | first seeds |\n|---|---|---|")
    for word, seeds in sorted(by_word.items(), key=lambda item: -len(item[1])):
        mark = "" if word in allowed else " **not allowed**"
        print(f"| {word}{mark} | {len(seeds):,} | {', '.join(map(str, seeds[:5]))} |")
    highest = max(outcomes, key=lambda outcome: outcome.peak)
    print(f"\nMost memory over idle: {highest.peak / 2**20:,.0f} MiB (seed {highest.seed}).")
    return int(any(word not in allowed for word in by_word))
