"""A front that runs in a thread of the test, and a client that says exactly the bytes it is told to."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any

import uvloop

from storage.server.access_log import AccessLog
from storage.server.limits import DEFAULT, Limits
from storage.server.messages import App
from storage.server.metrics import Metrics
from storage.server.worker import Front

PATIENCE_SECONDS = 30.0  # of the client; a test that waits so long has failed


@dataclasses.dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes
    head: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


class Client:
    """One connection."""

    def __init__(self, port: int, *, tls: ssl.SSLContext | None = None, receive_bytes: int | None = None) -> None:
        self.sock = socket.socket()
        if receive_bytes:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.sock.settimeout(PATIENCE_SECONDS)
        self.sock.connect(("127.0.0.1", port))
        if tls:
            self.sock = tls.wrap_socket(self.sock, server_hostname="localhost")
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.sock.makefile("rb")

    def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.sock.sendall(piece)

    def ask(self, target: str, *, method: str = "GET", headers: str = "", body: bytes = b"") -> Answer:
        length = f"Content-Length: {len(body)}\r\n" if body or method in ("PUT", "POST") else ""
        self.send(f"{method} {target} HTTP/1.1\r\nHost: here\r\n{length}{headers}\r\n".encode() + body)
        return self.answer(method=method)

    def answer(self, *, method: str = "GET") -> Answer:
        """The next answer. Raises EOFError if the connection ends before it does."""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = self.file.readline(100_000)
            if not line:
                raise EOFError(head)
            head += line
        lines = head[:-4].decode("latin-1").split("\r\n")
        status = int(lines[0].split(" ")[1])
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
        if method == "HEAD" or status in (204, 304) or status < 200:
            return Answer(status, headers, b"", head)
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(self._whole_line(), 16):
                body += self._read(size)
                assert self._read(2) == b"\r\n"
            assert self._read(2) == b"\r\n"
        elif "content-length" in headers:
            body = self._read(int(headers["content-length"]))
        else:
            body = self.file.read()
        return Answer(status, headers, body, head)

    def _whole_line(self) -> bytes:
        line = self.file.readline(1000)
        if not line.endswith(b"\n"):
            raise EOFError
        return line

    def _read(self, count: int) -> bytes:
        data = self.file.read(count)
        if len(data) != count:
            raise EOFError(f"{len(data)} of {count} bytes")
        return data

    def is_closed(self) -> bool:
        """Wait for the server's end of the connection; True if nothing came before it."""
        try:
            return self.file.read(1) == b""
        except ConnectionResetError:
            return True

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.file.close()
            self.sock.close()

    def reset(self) -> None:
        """Hang up as a crashed client does."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class Running:
    """A front in a thread with an event loop of its own."""

    def __init__(self, app: App, limits: Limits, *, tls: ssl.SSLContext | None, access_log: AccessLog | None, sweep_seconds: float) -> None:
        self.metrics = Metrics()
        self._ready = threading.Event()
        self._arguments = (app, limits, tls, access_log, sweep_seconds)
        self.thread = threading.Thread(target=lambda: uvloop.run(self._run()), daemon=True)
        self.thread.start()
        assert self._ready.wait(PATIENCE_SECONDS)

    async def _run(self) -> None:
        app, limits, tls, access_log, sweep_seconds = self._arguments
        self.loop = asyncio.get_running_loop()
        self.front = Front(app, limits=limits, metrics=self.metrics, access_log=access_log, sweep_seconds=sweep_seconds)
        self.broken: list[dict[str, Any]] = []
        self.loop.set_exception_handler(lambda _, context: self.broken.append(context))
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            sock.listen(128)
            self.port = sock.getsockname()[1]
            await self.front.listen(sock, tls)
        self._stop = asyncio.Event()
        self._ready.set()
        await self._stop.wait()
        await self.front.drain(5)

    def call(self, function: Callable[[], Any]) -> Any:
        """Run it in the event loop's thread."""

        async def go() -> Any:
            return function()

        return asyncio.run_coroutine_threadsafe(go(), self.loop).result(PATIENCE_SECONDS)

    def connections(self) -> int:
        count: int = self.call(lambda: len(self.front.connections))
        return count

    def client(self, **more: Any) -> Client:
        return Client(self.port, **more)

    def stop(self) -> None:
        with contextlib.suppress(RuntimeError):  # It has stopped already.
            self.loop.call_soon_threadsafe(self._stop.set)
        self.thread.join(PATIENCE_SECONDS)
        assert not self.thread.is_alive()


@contextlib.contextmanager
def running(
    app: App, *, tls: ssl.SSLContext | None = None, access_log: AccessLog | None = None, sweep_seconds: float = 0.05, **limits: Any
) -> Iterator[Running]:
    """A front with these limits changed. At its end nothing may have gone wrong in the event loop behind everybody's back."""
    server = Running(app, dataclasses.replace(DEFAULT, **limits), tls=tls, access_log=access_log, sweep_seconds=sweep_seconds)
    try:
        yield server
    finally:
        server.stop()
    assert not server.broken, server.broken


def eventually(condition: Callable[[], bool]) -> None:
    """Wait until it holds."""
    waited = threading.Event()
    for _ in range(int(PATIENCE_SECONDS / 0.01)):
        if condition():
            return
        waited.wait(0.01)
    raise AssertionError("it did not come to pass")
