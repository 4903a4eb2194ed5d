import pytest
import torch

from crossent.train.batches import Batch, Batches


@pytest.mark.parametrize(("rows", "size"), [(400, 64), (7, 3), (5, 100), (1, 1), (128, 64)])
def test_an_epoch_sees_every_row_once_in_batches_of_nearly_one_size(rows: int, size: int) -> None:
    values = torch.arange(rows)
    batches = Batches((values.float(),), values, size, torch.Generator().manual_seed(0))
    first, second = (list(batches.epoch()) for _ in range(2))
    assert len(first) == len(batches)
    for epoch in (first, second):
        assert torch.equal(torch.cat([target for _, target in epoch]).sort().values, values)
        assert all(torch.equal(inputs[0].long(), target) for inputs, target in epoch)
        counts = [len(target) for _, target in epoch]
        assert max(counts) <= size
        assert max(counts) - min(counts) <= 1
    if rows > 100:
        assert not torch.equal(first[0][1], second[0][1])


def test_begins_within_an_epoch_where_it_is_told_to() -> None:
    values = torch.arange(20)

    def targets(first: int) -> list[list[int]]:
        batches = Batches((values,), values, 6, torch.Generator().manual_seed(3))
        return [target.tolist() for _, target in batches.epoch(first)]

    assert [targets(first) for first in range(5)] == [targets(0)[first:] for first in range(5)]


def test_changes_only_the_batches_that_it_yields() -> None:
    values, seen = torch.arange(20), []

    def double(batch: Batch) -> Batch:
        seen.append(batch)
        return tuple(value * 2 for value in batch[0]), batch[1]

    def add_one(batch: Batch) -> Batch:
        return tuple(value + 1 for value in batch[0]), batch[1]

    batches = list(Batches((values,), values, 5, torch.Generator().manual_seed(0), (double, add_one)).epoch(1))
    assert len(seen) == len(batches) == 3
    assert all(torch.equal(inputs[0], target * 2 + 1) for inputs, target in batches)
