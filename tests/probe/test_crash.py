"""Shows that a crash at any step of launch and delete leaves no orphan and no lie, by killing the real worker, libvirtd and QEMU there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.machines, pytest.mark.slow, pytest.mark.timeout(1800)]


def test_nothing_is_left_behind_wherever_it_dies() -> None:
    env = {key: value for key, value in os.environ.items() if key not in ("CLOUDBOX_HOME",)}
    words = [sys.executable, "-m", "tests.probe.crash"]
    try:
        run = subprocess.run(words, env=env, cwd=Path(__file__).resolve().parents[2], capture_output=True, timeout=1700, check=False)
    except subprocess.TimeoutExpired as late:
        pytest.fail(f"It did not end in time; so far: {(late.stdout or b'').decode()[-8000:]}")
    assert run.returncode == 0, (run.stdout[-8000:] + run.stderr[-4000:]).decode()
