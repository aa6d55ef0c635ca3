"""Real worker processes, killed under load: see tests/probe/store.py, of which this is a short run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.probe import outbox, store


@pytest.mark.slow
def test_kills_lose_nothing_acknowledged(tmp_path: Path) -> None:
    """Two workers on one index, four kills in their midst, the last one followed by the loss of the index."""
    assert store.trials(tmp_path, 4, 2, seed=11) > 0


@pytest.mark.slow
def test_kills_lose_no_event_of_an_acknowledged_change(tmp_path: Path) -> None:
    """The same for the queue of a bucket's events: see tests/probe/outbox.py."""
    assert outbox.trials(tmp_path, 4, 2, seed=12) > 0
