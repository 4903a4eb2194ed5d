"""Values by the name of a column or a class, whatever characters the name holds: ``--class-weight 'v1.5=2'``."""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from crossent.errors import SettingError
from crossent.names import shortened

# Flags that map names from the user's data to values, and an example of each.
FLAGS: Final = {"--kind": "--kind zip=category", "--class-weight": "--class-weight rare=5"}
_SHARE = re.compile(r"=\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*\Z")


def join_named_values(arguments: Sequence[str]) -> list[str]:
    """Return a command line with all values of such a flag as one JSON object, which can hold any name.

    Parameters
    ----------
    arguments
        Of the command line: ``--kind NAME=VALUE``, ``--kind=NAME=VALUE``, ``--kind.NAME=VALUE``, ``--kind.NAME VALUE``
        or ``--kind '{"NAME": "VALUE"}'``, each repeated for every name. The name ends at the last equals sign.

    Raises
    ------
    SettingError
        If a name has no value, or two.

    Examples
    --------
    >>> join_named_values(["train", "--kind", "v1.5=text", "--kind.zip=category", "--seed", "3"])
    ['train', '--seed', '3', '--kind={"v1.5": "text", "zip": "category"}']
    """
    left: list[str] = []
    values: dict[str, dict[str, Any]] = {}
    rest = iter(arguments)
    for argument in rest:
        if argument == "--":
            left += [argument, *rest]
            break
        flag, mark, text = _parted(argument)
        if not flag:
            left.append(argument)
            continue
        pairs = _pairs(flag, mark, text, rest)
        already = values.setdefault(flag, {})
        repeated = next((name for name in pairs if name in already), None)
        if repeated is not None:
            raise _given_twice(repeated)
        already |= pairs
    joined = [f"{flag}={json.dumps(pairs)}" for flag, pairs in values.items()]
    end = left.index("--") if "--" in left else len(left)
    return left[:end] + joined + left[end:]


def parse_shares(text: str) -> dict[str, str]:
    """Return the value of each name in ``LABEL=SHARE,LABEL=SHARE`` or a JSON object.

    A comma belongs to a label unless a number stands before it.

    Raises
    ------
    SettingError
        If a label comes twice.

    Examples
    --------
    >>> parse_shares("red, or so=0.5,x=1=0.5")
    {'red, or so': '0.5', 'x=1': '0.5'}
    >>> parse_shares('{"a=1,b": 0.5}')
    {'a=1,b': '0.5'}
    """
    whole = _json_object(text)
    if whole is not None:
        return {name: str(share) for name, share in whole.items()}
    shares: dict[str, str] = {}
    begun = ""
    pieces = text.split(",")
    for i, piece in enumerate(pieces):
        begun += piece
        if not _SHARE.search(begun) and i + 1 < len(pieces):
            begun += ","
            continue
        name, _, share = begun.rpartition("=")
        if name in shares:
            raise SettingError(
                "Each label is given one share.", f"{shortened(name)} has two.", "Leave one of them out."
            )
        shares[name], begun = share.strip(), ""
    return shares


def _parted(argument: str) -> tuple[str, str, str]:
    """Return the flag of an argument, the mark behind it and what follows that; three empty strings for other flags."""
    for flag in FLAGS:
        length = len(flag)
        if argument[:length].replace("_", "-") == flag and argument[length : length + 1] in {"", "=", "."}:
            return flag, argument[length : length + 1], argument[length + 1 :]
    return "", "", ""


def _pairs(flag: str, mark: str, text: str, rest: Iterator[str]) -> dict[str, Any]:
    if mark == ".":
        if "=" not in text:
            text = f"{text}={next(rest, '')}"
    elif not mark:
        text = next(rest, "")
    whole = None if mark == "." else _json_object(text)
    if whole is not None:
        return whole
    name, equals, value = text.rpartition("=")
    if not equals or not value:
        raise SettingError(
            f"{flag} takes a name and its value.",
            f"{shortened(text)} has no value." if text else "Both are missing.",
            f"Write {FLAGS[flag]} once for each name, in quotes if the name has spaces; the name ends at the last =.",
        )
    return {name: value}


def _json_object(text: str) -> dict[str, Any] | None:
    if not text.lstrip().startswith("{"):
        return None
    try:
        value = json.loads(text, object_pairs_hook=_distinct)
    except json.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise _given_twice(repeated)
    return dict(pairs)


def _given_twice(name: str) -> SettingError:
    return SettingError("Each name is given one value.", f"{shortened(name)} has two.", "Leave one of them out.")
