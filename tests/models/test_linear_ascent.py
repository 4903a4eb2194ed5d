import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse

import crossent.models.linear_ascent as module
from crossent.calibration.temperature import best_temperature
from crossent.kinds.blocks import Features
from crossent.logits import mean_cross_entropy
from crossent.models.linear import FittedLinear, fit
from crossent.models.model import Examples, Task
from crossent.models.objective import Objective
from crossent.models.settings import Linear
from crossent.monitoring.records import EpochRecord

T = 60


def draw(rows: int, seed: int) -> Examples:
    """Three classes that follow from sparse features, a number and a category together."""
    rng = np.random.default_rng(seed)
    texts = scipy.sparse.random_array((rows, T), density=0.15, format="csr", rng=rng, dtype=np.float32)
    numbers = rng.normal(size=(rows, 1)).astype(np.float32)
    codes = rng.integers(4, size=(rows, 1)).astype(np.int32)
    weight = np.random.default_rng(99).normal(size=(T, 3)) * 3
    logits = texts @ weight + numbers * [1.0, 0.0, -1.0] + (codes == 2) * [0.0, 2.0, 0.0]
    target = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    return Examples(Features(numbers, codes, (4,), texts), target, 3)


def fit_to(train: Examples, C: float | None = None) -> FittedLinear:
    return fit(Linear(C=C), Task(train=train, valid=None, objective=Objective(), rng=np.random.default_rng(0)))


def test_every_sort_of_feature_has_a_say() -> None:
    train, test = draw(1500, 1), draw(1500, 2)
    whole = mean_cross_entropy(fit_to(train, 1.0).logits(test.features), test.target)
    for part in ("numbers", "codes", "ngrams"):
        blank = {part: getattr(train.features, part) * 0}
        without = dataclasses.replace(train, features=dataclasses.replace(train.features, **blank))
        lost = mean_cross_entropy(fit_to(without, 1.0).logits(test.features), test.target)
        assert lost > whole + 0.01, part


def test_rows_held_out_choose_the_penalty() -> None:
    train, valid = draw(60, 1), draw(400, 2)
    records: list[EpochRecord] = []

    def watch(record: EpochRecord) -> bool:
        records.append(record)
        return False

    chosen = fit(
        Linear(), Task(train=train, valid=valid, objective=Objective(), rng=np.random.default_rng(0), on_epoch=watch)
    )
    losses = []
    for strength in module.PATH:
        logits = fit_to(train, strength).logits(valid.features)
        losses.append(mean_cross_entropy(logits / best_temperature(logits, valid.target), valid.target))
    assert losses[module.PATH.index(chosen.C)] < min(losses) + 0.01
    assert [record.epoch for record in records] == list(range(1, len(records) + 1))
    train_losses = [record.train_loss for record in records]
    assert train_losses == sorted(train_losses, reverse=True)


def test_it_ends_when_it_is_told_to() -> None:
    fitted = fit(
        Linear(),
        Task(
            train=draw(200, 1),
            valid=draw(100, 2),
            objective=Objective(),
            rng=np.random.default_rng(0),
            on_epoch=lambda _: True,
        ),
    )
    assert fitted.C in module.PATH[:2]


# Saves the probabilities of every model that has an optimum, by the kernels that the environment asks for.
FIT_ALL = """
import sys
import numpy as np
import scipy.sparse
import crossent as ce
from crossent.kinds.blocks import Features
from crossent.logits import log_softmax
from crossent.models.linear import fit
from crossent.models.model import Examples, Task
from crossent.models.objective import Objective
from crossent.models.settings import Linear

rng, found, strengths = np.random.default_rng(0), {}, [float(C) for C in sys.argv[3].split()]
for K in map(int, sys.argv[2].split()):
    n = 150
    codes, numbers = rng.integers(4, size=(n, 1)).astype(np.int32), rng.normal(size=(n, 2)).astype(np.float32)
    texts = scipy.sparse.random_array((n, 2000), density=0.02, format="csr", rng=rng, dtype=np.float32)
    scores = texts @ rng.normal(size=(2000, K)) * 3 + numbers @ rng.normal(size=(2, K)) + rng.gumbel(size=(n, K))
    target, shares = scores.argmax(axis=1), rng.dirichlet(np.full(K, 0.3), n).astype(np.float32)
    weight = Objective(class_weight=rng.uniform(0.2, 5, K).astype(np.float32))
    features = {
        "linear": Features(numbers, codes, (4,), None),
        "text": Features(numbers, codes, (4,), texts),
        "texts": Features(numbers[:, :0], codes[:, :0], (), texts),
    }
    for name, of_model in features.items():
        certain, soft = Examples(of_model, target, K), Examples(of_model, shares.argmax(axis=1), K, shares)
        kinds = {
            "plain": (certain, Objective()),
            "weighted": (certain, weight),
            "smoothed": (certain, Objective(label_smoothing=0.1)),
            "soft": (soft, Objective()),
        }
        for C in strengths:
            for kind, (rows, objective) in kinds.items():
                task = Task(train=rows, valid=None, objective=objective, rng=np.random.default_rng(0))
                fitted = fit(Linear(C=C), task)
                found[f"{name} {K} {C} {kind}"] = np.exp(log_softmax(fitted.logits(of_model)))
    for C in strengths:
        for class_weight in (None, "balanced"):
            for name, rows in (("dense", numbers), ("sparse", texts), ("wide", texts.astype(np.float64))):
                fitted = ce.SoftmaxRegression(C=C, class_weight=class_weight).fit(rows, target)
                found[f"{name} {K} {C} {class_weight}"] = fitted.predict_proba(rows)
np.savez(sys.argv[1], **found)
"""


@pytest.mark.parametrize(
    ("classes", "strengths", "levels"),
    [("20", "32", ("off",)), pytest.param("3 20", "0.5 128", ("off", "baseline"), marks=pytest.mark.slow)],
)
def test_every_linear_model_is_the_same_with_and_without_kernels(
    classes: str, strengths: str, levels: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {}
    for level in ("", *levels):
        path = tmp_path / f"{level}.npz"
        arguments = ["-c", str(path), classes, strengths]
        if level:
            command = [sys.executable, "-c", FIT_ALL, *arguments[1:]]
            subprocess.run(command, env=os.environ | {"CROSSENT_KERNELS": level}, check=True, timeout=600)
        else:
            # This process has the kernels already.
            monkeypatch.setattr(sys, "argv", arguments)
            exec(FIT_ALL, {})
        with np.load(path) as arrays:
            found[level] = dict(arrays)
    assert len(found[""]) == len(classes.split()) * len(strengths.split()) * (3 * 4 + 2 * 3)
    for level in levels:
        far = {name: np.abs(found[level][name] - probs).max() for name, probs in found[""].items()}
        assert max(far.values()) < 1e-4, sorted(far.items(), key=lambda item: -item[1])[:5]
