"""Fixtures that the folders of tests share: `world`, and fake drivers in a folder of the test's own."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cloudbox.common import object_client
from compute import host
from tests import world as worlds

_taken = socket.socket()
_taken.bind(("127.0.0.1", 0))
# Nobody listens on a port that is only taken: who connects is refused at once, on every machine.
DEAD_STORE = f"http://127.0.0.1:{_taken.getsockname()[1]}"


@pytest.fixture
def machine_home(short_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """New fake drivers on an empty folder: what a test leaves behind can be seen, and no other test sees it."""
    settings.HOME, settings.DRIVERS = short_path, "fake"
    # Another box on this machine may run an object store, which is none of the test's.
    settings.STORE_URL = DEAD_STORE
    monkeypatch.setattr(object_client, "TRIES", 0)
    host.reset()
    yield short_path
    host.reset()


@pytest.fixture
def plain_static(settings: Any) -> None:
    """Pages name static files as they lie in the source: nothing is collected for a test."""
    plain = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    settings.STORAGES = {**settings.STORAGES, "staticfiles": plain}


class _Hub(socketserver.StreamRequestHandler):
    """One question, one answer: what the worker's console hub says of a log."""

    def handle(self) -> None:
        self.rfile.readline()
        self.wfile.write(b'{"ok": true}\nlogin: ')


@pytest.fixture
def hub(settings: Any, short_path: Path) -> Iterator[None]:
    """A console hub that knows one log."""
    settings.RUN_DIR = short_path
    with socketserver.ThreadingUnixStreamServer(f"{short_path}/console.sock", _Hub) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield
        server.shutdown()


@pytest.fixture
def world(db: None, machine_home: Path, plain_static: None) -> worlds.World:
    return worlds.build()
