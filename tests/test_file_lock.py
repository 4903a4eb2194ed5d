import subprocess
import sys
import time
from pathlib import Path

import pytest

from crossent.file_lock import lock

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such locks")

HOLD = """
import sys, time
from pathlib import Path
from crossent.file_lock import lock
with lock(Path(sys.argv[1]), 0) as state:
    print(state, flush=True)
    time.sleep(60)
"""


def test_another_process_holds_it_until_it_ends_however(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text("{}")
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with lock(path, 0.1) as state:
        assert state == "taken"
    holder.kill()
    began = time.monotonic()
    with lock(path, 20) as state:
        assert state == "held"
    assert time.monotonic() - began < 15
    holder.communicate()
    assert path.read_text() == "{}"


def test_folders_have_one_too_and_what_is_missing_has_none(tmp_path: Path) -> None:
    with lock(tmp_path, 0) as first, lock(tmp_path, 0) as second, lock(tmp_path / "nowhere", 0) as third:
        assert (first, second, third) == ("held", "taken", "unknown")
    with lock(tmp_path, 0) as again:
        assert again == "held"
