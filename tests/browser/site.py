"""A whole box for the browser: a home of its own, the real web server and worker as processes, fake machines behind them.

Nothing of it is pytest-django's: what the browser sees was committed, and the worker is another process, as in a real box.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cloudbox.box import postgres, test_home
from cloudbox.box.paths import Box
from cloudbox.box.plan import NOT_PUBLISHED

CHECKOUT = Path(__file__).resolve().parents[2]
START_SECONDS = 40.0


@dataclass
class Site:
    """Where it is and who may sign in. `things` are the ids of what `furnish` made; a real box given from outside has none."""

    url: str
    people: Mapping[str, tuple[str, str]]
    is_real: bool = False
    things: dict[str, str] = field(default_factory=dict)
    worker: subprocess.Popen[bytes] | None = None
    box: Box | None = None

    @contextmanager
    def held(self) -> Iterator[None]:
        """The worker stands still meanwhile, so that a state that would pass in a blink can be seen."""
        try:
            self._stop_worker()
            yield
        finally:
            if self.worker is not None:
                self.worker.send_signal(signal.SIGCONT)

    def _stop_worker(self) -> None:
        """At a moment when it is within no transaction: the web would wait for what it has locked."""
        if self.worker is None or self.box is None:
            return
        deadline = time.monotonic() + START_SECONDS
        while True:
            self.worker.send_signal(signal.SIGSTOP)
            time.sleep(0.1)  # what the database was doing for it is done
            if postgres.psql(self.box, "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'") == "0":
                return
            assert time.monotonic() < deadline, "the worker is always within a transaction"
            self.worker.send_signal(signal.SIGCONT)
            time.sleep(0.1)


def given() -> Site | None:
    """The box that somebody runs elsewhere and names by the environment."""
    url = os.environ.get("CLOUDBOX_BOX_URL", "").rstrip("/")
    if not url:
        return None
    return Site(url=url, people={"admin": (os.environ["CLOUDBOX_BOX_EMAIL"], os.environ["CLOUDBOX_BOX_PASSWORD"])}, is_real=True)


@contextmanager
def own() -> Iterator[Site]:
    """Started here, and gone at the end."""
    port = _free_port()
    with ExitStack() as stack:
        box = stack.enter_context(test_home.running(port=port))
        password = secrets.token_urlsafe(18)
        # An object store of its own, too: its pages send bodies straight there.
        store_port, admin_port = _free_port(), _free_port()
        box.write_config({"store_port": store_port, "store_admin_port": admin_port, "store_workers": 1})
        _manage(box, "migrate", "--no-input", "-v", "0")
        ignored = [word for pattern in NOT_PUBLISHED for word in ("--ignore", pattern)]
        _manage(box, "collectstatic", "--no-input", "-v", "0", *ignored)
        image = box.home / "demo.qcow2"
        image.write_bytes(_qcow2(64 * 2**20))
        seed = {"admin_email": "admin@cloudbox.local", "admin_password": password, "demo_image": str(image)}
        _manage(box, "seed_box", stdin=json.dumps(seed))
        worker = stack.enter_context(_process(box, "worker", [sys.executable, "manage.py", "worker"]))
        server = [
            sys.executable, "-m", "granian", "--interface", "asginl", "--host", "127.0.0.1", "--port", str(port),
            "--runtime-mode", "st", "--loop", "asyncio", "--http", "1", "cloudbox.asgi:application",
        ]  # fmt: skip
        web = stack.enter_context(_process(box, "web", server))
        store = stack.enter_context(_process(box, "store", [sys.executable, "manage.py", "dataplane"]))
        url = f"http://127.0.0.1:{port}"
        _wait(f"{url}/healthz", box, "web", web)
        _wait(f"http://127.0.0.1:{admin_port}/healthz", box, "store", store)
        made = json.loads(_run(box, [sys.executable, "-m", "tests.browser.furnish"]).splitlines()[-1])
        people = {"admin": (seed["admin_email"], password), **{who: tuple(pair) for who, pair in made["people"].items()}}
        yield Site(url=url, people=people, things=made["things"], worker=worker, box=box)


def _environment(box: Box) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("CLOUDBOX_TEST", "DJANGO_SETTINGS_MODULE")}
    return kept | {"CLOUDBOX_HOME": str(box.home), "PYTHONPATH": str(CHECKOUT), "PYTHONDONTWRITEBYTECODE": "1"}


def _run(box: Box, argv: list[str], *, stdin: str = "") -> str:
    done = subprocess.run(argv, cwd=CHECKOUT, env=_environment(box), input=stdin, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(argv)}: {done.stderr[-2000:]}"
    return done.stdout


def _manage(box: Box, *words: str, stdin: str = "") -> str:
    return _run(box, [sys.executable, "manage.py", *words], stdin=stdin)


@contextmanager
def _process(box: Box, name: str, argv: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    with (box.logs / f"{name}.log").open("ab") as out:
        process = subprocess.Popen(argv, cwd=CHECKOUT, env=_environment(box), stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(url: str, box: Box, name: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise AssertionError(f"{name} did not start: {(box.logs / f'{name}.log').read_text()[-2000:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _qcow2(virtual_bytes: int) -> bytes:
    """As much of a qcow2 file as the catalogue reads: the magic, and the size of the disk inside."""
    head: Any = bytearray(104)
    head[0:8] = b"QFI\xfb\x00\x00\x00\x03"
    head[24:32] = virtual_bytes.to_bytes(8, "big")
    return bytes(head)
