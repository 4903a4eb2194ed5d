import dataclasses
import math
import subprocess
import sys
import time

import numpy as np
import pytest

from crossent.data.encoder import fit_encoder
from crossent.data.read import read
from crossent.datasets import hpc_path
from crossent.models.catalogue import MODELS, model_of
from crossent.models.costs import Size, total_seconds
from crossent.models.model import Examples, Task
from crossent.models.objective import Objective
from crossent.models.settings import Boosting, Linear, Network, Settings

TABLE = Size(rows=4000, numbers=10, codes=3, ngrams=0, classes=5)
TEXT = Size(rows=4000, numbers=0, codes=0, ngrams=2_000_000, classes=5)


def test_the_seconds_are_a_sum_over_the_pieces_of_work() -> None:
    assert total_seconds((3.0, 0.5, 7.0), (2, 10, 0)) == 3 * 2 + 0.5 * 10
    with pytest.raises(ValueError, match="shorter"):
        total_seconds((3.0, 0.5), (2,))


def test_the_features_of_a_size_are_its_numbers_and_codes() -> None:
    assert TABLE.features == 13


def test_a_hand_worked_case_of_each_model() -> None:
    # 2,000 rows of 3 numbers and 1 category, 5 classes.
    size = Size(rows=2000, numbers=3, codes=1, ngrams=0, classes=5)
    assert Linear(C=1.0).work(size) == (1, 10_000, 40_000, 0, 0, 0, 0)
    text = Size(rows=2000, numbers=0, codes=0, ngrams=600, classes=5)
    assert Linear(C=1.0).work(text) == (0, 0, 0, 2000, 600, 600, 3000)
    # 100 rounds of 5 trees.
    assert Boosting(learning_rate=0.1, max_leaves=8).work(size) == (500, 1_000_000, 16_000, 4_000_000)
    # 7 times 2,000 rows in batches of 100, by one perceptron with 128 by 128 weights.
    assert Network(max_epochs=7, batch_size=100).work(size) == (1, 140, 56_000, 14_000 * 128 * 128)


@pytest.mark.parametrize("settings", [model.settings() for model in MODELS], ids=lambda settings: settings.name)
def test_more_rows_take_longer_and_no_size_gives_a_senseless_time(settings: Settings) -> None:
    sizes = [dataclasses.replace(TABLE, rows=rows) for rows in (1, 1000, 100_000, 10**9)]
    seconds = [settings.seconds(size) for size in sizes]
    assert seconds == sorted(set(seconds))
    assert 0 < seconds[0] < 1
    assert math.isfinite(seconds[-1])


def test_settings_that_mean_more_work_take_longer() -> None:
    assert Linear().seconds(TABLE) > Linear(C=1.0).seconds(TABLE)
    assert Linear().seconds(TEXT) > Linear(C=1.0).seconds(TEXT)
    assert Linear().seconds(dataclasses.replace(TEXT, ngrams=20_000_000)) > Linear().seconds(TEXT)
    boosting = Boosting().seconds(TABLE)
    assert Boosting(learning_rate=0.02).seconds(TABLE) > boosting > Boosting(max_rounds=20).seconds(TABLE)
    assert Boosting(max_leaves=255).seconds(TABLE) > boosting > Boosting(max_leaves=7).seconds(TABLE)
    network = Network().seconds(TABLE)
    assert Network(batch_size=16).seconds(TABLE) > network > Network(max_epochs=5).seconds(TABLE)


@pytest.mark.slow
@pytest.mark.parametrize("settings", [Linear(), Boosting(), Network()], ids=lambda settings: settings.name)
def test_the_seconds_are_about_those_of_a_fit(settings: Settings) -> None:
    dataset = read(hpc_path(), "class")
    _, features = fit_encoder(dataset.frame, dataset.columns, dataset.target, len(dataset.classes))
    examples = Examples(features, dataset.target, len(dataset.classes))
    held_out = np.arange(len(dataset)) % 5 == 0
    train, valid = examples.take(~held_out), examples.take(held_out)
    size = Size(
        rows=len(train.target),
        numbers=features.numbers.shape[1],
        codes=features.codes.shape[1],
        ngrams=0,
        classes=len(dataset.classes),
    )
    task = Task(train=train, valid=valid, objective=Objective(), rng=np.random.default_rng(0))
    began = time.process_time()
    model_of(settings).fit(settings, task)
    # Processors differ by several times; a constant that was lost or doubled in the exponent is off by more.
    assert 1 / 8 < settings.seconds(size) / (time.process_time() - began) < 8


def test_settings_and_their_seconds_load_neither_torch_nor_lightgbm() -> None:
    code = (
        "import sys; from crossent.models.settings import Network; from crossent.models.costs import Size; "
        "Network().seconds(Size(rows=1000, numbers=3, codes=1, ngrams=0, classes=3)); "
        "assert not {'torch', 'lightgbm', 'pandas'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
