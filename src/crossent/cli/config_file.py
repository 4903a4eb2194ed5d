"""The TOML file that ``--config`` names: settings that flags overrule."""

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import cyclopts
from cyclopts import App
from cyclopts.argument import ArgumentCollection

from crossent.cli.named_values import FLAGS
from crossent.errors import SettingError
from crossent.names import listed, nearest

_FLAG: Final = "--config"


def read_config(app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Fill the arguments that the command line left open from the file that ``--config`` names.

    Cyclopts calls this once the command line is parsed, so that every spelling of the flag is known: ``--config FILE``,
    ``--config=FILE``, before or after the others.

    Parameters
    ----------
    app, commands
        The app and the commands that the arguments belong to.
    arguments
        What the command takes, with what the command line gives.

    Raises
    ------
    SettingError
        If there is no such file, it is not TOML, or a key of it names no setting.
    """
    named = next((argument for argument in arguments if _FLAG in argument.names), None)
    if named is None or not named.tokens:
        return
    path = Path(named.tokens[-1].value)
    settings = {key: _as_json(key, value) for key, value in _read_toml(path).items()}
    _check_keys(path, settings, arguments)
    cyclopts.config.Dict(settings, use_commands_as_keys=False, source=str(path))(app, commands, arguments)


def _read_toml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise SettingError("The config file must exist.", f"There is no file {path}.", "Check the path.")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        example = 'Write settings like this: model = "linear"'
        raise SettingError("The config file must be TOML.", f"{path}: {error}.", example) from error


def _as_json(key: str, value: Any) -> Any:
    """Return a table of columns or labels as JSON, because cyclopts would cut their names at dots."""
    if f"--{key.replace('_', '-')}" not in FLAGS or not isinstance(value, dict):
        return value
    return json.dumps(value, default=str)


def _check_keys(path: Path, settings: dict[str, Any], arguments: ArgumentCollection) -> None:
    """Check that each key is a setting: cyclopts names only the first unknown key, and accepts names of commands."""
    unknown = [key for key in _leaves(settings) if key == _FLAG.strip("-") or not _is_setting(key, arguments)]
    if not unknown:
        return
    known = [name.removeprefix("--").replace("-", "_") for argument in arguments for name in argument.names]
    raise SettingError(
        "Every key of a config file is the name of a setting.",
        f"{path} has the unknown {listed(unknown)}.",
        _suggestion(unknown[0].replace("-", "_"), [name for name in known if name not in {"*", _FLAG.strip("-")}]),
    )


def _suggestion(unknown: str, known: list[str]) -> str:
    # Several models may have a setting of this name.
    of_models = [name for name in known if name.endswith(f".{unknown}")]
    near = of_models or [name for name in [nearest(unknown, known)] if name is not None]
    return f"Did you mean {' or '.join(map(repr, near))}?" if near else "crossent train --help lists all of them."


def _leaves(settings: dict[str, Any]) -> Iterator[str]:
    """Give the names of all values, those inside tables with dots: ``boosting.max_rounds``."""
    for key, value in settings.items():
        if isinstance(value, dict) and value:
            yield from (f"{key}.{inner}" for inner in _leaves(value))
        else:
            yield key


def _is_setting(key: str, arguments: ArgumentCollection) -> bool:
    try:
        arguments.match(f"--{key}")
    except ValueError:
        return False
    return True
