"""Slow and endless bodies, against a running web server of the box: others are served meanwhile, and the slow ones end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cloudbox.bodies import BoundedBodies

CHECKOUT = Path(__file__).resolve().parents[2]
BODY_SECONDS = 2
SLOW = 60
PATIENCE = 30


@dataclass(frozen=True)
class Web:
    port: int

    def connect(self) -> socket.socket:
        one = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return one

    def answers(self) -> bool:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=PATIENCE) as answer:
            return bool(answer.status == 200)


@pytest.fixture(scope="module")
def web(box_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """The web server as the box starts it, on the test run's services, with a shorter patience."""
    home = tmp_path_factory.mktemp("web")
    for name in ("run", "secrets"):
        (home / name).symlink_to(box_home / name)
    (home / "box.json").write_text(json.dumps(json.loads((box_home / "box.json").read_text()) | {"body_seconds": BODY_SECONDS}))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    argv = [
        sys.executable, "-m", "granian", "cloudbox.asgi:application", "--interface", "asginl", "--host", "127.0.0.1", "--port", str(port),
        "--workers", "1", "--runtime-mode", "st", "--loop", "asyncio", "--http", "1",
    ]  # fmt: skip
    kept = {name: value for name, value in os.environ.items() if name not in ("CLOUDBOX_TEST", "DJANGO_SETTINGS_MODULE")}
    with (home / "web.log").open("wb") as out:
        process = subprocess.Popen(argv, cwd=CHECKOUT, env=kept | {"CLOUDBOX_HOME": str(home)}, stdout=out, stderr=out)
    found = Web(port)
    try:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and process.poll() is None:
            with contextlib.suppress(OSError):
                if found.answers():
                    break
            time.sleep(0.1)
        else:
            raise AssertionError((home / "web.log").read_text()[-2000:])
        yield found
    finally:
        process.terminate()
        process.wait(PATIENCE)


def _head(path: str, length: int | None) -> bytes:
    how = f"Content-Length: {length}" if length is not None else "Transfer-Encoding: chunked"
    kind = "application/json" if path.startswith("/api/") else "application/x-www-form-urlencoded"
    return f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\n{how}\r\n\r\n".encode()


def _answer(one: socket.socket) -> tuple[int, str, str]:
    """Status, content type and body; the connection ends after it."""
    raw = b""
    with contextlib.suppress(ConnectionResetError):
        while data := one.recv(65536):
            raw += data
    head, _, body = raw.partition(b"\r\n\r\n")
    kind = next((line[14:] for line in head.decode().split("\r\n") if line.lower().startswith("content-type: ")), "")
    return int(head.split()[1]), kind, body.decode()


@pytest.mark.parametrize("path", ["/sign-in", "/api/v1/projects/shop/instances"])
@pytest.mark.parametrize("length", [100_000, None])
def test_slow_senders_end_and_hold_up_nobody(path: str, length: int | None, web: Web) -> None:
    """Many connections send a byte now and then. All of them are told that they were too slow; others are answered meanwhile."""
    slow = [web.connect() for _ in range(SLOW)]
    for one in slow:
        one.sendall(_head(path, length))
    began, served = time.monotonic(), 0
    while time.monotonic() - began < BODY_SECONDS * 0.8:
        for one in slow:
            one.sendall(b"a" if length is not None else b"1\r\na\r\n")
        assert web.answers()
        served += 1
    assert served > 0
    for one in slow:
        status, kind, said = _answer(one)
        assert status == 408
        assert f"took over {BODY_SECONDS} seconds" in said
        assert kind == ("application/problem+json" if path.startswith("/api/") else "text/plain; charset=utf-8")
        one.close()
    assert web.answers()


@pytest.mark.parametrize("length", [50_000_000_000, None])
def test_endless_bodies_are_cut(length: int | None, web: Web) -> None:
    """By what the head says, or by counting: nothing is spooled."""
    with web.connect() as one:
        one.sendall(_head("/sign-in", length))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for _ in range(64):
                one.sendall(b"x" * 65536 if length is not None else b"10000\r\n" + b"x" * 65536 + b"\r\n")
        status, _, said = _answer(one)
    assert status == 413
    assert "KiB" in said


def test_who_hangs_up_leaves_nothing(web: Web) -> None:
    for _ in range(SLOW):
        with web.connect() as one:
            one.sendall(_head("/sign-in", 1000) + b"half")
    assert web.answers()


def test_a_body_in_time_is_answered(web: Web) -> None:
    """In pieces, and of the size that forms may have: what answers is the API behind it."""
    body = b'{"name": "' + b"a" * 900_000 + b'"}'
    with web.connect() as one:
        one.sendall(_head("/api/v1/projects/shop/instances", len(body)).replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        for place in range(0, len(body), 100_000):
            one.sendall(body[place : place + 100_000])
        assert _answer(one)[0] == 401


def test_a_body_comes_through_whole() -> None:
    """The application behind it gets all the bytes, at once, and then hears of the end of the connection."""
    heard = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        heard.append(await receive())
        heard.append(await receive())

    pieces = [{"type": "http.request", "body": bytes([n]) * 10, "more_body": n < 4} for n in range(5)] + [{"type": "http.disconnect"}]

    async def receive() -> Any:
        return pieces.pop(0)

    async def talk() -> None:
        scope = {"type": "http", "method": "POST", "path": "/", "headers": []}
        await BoundedBodies(app, bytes_max=50, seconds=5)(scope, receive, None)

    asyncio.run(talk())
    whole = b"".join(bytes([n]) * 10 for n in range(5))
    assert heard == [{"type": "http.request", "body": whole, "more_body": False}, {"type": "http.disconnect"}]
