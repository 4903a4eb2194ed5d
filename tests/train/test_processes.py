import itertools
import os
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from crossent.train.processes import Processes, joined_processes, one_process
from tests.train.together import EPOCHS, SLOW, Seen, draw_balanced, read_seen, train_all, train_network
from tests.train.torchrun import ROOT, torchrun


@pytest.fixture(scope="module")
def alone() -> dict[str, Seen]:
    return train_all(one_process())


@pytest.fixture(scope="module", params=[2, 3])
def together(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Seen]]:
    """What each of several processes saw."""
    folder = tmp_path_factory.mktemp("together")
    subprocess.run(torchrun(request.param, "tests.train.together", str(folder)), cwd=ROOT, check=True, timeout=300)
    return [read_seen(folder / f"{rank}.json") for rank in range(request.param)]


def test_one_process_leads_and_shares_with_none() -> None:
    processes = one_process()
    assert (processes.rank, processes.count, processes.leads) == (0, 1, True)
    value, summed = object(), torch.ones(3)
    assert processes.share(value) is value
    processes.sum(summed)
    processes.dismiss()
    assert torch.equal(summed, torch.ones(3))
    with joined_processes() as joined:
        assert joined == processes or joined.count == 1


def test_precision_is_that_of_products_alone() -> None:
    mixed = Processes(torch.device("cpu"), torch.bfloat16)
    with mixed.autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
    with one_process().autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
    exact, rounded = (train_network(one_process(), SLOW, bf16=bf16).losses for bf16 in (False, True))
    assert exact != rounded
    np.testing.assert_allclose(rounded, exact, rtol=0, atol=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["balanced", "long", "accumulated", "two rows", "network", "mixup"])
def test_losses_are_those_of_one_process(name: str, alone: dict[str, Seen], together: list[dict[str, Seen]]) -> None:
    losses = together[0][name].losses
    assert len(losses) == len(alone[name].losses) >= 2
    assert losses[-1] < losses[0]
    np.testing.assert_allclose(losses, alone[name].losses, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_all_processes_have_the_same_parameters_to_the_bit(together: list[dict[str, Seen]]) -> None:
    for name in set(together[0]) - {"fitted", "fitted by large batches"}:
        assert len({seen[name].digest for seen in together}) == 1, name


@pytest.mark.slow
def test_with_large_batches_two_processes_end_in_the_bits_of_one(
    alone: dict[str, Seen], together: list[dict[str, Seen]]
) -> None:
    """At the usual rate, where other sums, as those of three processes, lead elsewhere."""
    for name in ("large batches", "fitted by large batches"):
        assert (together[0][name] == alone[name]) == (len(together) == 2)


@pytest.mark.slow
def test_with_batches_too_small_to_divide_any_number_of_processes_ends_in_the_bits_of_one(
    alone: dict[str, Seen], together: list[dict[str, Seen]]
) -> None:
    assert together[0]["fitted"] == alone["fitted"]


@pytest.mark.slow
def test_the_rows_of_a_batch_are_shared_out_and_none_is_seen_twice_in_an_epoch(
    alone: dict[str, Seen], together: list[dict[str, Seen]]
) -> None:
    """Rows are oversampled before there are batches: what is balanced in one process must reach several unchanged."""
    whole = alone["balanced"].rows
    # Those that follow begin another batch before they learn that training has ended.
    parts = [seen["balanced"].rows[: len(whole)] for seen in together]
    assert [list(itertools.chain(*rows)) for rows in zip(*parts, strict=True)] == whole
    _, target = draw_balanced()
    steps = len(whole) // EPOCHS
    for epoch in range(EPOCHS):
        seen = [row for part in parts for rows in part[epoch * steps : (epoch + 1) * steps] for row in rows]
        assert sorted(seen) == list(range(len(target)))
        assert len(set(np.bincount(target[seen]))) == 1
    sizes = [len(rows) for step in zip(*parts, strict=True) for rows in step]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.slow
def test_where_lightning_fabric_is_missing_it_says_how_to_get_it(tmp_path: Path) -> None:
    # A module that cannot be imported stands in the way of the real one.
    (tmp_path / "lightning_fabric.py").write_text("raise ImportError('No module named lightning_fabric')")
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    began = time.monotonic()
    command = torchrun(2, "crossent", "demo")
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert done.stderr.count("pip install 'crossent[distributed]'") == 1
    assert time.monotonic() - began < 60
