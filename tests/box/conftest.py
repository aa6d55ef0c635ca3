"""A supervisor in a thread of its own process, with programs that are lines of shell."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cloudbox.box import control, proc
from cloudbox.box.paths import CHECKOUT, Box

MAIN = """
import json, os, pathlib, sys
from cloudbox.box.child import Spec
from cloudbox.box.supervisor import Supervisor
run = pathlib.Path(sys.argv[1])
specs = [Spec(log=run.parent / "logs" / (each["name"] + ".log"), env=dict(os.environ), **each) for each in json.loads(sys.argv[2])]
Supervisor(run, specs).serve()
"""


class Supervised:
    """A supervisor under test and its home."""

    def __init__(self, home: Path) -> None:
        self.box = Box(home)
        self.process: subprocess.Popen[bytes] | None = None
        for folder in ("run", "logs"):
            (home / folder).mkdir()

    def begin(self, *programs: dict[str, Any]) -> None:
        out = (self.box.logs / "supervisor.log").open("ab")
        argv = [sys.executable, "-c", MAIN, str(self.box.run), json.dumps(programs)]
        self.process = subprocess.Popen(
            argv, stdout=out, stderr=out, env={**os.environ, "PYTHONPATH": str(CHECKOUT)}, start_new_session=True
        )
        self.until(lambda: control.ask(self.box, "state") is not None)

    def of(self, name: str) -> dict[str, Any]:
        state = control.ask(self.box, "state")
        assert state is not None
        return dict(state["components"][name])

    def running(self, name: str) -> bool:
        return bool(self.of(name)["state"] == "running")

    def until(self, condition: Callable[[], Any], *, seconds: float = 60) -> Any:
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < deadline, (self.box.logs / "supervisor.log").read_text()
            time.sleep(0.02)
        return found

    def log(self) -> str:
        return (self.box.logs / "supervisor.log").read_text()

    def end(self) -> None:
        """Whatever the test did, none of its processes outlives it."""
        for record in control.recorded(self.box).values():
            if record["pid"] and proc.same(record["pid"], record["ticks"]):
                os.kill(record["pid"], signal.SIGKILL)
        if self.process is not None and self.process.poll() is None:
            control.ask(self.box, "quit")
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Supervised]:
    made = Supervised(tmp_path)
    yield made
    made.end()
