"""One peer of benchmarks/text.py, in a separate process; it prints its results as JSON.

It imports the project only when crossent is asked for, because fastText runs in another environment.
"""

import csv
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

LEAST_PROB = 1e-15


def crossent(settings: dict[str, Any], train: Path, test: Path, folder: Path) -> tuple[Any, list[str], float]:
    import pandas as pd  # noqa: PLC0415

    from crossent.data.read import read  # noqa: PLC0415
    from crossent.fitting.fit import fit  # noqa: PLC0415
    from crossent.fitting.recipe import Recipe  # noqa: PLC0415

    started = time.perf_counter()
    predictor = fit(read(str(train), "label"), Recipe(**settings)).predictor
    predictor.save(folder / "model")
    seconds = time.perf_counter() - started
    frame = pd.read_csv(test, dtype=str, keep_default_na=False)
    return predictor.probs(frame), [str(label) for label in predictor.classes], seconds


def scikit_learn(settings: dict[str, Any], train: Path, test: Path, folder: Path) -> tuple[Any, list[str], float]:
    import warnings  # noqa: PLC0415

    import joblib  # noqa: PLC0415
    import pandas as pd  # noqa: PLC0415
    from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: PLC0415
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415

    warnings.simplefilter("ignore")
    started = time.perf_counter()
    frame = pd.read_csv(train, dtype=str, keep_default_na=False)
    vectorizer = TfidfVectorizer(
        analyzer=settings["analyzer"],
        ngram_range=(1, 2) if settings["analyzer"] == "word" else (2, 5),
        sublinear_tf=True,
        min_df=2,
        max_features=settings.get("most"),
        dtype=np.float32,
    )
    model = make_pipeline(
        vectorizer, LogisticRegression(C=settings["C"], max_iter=settings.get("steps", 300), tol=1e-3)
    )
    model.fit(frame["text"], frame["label"])
    joblib.dump(model, folder / "model.joblib")
    seconds = time.perf_counter() - started
    new = pd.read_csv(test, dtype=str, keep_default_na=False)
    return model.predict_proba(new["text"]), list(model.classes_), seconds


def fasttext(settings: dict[str, Any], train: Path, test: Path, folder: Path) -> tuple[Any, list[str], float]:
    import fasttext as library  # noqa: PLC0415

    started = time.perf_counter()
    model = library.train_supervised(str(train.with_suffix(".lines")), wordNgrams=2, thread=2, verbose=0, **settings)
    model.save_model(str(folder / "model.bin"))
    seconds = time.perf_counter() - started
    with train.open(encoding="utf-8", newline="") as file:
        classes = sorted({row["label"] for row in csv.DictReader(file)})
    with test.open(encoding="utf-8", newline="") as file:
        texts = [" ".join(row["text"].split()) for row in csv.DictReader(file)]
    probs = np.zeros((len(texts), len(classes)))
    for i, (labels, found) in enumerate(zip(*model.predict(texts, k=-1), strict=True)):
        probs[i, [int(label.removeprefix("__label__")) for label in labels]] = found
    return probs, classes, seconds


RUN: dict[str, Callable[[dict[str, Any], Path, Path, Path], tuple[Any, list[str], float]]] = {
    "crossent": crossent,
    "scikit-learn": scikit_learn,
    "fasttext": fasttext,
}


def main() -> None:
    csv.field_size_limit(sys.maxsize)
    peer, settings, train, test, folder = sys.argv[1:]
    probs, classes, seconds = RUN[peer](json.loads(settings), Path(train), Path(test), Path(folder))
    with Path(test).open(encoding="utf-8", newline="") as file:
        target = np.array([classes.index(row["label"]) for row in csv.DictReader(file)])
    given = np.clip(probs[np.arange(len(target)), target], LEAST_PROB, 1)
    figures = {"accuracy": float((probs.argmax(axis=1) == target).mean()), "log_loss": float(-np.log(given).mean())}
    sys.stdout.write(json.dumps({**figures, "seconds": seconds}) + "\n")


if __name__ == "__main__":
    main()
