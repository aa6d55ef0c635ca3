"""A box as people have it: `bin/cloudbox` for a home of its own, with every component real."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cloudbox.box import code
from cloudbox.box.paths import CHECKOUT, Box


class WholeBox:
    """bin/cloudbox for one home, of a checkout that nobody edits meanwhile."""

    def __init__(self, home: Path, checkout: Path) -> None:
        self.box = Box(home)
        self.program = str(checkout / "bin" / "cloudbox")
        # Nothing of the test run's own home may leak in.
        self.env = {key: value for key, value in os.environ.items() if not key.startswith(("CLOUDBOX_", "DJANGO_", "PYTHON"))}

    def __call__(self, verb: str, *words: str, expect: int = 0) -> subprocess.CompletedProcess[str]:
        argv = [self.program, verb, "--home", str(self.box.home), *words]
        done = subprocess.run(argv, capture_output=True, text=True, env=self.env, stdin=subprocess.DEVNULL, check=False)
        assert done.returncode == expect, done.stdout + done.stderr
        return done

    def status(self) -> dict[str, Any]:
        argv = [self.program, "status", "--json", "--home", str(self.box.home)]
        return dict(json.loads(subprocess.run(argv, capture_output=True, text=True, env=self.env, check=False).stdout))

    def component(self, name: str) -> dict[str, Any]:
        return next(each for each in self.status()["components"] if each["component"] == name)

    def credentials(self, kind: str) -> dict[str, str]:
        """What `credentials --format env | openrc | aws` would export."""
        lines = self("credentials", "--format", kind).stdout.splitlines()
        return dict(line.removeprefix("export ").split("=", 1) for line in lines if line.startswith("export "))

    def admin_password(self) -> str:
        return str(json.loads((self.box.secrets / "admin.json").read_text())["admin_password"])

    def wait(self, condition: Callable[[], Any], seconds: float = 60) -> Any:
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < deadline, json.dumps(self.status(), indent=1)
            time.sleep(0.3)
        return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def whole_box(frozen: Path) -> Iterator[WholeBox]:
    """A box that was not set up yet, of the checkout as it is now, copied to `frozen`; gone afterwards, whatever happened."""
    home = Path(tempfile.mkdtemp(prefix="cbx-up-", dir="/tmp"))
    for name in code.files():
        (frozen / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(CHECKOUT / name, frozen / name)
    box = WholeBox(home, frozen)
    try:
        yield box
    finally:
        if box.box.exists:
            box("reset", "--yes")
        shutil.rmtree(home, ignore_errors=True)
