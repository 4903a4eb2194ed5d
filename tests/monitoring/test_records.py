from crossent.monitoring.records import EpochRecord, ignore_epoch, judged_loss


def test_the_default_watcher_stops_nothing() -> None:
    assert ignore_epoch(EpochRecord("network", 1, 1, 1, 9, 1.0, 1.1)) is False


def test_epochs_are_judged_by_refinement_and_else_by_held_out_loss() -> None:
    assert judged_loss(EpochRecord("network", 1, 1, 1, 9, 1.0, 1.1)) == 1.1
    assert judged_loss(EpochRecord("network", 1, 1, 1, 9, 1.0, 1.1, refinement=0.9)) == 0.9
    assert judged_loss(EpochRecord("network", 1, 1, 1, 9, 1.0, 1.1, refinement=float("nan"))) == float("inf")
