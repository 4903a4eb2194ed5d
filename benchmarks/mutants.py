"""Plant small faults in the code that joins the parts, one at a time, and see whether the fast tests notice each.

The faults are listed in ``mutants.toml``, beside this file. Each is planted in a copy of the source, never in the
checkout, and the tests of its module run until the first fails: the mutant is killed. One that no test notices has
survived. All libraries are imported once, and each run is a fork of that process.

    python benchmarks/mutants.py                      # all of them; a quarter of an hour on two idle cores
    python benchmarks/mutants.py predictor.py refit   # those whose file or description holds one of these words
"""

import argparse
import compileall
import importlib
import os
import py_compile
import shutil
import signal
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEAVY = "numpy pandas pyarrow.parquet scipy.optimize scipy.stats sklearn.metrics torch lightgbm polars cyclopts pytest"
HEAVY += " hypothesis hypothesis.extra.numpy"
# The tests that run for the mutants of a file, below tests/, quick ones first.
FIT, CROSS_FIT = "fitting/test_fit.py", "fitting/test_cross_fit.py"
STOPPED = f"{FIT}::test_told_to_stop_it_ends_with_whole_folds"
NO_TIME = f"{CROSS_FIT}::test_no_time_left_ends_with_the_first_model_that_there_is"
RUN = "test_run_promises.py::test_weights_stay_with_their_rows_in_training_and_judgement"
TESTS = {
    "calibration/combine.py": ("calibration/test_combine.py", "test_predictor_promises.py"),
    "data/merge.py": ("data/test_merge.py",),
    "data/split.py": ("data/test_split.py", "data/test_split_promises.py"),
    "decide/abstention.py": ("decide/test_abstention.py",),
    "decide/decide.py": ("test_predictor_promises.py", "decide/test_decide.py"),
    "decide/labels.py": ("decide/test_labels.py",),
    "decide/macro_f1.py": ("decide/test_macro_f1.py",),
    "decide/thresholds.py": ("decide/test_thresholds.py",),
    "fitting/candidates.py": ("fitting/test_candidates.py",),
    "fitting/cross_fit.py": ("fitting/test_promises.py", "fitting/test_finished_folds.py", STOPPED, NO_TIME, RUN),
    "fitting/deadline.py": ("fitting/test_deadline.py",),
    "fitting/fit.py": ("fitting/test_promises.py", FIT, "estimators/test_weights.py"),
    "fitting/recipe.py": ("fitting/test_recipe.py",),
    "fitting/remedies.py": ("fitting/test_promises.py", "fitting/test_remedies.py"),
    "logits.py": ("test_logits.py", "calibration/test_prior.py"),
    "models/model.py": ("models/test_model.py", "models/test_weights.py"),
    "predictor.py": ("test_predictor_promises.py",),
}
# A mutant whose tests have not ended by then counts as not killed.
SECONDS, BAR = 300.0, 0.95


@dataclass(frozen=True)
class Mutant:
    """A fault: the file below ``src/crossent``, what it does, and the text that it replaces; no text for none."""

    file: str
    what: str
    old: str
    new: str
    harmless: str = ""


@dataclass(frozen=True)
class Running:
    """A fork that tests a mutant in a copy of the source."""

    mutant: Mutant
    copy: Path
    began: float


# A mutant, what came of it, and the seconds that this took.
Outcome = tuple[Mutant, str, float]


def read_mutants(words: list[str]) -> list[Mutant]:
    """Return the faults of the list; one that does not fit the source is an error that names it."""
    listed = tomllib.loads((ROOT / "benchmarks" / "mutants.toml").read_text(encoding="utf-8"))
    mutants = [Mutant(file, **fields) for file, faults in listed.items() for fields in faults]
    for mutant in mutants:
        text = ROOT / "src" / "crossent" / mutant.file
        count = text.read_text(encoding="utf-8").count(mutant.old) if text.is_file() else 0
        if count != 1 or mutant.file not in TESTS:
            where = f"mutants.toml, {mutant.file}, {mutant.what!r}"
            sys.exit(f"{where}: its old text is there {count} times, not once, or TESTS lacks the file:\n{mutant.old}")
    return [one for one in mutants if not words or any(word in f"{one.file} {one.what}" for word in words)]


def make_copy(folder: Path, kernels: Path | None) -> Path:
    """Copy source and tests, compiled so that a changed file is compiled again whatever its time says."""
    for name in ("src", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    if kernels is not None:
        shutil.copy(kernels, folder / "src" / "crossent" / "kernels")
    compileall.compile_dir(folder, quiet=2, invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH)
    return folder


def installed_kernels() -> Path | None:
    """Return the library of kernels that is installed, found without importing the package in this process."""
    return next(Path(sys.prefix).glob("lib/python*/site-packages/crossent/kernels/libcrossent_kernels.*"), None)


def run_tests(copy: Path, file: str) -> int:
    """Run the tests of a file in this process, which is a fork, against the source in the copy."""
    import pytest  # noqa: PLC0415 - imported before the fork

    os.setsid()
    os.chdir(copy)
    log = os.open(copy / "log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    # An editable installation would find the source of the checkout.
    sys.meta_path = [finder for finder in sys.meta_path if "Redirecting" not in type(finder).__name__]
    sys.path[:0] = [str(copy / "src"), str(copy)]
    sys.dont_write_bytecode = True
    options = ["-x", "-q", "--assert=plain", "-p", "no:cacheprovider", "-p", "no:xdist"]
    return int(pytest.main([*options, *(f"tests/{name}" for name in TESTS[file])]))


def start(mutant: Mutant, copy: Path) -> tuple[int, Running]:
    """Plant a fault in a copy, and fork a process that tests it."""
    path = copy / "src" / "crossent" / mutant.file
    text = (ROOT / "src" / "crossent" / mutant.file).read_text(encoding="utf-8")
    path.write_text(text.replace(mutant.old, mutant.new) if mutant.old else text, encoding="utf-8")
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            code = run_tests(copy, mutant.file)
        finally:
            os._exit(code)
    return pid, Running(mutant, copy, time.monotonic())


def outcome(pid: int, running: Running) -> Outcome | None:
    """Return what a fork came to, or None while it runs."""
    seconds = time.monotonic() - running.began
    ended, status = os.waitpid(pid, os.WNOHANG)
    if not ended and seconds < SECONDS:
        return None
    word = {0: "survived", 1: "killed"}.get(os.waitstatus_to_exitcode(status), "broken") if ended else "no end"
    if not ended:
        os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    if word == "broken":
        sys.stderr.write((running.copy / "log").read_text(errors="replace")[-2000:])
    # The next mutant of this copy may be of another file.
    changed = Path("src", "crossent", running.mutant.file)
    shutil.copy(ROOT / changed, running.copy / changed)
    return running.mutant, word, seconds


def run_all(mutants: list[Mutant], jobs: int) -> Iterator[Outcome]:
    """Test mutants, a few at a time, and yield each outcome as it comes."""
    for name in HEAVY.split():
        importlib.import_module(name)
    waiting, running = mutants[::-1], dict[int, Running]()
    with tempfile.TemporaryDirectory() as folder:
        free = [make_copy(Path(folder) / str(i), installed_kernels()) for i in range(jobs)]
        while waiting or running:
            while waiting and free:
                pid, started = start(waiting.pop(), free.pop())
                running[pid] = started
            time.sleep(0.05)
            for pid in list(running):
                if found := outcome(pid, running[pid]):
                    free.append(running.pop(pid).copy)
                    yield found


def main() -> None:
    """Print a line for each mutant, then the share that was killed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", help="only mutants whose file or description holds one of these")
    parser.add_argument("--jobs", type=int, default=2, help="how many run at a time")
    arguments = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    mutants = read_mutants(arguments.words) or parser.error("no mutant has such a word")
    # Without a fault all tests pass, or what they say of faults is worth nothing.
    sound = [Mutant(file, "nothing", "", "") for file in sorted({mutant.file for mutant in mutants})]
    outcomes = []
    for mutant, word, seconds in run_all([*sound, *mutants], arguments.jobs):
        print(f"{word:9} {seconds:6.1f} s  {mutant.file:24} {mutant.what}", flush=True)
        outcomes.append((mutant, word, seconds))
        if not mutant.old and word != "survived":
            sys.exit(f"The tests of {mutant.file} fail without a fault.")
    alive = [(mutant, word) for mutant, word, _ in outcomes if mutant.old and word != "killed"]
    killed, taken = len(mutants) - len(alive), sum(seconds for _, _, seconds in outcomes)
    print(f"\n{killed} of {len(mutants)} mutants killed, {killed / len(mutants):.1%}, in {taken:.0f} s of all runs")
    for mutant, word in alive:
        print(f"{word}: {mutant.file}: {mutant.what}. {mutant.harmless or 'Not explained.'}")
    sys.exit(killed < BAR * len(mutants) or not all(mutant.harmless for mutant, _ in alive))


if __name__ == "__main__":
    main()
