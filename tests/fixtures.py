"""Fixtures that the folders of tests share: `world`, and fake drivers in a folder of the test's own."""

from __future__ import annotations

import socketserver
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from compute import host
from tests import world as worlds


@pytest.fixture
def machine_home(tmp_path: Path, settings: Any) -> Iterator[Path]:
    """New fake drivers on an empty folder: what a test leaves behind can be seen, and no other test sees it."""
    settings.HOME, settings.DRIVERS = tmp_path, "fake"
    host.reset()
    yield tmp_path
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
def hub(settings: Any) -> Iterator[None]:
    """A console hub that knows one log. Its folder has a short name: the path of a socket has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="hub-") as folder:
        settings.RUN_DIR = Path(folder)
        with socketserver.ThreadingUnixStreamServer(f"{folder}/console.sock", _Hub) as server:
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
            yield
            server.shutdown()


@pytest.fixture
def world(db: None, machine_home: Path, plain_static: None) -> worlds.World:
    return worlds.build()
