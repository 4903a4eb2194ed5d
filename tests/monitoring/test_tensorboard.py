import gc
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from crossent.errors import DiskError
from crossent.logits import LabelledLogits
from crossent.monitoring import tensorboard
from crossent.monitoring.records import EpochRecord
from crossent.monitoring.tensorboard import TensorBoardWriter, histogram_values, write_settings
from tests.conftest import size_limit

HISTOGRAMS = ("logits/true class", "logits/other classes", "confidence/all rows", "confidence/wrong rows")
PICTURES = {"held out/reliability", "held out/confusion"}


def draw(n: int = 60, classes: int = 3) -> LabelledLogits:
    rng = np.random.default_rng(0)
    return LabelledLogits(rng.normal(size=(n, classes)).astype(np.float32), rng.integers(classes, size=n))


def record(epoch: int, refinement: float | None = None) -> EpochRecord:
    held_out = None if refinement is None else draw()
    return EpochRecord("network", 1, 1, epoch, 9, 1 / epoch, 2 / epoch, refinement=refinement, held_out=held_out)


def read(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder), {"scalars": 0, "histograms": 0, "images": 0}).Reload()


def steps(events: list[Any]) -> list[int]:
    return [event.step for event in events]


@pytest.fixture
def costly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorboard, "_HISTOGRAM_SECONDS", 1e9)
    monkeypatch.setattr(tensorboard, "_FIGURE_SECONDS", 1e9)


@pytest.mark.usefixtures("costly")
def test_what_costs_too_much_is_drawn_once_in_the_end_and_figures_of_the_best_epoch(tmp_path: Path) -> None:
    with TensorBoardWriter(tmp_path, ("a", "b", "c")) as board:
        for epoch, refinement in ((1, 0.9), (2, 0.5), (3, 0.7)):
            board.write(record(epoch, refinement))
    events = read(tmp_path / "network")
    assert steps(events.Scalars("loss/train")) == [1, 2, 3]
    assert set(events.Tags()["histograms"]) == set(HISTOGRAMS)
    assert set(events.Tags()["images"]) == PICTURES
    assert steps(events.Histograms("logits/true class")) == [3]
    assert steps(events.Images("held out/confusion")) == [2]
    assert events.Images("held out/confusion")[0].encoded_image_string.startswith(b"\x89PNG")


def test_what_costs_little_is_drawn_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorboard, "HISTOGRAM_SHARE", 1e9)
    monkeypatch.setattr(tensorboard, "FIGURE_SHARE", 1e9)
    with TensorBoardWriter(tmp_path) as board:
        for epoch, refinement in ((1, 0.9), (2, 1.0), (3, 0.7), (4, 0.8)):
            board.write(record(epoch, refinement))
    events = read(tmp_path / "network")
    assert steps(events.Histograms("confidence/all rows")) == [1, 2, 3, 4]
    assert steps(events.Images("held out/reliability")) == [1, 3]


@pytest.mark.usefixtures("costly")
def test_a_folder_is_gone_on_with_and_what_came_later_before_is_hidden(tmp_path: Path) -> None:
    for epochs in ((1, 2, 3, 4), (3, 4, 5)):
        with TensorBoardWriter(tmp_path) as board:
            for epoch in epochs:
                board.write(record(epoch, 1 / epoch))
    events = read(tmp_path / "network")
    assert steps(events.Scalars("loss/train")) == [1, 2, 3, 4, 5]
    assert steps(events.Images("held out/confusion")) == [5]
    assert len(list((tmp_path / "network").iterdir())) == 2


def test_logits_that_are_not_finite_are_left_out(tmp_path: Path) -> None:
    held_out = draw()
    held_out.logits[3, 1] = np.nan
    with TensorBoardWriter(tmp_path) as board:
        board.write(EpochRecord("network", 1, 1, 1, 9, 1.0, float("nan"), held_out=held_out))
    tags = read(tmp_path / "network").Tags()
    assert not tags["histograms"]
    assert not tags["images"]


def test_histograms_hold_every_logit_in_its_place() -> None:
    held_out = draw(100, 4)
    true, others, confidence, wrong = (value.histo for value in histogram_values(held_out))
    rows = np.arange(100)
    assert (true.num, others.num, confidence.num) == (100, 300, 100)
    np.testing.assert_allclose(true.sum, held_out.logits[rows, held_out.target].sum(), rtol=1e-5)
    np.testing.assert_allclose(true.sum + others.sum, held_out.logits.sum(), rtol=1e-4)
    assert wrong.num == (held_out.logits.argmax(axis=1) != held_out.target).sum()
    assert 0.25 <= confidence.min < confidence.max <= 1
    # Rows all right have no histogram of those that are wrong; many are thinned.
    right = LabelledLogits(np.eye(3, dtype=np.float32), np.arange(3))
    assert tuple(value.tag for value in histogram_values(right)) == HISTOGRAMS[:3]
    assert histogram_values(draw(500_000, 2))[1].histo.num <= 50_000


def ask(url: str, post: object = None) -> Any:
    data = None if post is None else json.dumps(post).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        body = answer.read()
        return json.loads(body) if "json" in answer.headers["Content-Type"] else body


def ask_until(ready: Callable[[Any], bool], url: str, post: object = None) -> Any:
    """Ask until the answer is as it shall be: the server reads the files in its own time."""
    end = time.monotonic() + 60
    answer = None
    while time.monotonic() < end:
        try:
            answer = ask(url, post)
        except (urllib.error.URLError, ConnectionError):
            answer = None
        if answer and ready(answer):
            return answer
        time.sleep(0.5)
    raise AssertionError(f"{url}: {answer}")


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder), "--port", str(port)]
    environment = {**os.environ, "NO_PROXY": "*"}
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    try:
        yield f"http://127.0.0.1:{port}/data/plugin"
    finally:
        server.terminate()
        server.wait()


@pytest.mark.slow
def test_tensorboard_serves_what_was_written(tmp_path: Path) -> None:
    board_folder = tmp_path / "mine" / "tensorboard"
    for epochs in ((1, 2, 3), (3, 4)):
        with TensorBoardWriter(board_folder, ("a", "b", "c")) as board:
            for epoch in epochs:
                board.write(record(epoch, 1 / epoch))
                board.write(EpochRecord("boosting", 2, 5, epoch, 3, 0.5, 0.25))
    write_settings(board_folder, {"model": "network", "C": None, "dropout": 0.1}, {"log loss": 0.25})
    write_settings(tmp_path / "other" / "tensorboard", {"model": "linear", "C": 2.0}, {"log loss": 0.5})
    network = "mine/tensorboard/network"
    with serve(tmp_path) as base:
        tags = ask_until(lambda found: len(found) == 4, f"{base}/scalars/tags")
        assert set(tags) == {
            network,
            "mine/tensorboard/boosting-fold-2",
            "mine/tensorboard/final",
            "other/tensorboard/final",
        }
        assert set(tags[network]) == {"loss/train", "loss/held out", "loss/held out, best temperature"}
        query = urllib.parse.urlencode({"run": network, "tag": "loss/held out"})
        points = ask(f"{base}/scalars/scalars?{query}")
        assert [point[1] for point in points] == [1, 2, 3, 4]
        np.testing.assert_allclose([point[2] for point in points], [2, 1, 2 / 3, 1 / 2], rtol=1e-6)

        tags = ask_until(lambda found: network in found, f"{base}/histograms/tags")
        assert set(tags[network]) == set(HISTOGRAMS)
        query = urllib.parse.urlencode({"run": network, "tag": "logits/true class"})
        last = ask(f"{base}/histograms/histograms?{query}")[-1]
        assert last[1] == 4
        np.testing.assert_allclose(sum(count for _, _, count in last[2]), 60)

        tags = ask_until(lambda found: network in found, f"{base}/images/tags")
        assert set(tags[network]) == PICTURES
        query = urllib.parse.urlencode({"run": network, "tag": "held out/confusion", "sample": 0})
        picture = ask(f"{base}/images/images?{query}")[-1]
        assert picture["step"] == 4
        assert ask(f"{base}/images/individualImage?{picture['query']}").startswith(b"\x89PNG")

        experiment = ask(f"{base}/hparams/experiment", {})
        assert {info["name"] for info in experiment["hparamInfos"]} == {"model", "C", "dropout"}
        metrics = [info["name"] for info in experiment["metricInfos"]]
        assert metrics == [{"tag": "final/log loss", "group": ""}]
        wanted = {
            "colParams": [{"metric": metrics[0], "order": "ORDER_ASC"}],
            "sliceSize": 9,
            "allowedStatuses": ["STATUS_SUCCESS"],
        }
        groups = ask(f"{base}/hparams/session_groups", wanted)["sessionGroups"]
        assert [group["name"] for group in groups] == ["mine/tensorboard/final", "other/tensorboard/final"]
        assert groups[0]["hparams"] == {"model": "network", "dropout": 0.1}
        assert [group["metricValues"][0]["value"] for group in groups] == [0.25, 0.5]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit of the size of files")
def test_a_full_disk_is_one_error_that_names_the_file(tmp_path: Path) -> None:
    def write() -> None:
        with TensorBoardWriter(tmp_path) as board:
            for epoch in range(1, 40):
                board.write(EpochRecord("network", 1, 1, epoch, 40, 0.5, 0.6, train_accuracy=0.5))

    with size_limit(2000), pytest.raises(DiskError, match=r"network/events\.out\.tfevents\.\d+: File too large"):
        write()
    # A file that was not closed would complain now, and fail the test.
    gc.collect()
