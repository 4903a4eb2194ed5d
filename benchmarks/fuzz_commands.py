"""Commands that fail, many times, two at once beside a busy core: each must end with one error and exit code 2.

python benchmarks/fuzz_commands.py                  300 commands
python benchmarks/fuzz_commands.py --count 20

A process that has printed its error must still end the threads of its libraries. If these kill it, it has another exit
code, and a script that called it takes the wrong path.
"""

import argparse
import collections
import concurrent.futures
import itertools
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from crossent.datasets import hpc_path
from crossent.estimators.classifier import Classifier

CROSSENT = [sys.executable, "-m", "crossent"]
BUSY = "while True: pass"
AT_ONCE = 2


def failing_commands(folder: Path) -> list[list[str]]:
    """Write the files that the commands need, and return the commands."""
    jobs = pd.read_csv(hpc_path())
    features = jobs.drop(columns="class")
    model, files = str(folder / "model"), {name: folder / name for name in ("narrow.csv", "other.csv", "torn.parquet")}
    Classifier(model="linear", folds=2).fit(features, jobs["class"]).save(model)
    features.drop(columns=features.columns[0]).to_csv(files["narrow.csv"], index=False)
    jobs.assign(**{"class": "unknown"}).to_csv(files["other.csv"], index=False)
    jobs.to_parquet(files["torn.parquet"])
    files["torn.parquet"].write_bytes(files["torn.parquet"].read_bytes()[:-100])
    narrow, other, torn = map(str, files.values())
    (folder / "damaged").mkdir()
    (folder / "damaged" / "model.json").write_text("{")
    load_and_read = f"""
import sys, crossent as ce
predictor = ce.load({model!r})
try:
    predictor.probs({narrow!r})
except ce.CrossentError:
    sys.exit(2)
"""
    return [
        [*CROSSENT, "predict", model, narrow],
        [*CROSSENT, "evaluate", model, other],
        [*CROSSENT, "evaluate", model, narrow],
        [*CROSSENT, "predict", model, torn],
        [*CROSSENT, "train", narrow, "--target", "class"],
        [*CROSSENT, "train", str(folder / "absent.csv"), "--target", "class"],
        [*CROSSENT, "predict", str(folder / "damaged"), narrow],
        [sys.executable, "-c", load_and_read],
    ]


def outcome(command: list[str]) -> str:
    """Run a command, and say in a word how it ended."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    end = f"signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
    return f"{end}, traceback" if "Traceback" in done.stderr else end


def run(count: int) -> Iterator[str]:
    """Yield how each of the commands ended."""
    with tempfile.TemporaryDirectory() as folder, subprocess.Popen([sys.executable, "-c", BUSY]) as busy:
        try:
            commands = itertools.islice(itertools.cycle(failing_commands(Path(folder))), count)
            with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
                yield from pool.map(outcome, commands)
        finally:
            busy.kill()


def main() -> int:
    """Run all commands, and return 1 if any ended in another way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=300)
    counts = collections.Counter(run(parser.parse_args().count))
    print("| how it ended | commands |\n|---|---|")
    for end, count in counts.most_common():
        print(f"| {end} | {count} |")
    return int(set(counts) != {"exit code 2"})


if __name__ == "__main__":
    sys.exit(main())
