"""Real worker processes, killed under load: see tests/probe/store.py, of which this is a short run."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from cloudbox.common.errors import Conflict
from storage.engine.locks import Locks
from tests.probe import outbox, store


@pytest.mark.slow
def test_kills_lose_nothing_acknowledged(tmp_path: Path) -> None:
    """Two workers on one index, four kills in their midst, the last one followed by the loss of the index."""
    assert store.trials(tmp_path, 4, 2, seed=11) > 0


@pytest.mark.slow
def test_kills_lose_no_event_of_an_acknowledged_change(tmp_path: Path) -> None:
    """The same for the queue of a bucket's events: see tests/probe/outbox.py."""
    assert outbox.trials(tmp_path, 4, 2, seed=12) > 0


def test_workers_that_start_together_after_a_kill_do_not_take_each_other_for_running(tmp_path: Path) -> None:
    """The first one stands in for the second to read its log; the second waits for that, and does not give up."""
    first = Locks(tmp_path, 0)
    came: list[Locks] = []
    with first.opening(), first.of(1) as standing:
        assert standing
        second = threading.Thread(target=lambda: came.append(Locks(tmp_path, 1)))
        second.start()
        second.join(0.2)
        assert not came
    second.join(10)
    (there,) = came
    with pytest.raises(Conflict, match="worker 1"):
        Locks(tmp_path, 1)
    there.close()
    first.close()
