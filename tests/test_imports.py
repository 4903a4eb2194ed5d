"""What imports what: no circle anywhere, and no arrow back up the layers."""

import graphlib
import os
from collections.abc import Iterator
from pathlib import Path

import grimp
import pytest
from importlinter.cli import lint_imports

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def imports() -> dict[str, set[str]]:
    """What each module imports, those imports inside functions and for types too."""
    graph = grimp.build_graph("crossent", cache_dir=None)
    return {module: set(graph.find_modules_directly_imported_by(module)) for module in graph.modules}


@pytest.fixture
def in_root() -> Iterator[None]:
    before = Path.cwd()
    os.chdir(ROOT)
    yield
    os.chdir(before)


def test_no_circle_not_even_inside_a_folder_or_a_function(imports: dict[str, set[str]]) -> None:
    try:
        order = list(graphlib.TopologicalSorter(imports).static_order())
    except graphlib.CycleError as error:
        pytest.fail(f"A circle of imports: {' -> '.join(reversed(error.args[1]))}")
    assert set(order) == set(imports)


def test_every_module_is_looked_at(imports: dict[str, set[str]]) -> None:
    source = ROOT / "src"
    modules = {
        ".".join(path.relative_to(source).with_suffix("").parts).removesuffix(".__init__")
        for path in (source / "crossent").rglob("*.py")
    }
    assert set(imports) == modules
    # Imports inside functions count.
    assert "crossent.cli.commands" in imports["crossent.cli.app"]


@pytest.mark.usefixtures("in_root")
def test_no_layer_is_broken() -> None:
    assert lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True) == 0
