"""What the folders promise of each other, and the tests too."""

import ast
import re
from pathlib import Path

import pytest

import crossent
from crossent.models.catalogue import MODELS

SOURCE = Path(crossent.__file__).parent
TESTS = Path(__file__).parent
# Also inside the programs that a test gives to another process.
IMPORTED_TEST = re.compile(r"^[ \t]*(?:from|import)[ \t].*\btest_\w+", re.MULTILINE)
# The recipe holds the settings of each model under its name; the command line's help and the bundled demo name none.
RECIPE = SOURCE / "fitting" / "recipe.py"


def names_of_models() -> set[str]:
    classes = {cls.__name__ for model in MODELS for cls in (model.settings, model.fitted)}
    return classes | {model.settings.name for model in MODELS}


def test_nothing_outside_of_models_names_a_model() -> None:
    named = []
    names = names_of_models()
    for path in sorted(SOURCE.rglob("*.py")):
        if path.is_relative_to(SOURCE / "models") or path == RECIPE:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            is_name = isinstance(node, ast.Name) and node.id in names and node.id[0].isupper()
            is_text = isinstance(node, ast.Constant) and node.value in names
            if is_name or is_text:
                named.append(f"{path.relative_to(SOURCE)}:{node.lineno}")
    assert named == []


def test_modules_of_models_are_imported_through_the_catalogue() -> None:
    """All but what every model shares: its settings, the size of a fit, the task of a fit, the objective."""
    shared = {"catalogue", "settings", "costs", "model", "objective", "format_1"}
    imported = []
    for path in sorted(SOURCE.rglob("*.py")):
        if path.is_relative_to(SOURCE / "models"):
            continue
        modules = re.findall(r"^\s*(?:from|import) crossent\.models\.(\w+)", path.read_text(), re.MULTILINE)
        imported += [f"{path.relative_to(SOURCE)}: {module}" for module in modules if module not in shared]
    assert imported == []


def test_no_test_imports_another() -> None:
    """What several tests need is a module or a fixture, so that a test can be changed without a look at the others."""
    imported = []
    for path in sorted(TESTS.rglob("*.py")):
        imported += [f"{path.relative_to(TESTS)}: {line.strip()}" for line in IMPORTED_TEST.findall(path.read_text())]
    assert imported == []


@pytest.mark.parametrize(
    "line",
    [
        "from tests.cli.test_app import crossent",
        "from tests.cli import test_app",
        "import tests.cli.test_app as app",
        "    from .test_app import crossent",
        'PROGRAM = """\nfrom test_storage import Tree\n"""',
    ],
)
def test_an_import_of_a_test_is_recognised(line: str) -> None:
    assert IMPORTED_TEST.search(line)
    assert not IMPORTED_TEST.search(line.replace("test_", "latest_"))
