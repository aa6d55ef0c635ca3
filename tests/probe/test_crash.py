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
    run = subprocess.run(
        [sys.executable, "-m", "tests.probe.crash"],
        env=env,
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        timeout=1500,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-8000:] + run.stderr[-4000:]
