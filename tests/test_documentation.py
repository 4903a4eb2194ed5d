"""Every code block of the README and the docs is run, every example too, as a reader would run them."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import crossent as ce
from tests.calibration.draw import draw
from tests.conftest import draw_reviews

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# Commands that make the environment that the tests run in, or that take minutes.
NOT_RUN = ("make", "git", "python benchmarks/")
# Pages whose figures are drawn from the variables of their own code, and the script that runs and draws them.
DRAWN = {"why-cross-entropy": "docs/draw_why_cross_entropy.py"}


def code_blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def blocks(language: str) -> list[object]:
    """Code blocks of one language, each named by its page and number."""
    found = []
    for page in PAGES:
        found += [pytest.param(text, id=f"{page.stem}-{i}") for i, text in enumerate(code_blocks(page, language))]
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the pages speak of."""
    path = tmp_path_factory.mktemp("reader")
    jobs = ce.datasets.hpc_path().read_text()
    for name in ("jobs.csv", "new.csv", "labelled.csv"):
        (path / name).write_text(jobs)
    reviews = draw_reviews(200)
    reviews.to_csv(path / "reviews.csv", index=False)
    reviews.drop(columns="label").to_csv(path / "new-reviews.csv", index=False)
    for label, rows in reviews.groupby("label"):
        (path / "letters" / str(label)).mkdir(parents=True)
        for i, text in enumerate(rows["review"]):
            (path / "letters" / str(label) / f"{i}.txt").write_text(text)
    scores, labels = draw(500, 3.0)
    for name, array in (("logits", scores), ("labels", labels), ("new", scores)):
        np.save(path / f"{name}.npy", array)
    (path / "recipe.toml").write_text('model = "linear"\nfolds = 1\n')
    train = "crossent train jobs.csv --target class --config recipe.toml"
    subprocess.run([sys.executable, "-m", *shlex.split(train)], cwd=path, capture_output=True, check=True)
    return path


def pages_of_python() -> list[object]:
    """The code of each page, its blocks one after another, as a reader would type them."""
    code = {page: "\n".join(code_blocks(page, "python")) for page in PAGES if page.stem not in DRAWN}
    return [pytest.param(text, id=page.stem) for page, text in code.items() if text]


@pytest.mark.slow
@pytest.mark.parametrize("script", DRAWN.values())
def test_pages_that_are_one_program_run_and_draw_their_figures(script: str, tmp_path: Path) -> None:
    arguments = [sys.executable, str(ROOT / script), str(tmp_path)]
    done = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    page = (ROOT / script).with_name(Path(script).stem.removeprefix("draw_").replace("_", "-") + ".md")
    shown = re.findall(r"\]\(images/([^)]+)\)", page.read_text(encoding="utf-8"))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(shown)


@pytest.mark.slow
@pytest.mark.parametrize("code", pages_of_python())
def test_python_blocks_run(code: str, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("text", blocks("console"))
def test_commands_run(text: str, folder: Path) -> None:
    """Commands do what the page says; where it shows what they print, they print that."""
    shown = [line for line in text.splitlines() if not line.startswith("$ ")] if text.startswith("$ ") else []
    commands = [line.removeprefix("$ ").split("#")[0].strip() for line in text.splitlines() if line not in shown]
    for command in commands:
        if not command or command.startswith(NOT_RUN):
            continue
        words = shlex.split(command)
        assert words[0] == "crossent", command
        arguments = [sys.executable, "-m", *words]
        done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == (2 if shown else 0), done.stderr
        assert not shown or done.stderr.split() == " ".join(shown).split()


@pytest.mark.slow
@pytest.mark.parametrize("text", blocks("toml"))
def test_settings_are_valid(text: str, folder: Path) -> None:
    (folder / "page.toml").write_text(text)
    command = "crossent train jobs.csv --target class --model linear --folds 1 --config page.toml"
    arguments = [sys.executable, "-m", *shlex.split(command)]
    assert subprocess.run(arguments, cwd=folder, capture_output=True, check=False).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.stem)
def test_examples_run(example: Path, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, str(example)], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for link in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), f"{page.name}: {link}"
