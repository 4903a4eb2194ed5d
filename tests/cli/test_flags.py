"""Flags and their texts, as the command line has them."""

from dataclasses import fields
from pathlib import Path
from typing import get_type_hints

import pytest
from cyclopts import Parameter

from crossent.cli.flags import PredictionFlags, RowFlags, flag_name
from crossent.fitting.recipe import Recipe
from tests.cli.command import crossent


def test_a_flag_is_written_with_dashes_and_the_strength_keeps_its_letter() -> None:
    assert [flag_name(name) for name in ("max_rounds", "seed", "C")] == ["max-rounds", "seed", "C"]


@pytest.mark.parametrize("flags", [RowFlags, PredictionFlags])
def test_every_flag_has_a_help_text_of_whole_sentences(flags: type[RowFlags | PredictionFlags]) -> None:
    hints = get_type_hints(flags, include_extras=True)
    for field in fields(flags):
        (parameter,) = (extra for extra in hints[field.name].__metadata__ if isinstance(extra, Parameter))
        assert parameter.help
        assert parameter.help[0].isupper(), field.name
        assert parameter.help.endswith("."), field.name


def test_help_lists_each_setting_once_and_no_setting_is_a_flag_of_rows(tmp_path: Path) -> None:
    done = crossent("train", "--help", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    listed = [word for word in done.stdout.replace("│", " ").split() if word.startswith("--")]
    names = {field.name for field in fields(Recipe)} - {"linear", "boosting", "network"}
    for flag in [f"--{flag_name(name)}" for name in (*names, *(field.name for field in fields(RowFlags)))]:
        assert listed.count(flag) >= 1, flag
    assert {"--linear.C", "--boosting.max-rounds", "--network.max-epochs"} <= set(listed)
    assert not names & {field.name for field in fields(RowFlags)}
    assert not names & {field.name for field in fields(PredictionFlags)}
