"""The sdist and the wheel, in an environment that holds what they ask for and nothing else."""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from crossent.kernels import info

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parent.parent
# What a build in the given environment needs beside what the package itself asks for.
BUILD_TOOLS = ("scikit-build-core", "setuptools", "wheel")

# Trains by the command that a user types, and takes a loss that torch can check.
SMOKE = """
import sys
import numpy as np
import torch
import crossent as ce
from crossent.cli.app import main
from crossent.kernels import info

assert info().available == (sys.argv[1] == "kernels"), info()
logits, target = torch.randn(50, 4), torch.arange(50) % 4
assert torch.allclose(ce.cross_entropy(logits, target), torch.nn.functional.cross_entropy(logits, target))
sys.argv = "crossent train jobs.csv --target class --model linear --folds 2 --json".split()
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
"""


def run(*command: object, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def with_requirements(names: Iterator[str] | tuple[str, ...]) -> set[str]:
    """Return the names of installed distributions and of all that they ask for."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        try:
            asked = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        if name not in found:
            found.add(name)
            requirements = map(Requirement, asked)
            waiting += [each.name for each in requirements if not each.marker or each.marker.evaluate({"extra": ""})]
    return found


def link_distributions(names: set[str], folder: Path) -> Path:
    """Link installed distributions into a folder of their own, so that nothing is downloaded or copied."""
    folder.mkdir()
    libraries = Path(sysconfig.get_path("purelib"))
    for name in names:
        tops = {Path(file).parts[0] for file in importlib.metadata.files(name) or ()}
        for top in tops - {"..", "__pycache__"}:
            if not (folder / top).exists():
                (folder / top).symlink_to(libraries / top)
    return folder


def install(distribution: Path, folder: Path, **environment: str) -> Path:
    """Install a distribution into a new environment with what it asks for, and return that environment's Python."""
    venv.create(folder)
    python = folder / "bin" / "python"
    libraries = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip()
    asked = importlib.metadata.requires("crossent") or []
    requirements = [Requirement(each) for each in asked]
    needed = with_requirements(tuple(each.name for each in requirements if not each.marker))
    (Path(libraries) / "needed.pth").write_text(str(link_distributions(needed, folder / "needed")))
    build = link_distributions(with_requirements(BUILD_TOOLS), folder / "build")
    options = ("--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check")
    pip = (sys.executable, "-m", "pip", "--python", python)
    run(*pip, "install", *options, distribution, cwd=folder, PYTHONPATH=str(build), **environment)
    run(*pip, "check", cwd=folder)
    return python


def smoke(python: Path, folder: Path, kernels: str) -> None:
    folder.mkdir()
    shutil.copy(ROOT / "src" / "crossent" / "datasets" / "hpc.csv", folder / "jobs.csv")
    run(python, "-c", SMOKE, kernels, cwd=folder)
    assert (folder / "runs" / "jobs" / "report.html").stat().st_size > 50_000
    assert run(python.with_name("crossent"), "--version", cwd=folder).strip() == importlib.metadata.version("crossent")


def build(folder: Path, *options: str) -> Path:
    """Build the checkout with the tools that are installed here, and return the folder of what comes out."""
    options = ("--no-isolation", "--skip-dependency-check", "--outdir", str(folder), *options)
    run(sys.executable, "-m", "build", *options, ROOT, cwd=ROOT)
    return folder


@pytest.mark.skipif(sys.platform == "win32", reason="links and the folders of an environment are those of Unix")
def test_the_wheel_holds_all_that_it_needs_and_works_alone(tmp_path: Path) -> None:
    # Without options the wheel is built from the sdist.
    (wheel,) = build(tmp_path / "built").glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    inside = ("__init__.pyi", "py.typed", "datasets/hpc.csv", "datasets/LICENSE-hpc.txt", "report/template.html")
    assert {f"crossent/{name}" for name in inside} <= names
    assert sum(bool(re.search(r"dist-info/licenses/.*LICENSE", name)) for name in names) == 2
    assert not [name for name in names if re.search(r"(^|/)(tests|benchmarks|docs|examples)/", name)]
    # This environment was built from the same files with the same tools.
    kernels = info().available and shutil.which("cmake") is not None
    assert ("crossent/kernels/libcrossent_kernels.so" in names) == kernels
    smoke(install(wheel, tmp_path / "environment"), tmp_path / "work", "kernels" if kernels else "none")


@pytest.mark.skipif(sys.platform == "win32", reason="links and the folders of an environment are those of Unix")
@pytest.mark.parametrize("missing", ["compiler", "compiler and cmake"])
def test_the_sdist_is_installed_without_a_compiler_and_works_alone(tmp_path: Path, missing: str) -> None:
    (sdist,) = build(tmp_path / "built", "--sdist").glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "CMakeLists.txt", "LICENSE", "src/crossent/kernels/library.cpp"} <= names
    assert not [name for name in names if name.startswith((".ci", "runs", ".venv", "build"))]
    environment = {"CC": "/nonexistent", "CXX": "/nonexistent"}
    if missing != "compiler":
        (tmp_path / "no-programs").mkdir()
        # pip fetches cmake where there is none; where it cannot, the build is told to do without it.
        environment |= {"PATH": str(tmp_path / "no-programs"), "SKBUILD_WHEEL_CMAKE": "false"}
    python = install(sdist, tmp_path / "environment", **environment)
    smoke(python, tmp_path / "work", "none")
