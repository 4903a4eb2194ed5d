"""The file that --config names, on real command lines."""

import contextlib
import json
from pathlib import Path

import pytest

from crossent.cli.app import app
from crossent.cli.flags import RowFlags
from crossent.cli.named_values import join_named_values
from crossent.fitting.recipe import Recipe
from tests.cli.command import Done, crossent
from tests.conftest import draw_table


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config")
    table = draw_table(80).rename(columns={"colour": "colour v1.5, main"})
    table["label"] = table["label"].map({"a": "v1.5", "b": "x=z, y", "c": "c"})
    table.to_csv(path / "jobs.csv", index=False)
    return path


def train(folder: Path, settings: str, *arguments: str) -> Done:
    (folder / "my settings.toml").write_text(settings)
    return crossent("train", "jobs.csv", "--target", "label", "--model", "linear", *arguments, cwd=folder)


def parsed(folder: Path, *arguments: str) -> tuple[RowFlags, Recipe]:
    """What a command line means."""
    with contextlib.chdir(folder):
        _, bound, _ = app.parse_args(join_named_values(["train", "jobs.csv", *arguments]), exit_on_error=False)
    return bound.arguments.get("rows", RowFlags()), bound.arguments.get("recipe", Recipe())


@pytest.mark.parametrize("spelling", [["--config", "my settings.toml"], ["--config=my settings.toml"]])
@pytest.mark.parametrize("place", [0, 1, 3])
def test_every_spelling_of_the_flag_is_read(folder: Path, spelling: list[str], place: int) -> None:
    (folder / "my settings.toml").write_text("seed = 7\nfolds = 3\nheld_out = 0.5\n")
    rest = ["--folds=1", "--target", "label"]
    rows, recipe = parsed(folder, *rest[:place], *spelling, *rest[place:])
    assert (recipe.seed, recipe.folds, rows.held_out, rows.target) == (7, 1, 0.5, "label")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ('colour = "red"\nwarp = 3\nfolds = 1\n', "my settings.toml has the unknown 'colour', 'warp'."),
        ("fold = 1\n", "has the unknown 'fold'. Did you mean 'folds'?"),
        ("[warp]\nspeed = 3\n", "has the unknown 'warp.speed'."),
        (
            "learning_rate = 1\n",
            "has the unknown 'learning_rate'. Did you mean 'boosting.learning_rate' or 'network.learning_rate'?",
        ),
        ("evaluate = 3\n", "has the unknown 'evaluate'."),
        ('config = "other.toml"\n', "has the unknown 'config'."),
        ('seed = "three"\n', '"three"'),
        ('[kind]\nsize = "large"\n', "'large'"),
    ],
)
def test_a_key_that_is_no_setting_and_a_value_that_is_none_are_one_clear_error(
    folder: Path, settings: str, said: str
) -> None:
    done = train(folder, settings, "--config=my settings.toml", "--name", "never")
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert not (folder / "runs" / "never").exists()


def test_names_of_columns_and_labels_may_hold_anything(folder: Path) -> None:
    names = '[kind]\n"colour v1.5, main" = "text"\n[class_weight]\n"v1.5" = 2\n"x=z, y" = 3\nc = 1\n'
    (folder / "my settings.toml").write_text(names)
    of_file = parsed(folder, "--config", "my settings.toml")
    weights = ["--class-weight", "v1.5=2", "--class-weight", "x=z, y=3", "--class-weight.c=1"]
    of_flags = parsed(folder, "--kind", "colour v1.5, main=text", *weights)
    assert of_file == of_flags
    assert of_flags[0].kind == {"colour v1.5, main": "text"}
    assert of_flags[1].class_weight == {"v1.5": 2.0, "x=z, y": 3.0, "c": 1.0}


def test_settings_of_models_come_from_tables_of_their_own(folder: Path) -> None:
    (folder / "my settings.toml").write_text("[linear]\nC = 2.0\n[boosting]\nlearning_rate = 0.2\nmax-rounds = 9\n")
    recipe = parsed(folder, "--config=my settings.toml", "--boosting.max-rounds", "8")[1]
    assert (recipe.linear.C, recipe.boosting.learning_rate, recipe.boosting.max_rounds) == (2.0, 0.2, 8)


def test_flags_overrule_the_file_also_where_they_have_names(folder: Path) -> None:
    (folder / "my settings.toml").write_text('[kind]\nflag = "category"\nsize = "category"\n')
    assert parsed(folder, "--config", "my settings.toml", "--kind", "flag=text")[0].kind == {"flag": "text"}


def test_labels_and_columns_of_any_name_on_real_files(folder: Path) -> None:
    weights = ["--class-weight", "v1.5=2", "--class-weight", "x=z, y=3", "--class-weight.c=1"]
    done = train(folder, "", "--folds", "1", "--kind", "colour v1.5, main=text", *weights)
    assert done.returncode == 0, done.stderr
    run = json.loads((folder / "runs" / "jobs" / "run.json").read_text())
    assert run["recipe"]["class_weight"] == {"v1.5": 2.0, "x=z, y": 3.0, "c": 1.0}
    assert {column["name"]: column["kind"] for column in run["columns"]}["colour v1.5, main"] == "text"
    lenient = crossent("predict", "runs/jobs", "jobs.csv", "--prior", "v1.5=0.2, c=0.1,x=z, y=0.7", cwd=folder)
    shares = json.dumps({"v1.5": 0.2, "x=z, y": 0.7, "c": 0.1})
    exact = crossent("predict", "runs/jobs", "jobs.csv", "--prior", shares, cwd=folder)
    assert lenient.returncode == exact.returncode == 0, lenient.stderr + exact.stderr
    assert lenient.stdout == exact.stdout
    assert lenient.stdout != crossent("predict", "runs/jobs", "jobs.csv", cwd=folder).stdout
