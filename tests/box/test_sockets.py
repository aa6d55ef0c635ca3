"""A server that ends lets go of its WebSockets at once, and is gone long before its own patience is over."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

CHECKOUT = Path(__file__).resolve().parents[2]
PATIENCE = 30


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The box's web server, with patience for twenty seconds, on an application of ours."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    argv = [
        sys.executable, "-m", "granian", "tests.box.echo_app:application", "--host", "127.0.0.1", "--port", str(port), "--http", "1",
        "--interface", "asginl", "--workers", "1", "--runtime-mode", "st", "--loop", "asyncio", "--workers-kill-timeout", "20s",
    ]  # fmt: skip
    with (tmp_path / "log").open("wb") as out:
        process = subprocess.Popen(argv, cwd=CHECKOUT, stdout=out, stderr=out)
    try:
        yield process, port
    finally:
        process.kill()
        process.wait()


def opened(stack: contextlib.ExitStack, port: int, path: str = "/") -> ClientConnection:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            return stack.enter_context(connect(f"ws://127.0.0.1:{port}{path}"))
        time.sleep(0.1)
    raise AssertionError("the server does not listen")


def test_sockets_are_closed_when_the_server_ends(server: tuple[subprocess.Popen[bytes], int]) -> None:
    process, port = server
    with contextlib.ExitStack() as stack:
        sockets = [opened(stack, port), opened(stack, port), opened(stack, port, "/deaf")]
        for number, one in enumerate(sockets):
            one.send(f"hello {number}")
            assert one.recv(PATIENCE) == f"hello {number}"
        process.send_signal(signal.SIGTERM)
        for number, one in enumerate(sockets):
            with pytest.raises(ConnectionClosed) as caught:
                one.recv(PATIENCE)
            if number < 2:  # The deaf one's is cut with the process.
                assert caught.value.rcvd is not None
                assert caught.value.rcvd.code == 1012
        assert process.wait(PATIENCE) == 0
