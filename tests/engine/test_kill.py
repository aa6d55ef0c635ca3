"""Real worker processes, killed under load: see tests/probe/store.py, of which this is a short run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.probe import store


@pytest.mark.slow
def test_kills_lose_nothing_acknowledged(tmp_path: Path) -> None:
    """Two workers on one index, four kills in their midst, the last one followed by the loss of the index."""
    assert store.trials(tmp_path, 4, 2, seed=11) > 0
