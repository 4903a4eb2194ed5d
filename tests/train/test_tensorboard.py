import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crossent.train.monitor import EpochRecord
from crossent.train.tensorboard import TensorBoardWriter


def ask(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


@pytest.mark.slow
def test_tensorboard_serves_what_was_written(tmp_path: Path) -> None:
    with TensorBoardWriter(tmp_path) as board:
        for epoch in (1, 2, 3):
            board.write(EpochRecord("network", 1, 1, epoch, 3, 1 / epoch, 2 / epoch, temperature=1.5))
            board.write(EpochRecord("boosting", 2, 5, epoch, 3, 0.5, 0.25))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(tmp_path), "--port", str(port)]
    environment = {**os.environ, "NO_PROXY": "*"}
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    try:
        base = f"http://127.0.0.1:{port}/data/plugin/scalars"
        end = time.monotonic() + 60
        tags: dict[str, Any] = {}
        while len(tags) < 2 and time.monotonic() < end:
            time.sleep(0.5)
            try:
                tags = ask(f"{base}/tags")
            except (urllib.error.URLError, ConnectionError):
                continue
        assert set(tags) == {"network", "boosting-fold-2"}
        assert set(tags["network"]) == {"loss/train", "loss/held out", "calibration/temperature"}
        query = urllib.parse.urlencode({"run": "network", "tag": "loss/held out"})
        points = ask(f"{base}/scalars?{query}")
        assert [point[1] for point in points] == [1, 2, 3]
        np.testing.assert_allclose([point[2] for point in points], [2, 1, 2 / 3], rtol=1e-6)
    finally:
        server.terminate()
        server.wait()
