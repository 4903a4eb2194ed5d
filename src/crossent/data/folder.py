"""A folder of texts: a class for each sub-folder of files, or for each file of lines."""

from pathlib import Path

import pandas as pd

from crossent.data.limits import limit_of
from crossent.data.utf8 import to_utf8
from crossent.errors import DataError
from crossent.names import listed

# Columns of the table that a folder becomes.
TEXT, CLASS = "text", "class"
_LINES = ".txt"
# Files that show that a folder is the folder of a run and not a class of texts.
RUN_FILE = "run.json"


def read_folder(folder: Path, encoding: str) -> pd.DataFrame:
    """Read texts from a folder; hidden files and folders of runs are left out.

    Parameters
    ----------
    folder
        Holds a sub-folder for each class, with one text in each file, whatever the files are called; or a ``.txt`` file
        for each class, with one text in each line; or both.
    encoding
        Of the files.

    Returns
    -------
    frame
        Columns ``text`` and ``class``; the class is the name of the sub-folder, or of the file without its ending.

    Raises
    ------
    DataError
        If there is no text, or a file is not text in the encoding.
    """
    texts: list[str] = []
    classes: list[str] = []
    for entry in _visible(folder):
        if is_run(entry):
            continue
        if entry.is_dir():
            texts_of_class = [_read(file, encoding) for file in _visible(entry) if file.is_file()]
        elif entry.suffix.lower() == _LINES and entry.is_file():
            texts_of_class = [line for line in _read(entry, encoding).split("\n") if line.strip()]
        else:
            continue
        texts += texts_of_class
        classes += [_class_of(entry)] * len(texts_of_class)
    if not texts:
        raise DataError(
            "A folder of texts holds a sub-folder of files for each class, or a .txt file of lines.",
            f"{folder} holds neither.",
            "Sort the files into sub-folders named after their classes.",
        )
    return pd.DataFrame({TEXT: pd.Series(texts, dtype="str"), CLASS: pd.Series(classes, dtype="str")})


def is_run(folder: Path) -> bool:
    """Say whether a folder is the folder of a run, which is not a class of texts."""
    return (folder / RUN_FILE).is_file()


def folder_notes(folder: Path) -> list[str]:
    """Return a note on the folders that are left out of a folder of texts, because they are runs."""
    runs = [entry.name for entry in _visible(folder) if is_run(entry)]
    if not runs:
        return []
    return [f"Folders of runs are not classes and are left out: {listed(runs, 5)}."]


def _class_of(entry: Path) -> str:
    name = entry.stem if entry.is_file() else entry.name
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            "Names of classes are text in UTF-8.", f"The name of {str(entry)!r} is not UTF-8.", "Rename it."
        ) from error
    return name


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _read(file: Path, encoding: str) -> str:
    limit = limit_of(file)
    limit.check(limit.size)
    data = to_utf8(file, file.read_bytes(), encoding)
    if b"\0" in data:
        line = data.count(b"\n", 0, data.index(b"\0")) + 1
        raise DataError(
            "A file of text holds text.",
            f"{file}, line {line}, has a zero byte. Is it a picture, a document of a word processor or a program?",
            "Take it out of the folder, or save its text as UTF-8.",
        )
    return data.decode().replace("\r\n", "\n")
