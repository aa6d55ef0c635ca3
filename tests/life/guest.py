"""The machine itself, as its owner reaches it: by ssh to its floating IP, from the host."""

from __future__ import annotations

import hashlib
import subprocess
import time
from pathlib import Path

PATIENCE = 180.0
OPTIONS = [
    "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR",
    "-o", "ConnectTimeout=4", "-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3",
]  # fmt: skip


class Guest:
    def __init__(self, address: str, key: Path) -> None:
        self.address, self.key = address, key

    def __call__(self, script: str) -> str:
        """What a line of shell prints. It fails the test when that fails."""
        done = self._run(script)
        assert done.returncode == 0, f"{script}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def _run(self, script: str) -> subprocess.CompletedProcess[str]:
        argv = ["ssh", *OPTIONS, "-i", str(self.key), f"root@{self.address}", script]
        return subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120, check=False)

    def answers(self) -> bool:
        return self._run("true").returncode == 0

    def until(self, script: str, wanted: str = "") -> str:
        """Wait until the line succeeds, and prints `wanted` if anything; it boots meanwhile, or a disk comes."""
        deadline = time.monotonic() + PATIENCE
        while True:
            done = self._run(script)
            said = done.stdout.strip()
            if done.returncode == 0 and (not wanted or said == wanted):
                return said
            assert time.monotonic() < deadline, f"{script}: {said} {done.stderr}"
            time.sleep(1)

    def disk(self, serial: str) -> str:
        """The device of the disk with this serial number, once it is there. (The guest has no udev that would link to it.)"""
        return self.until(
            f"for d in /sys/block/vd*; do [ \"$(cat $d/serial)\" = '{serial}' ] && echo /dev/${{d##*/}} && exit; done; exit 1"
        )


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
