"""An application that does a little of everything an application may do."""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
from collections.abc import AsyncIterator

from storage.server import Request, Response, in_task

BIG = os.urandom(1 << 20) * 5 + b"the end"


class Stretch:
    """A part of a file for sendfile."""

    open = 0

    def __init__(self, data: bytes, offset: int, count: int) -> None:
        with tempfile.TemporaryFile() as file:
            file.write(data)
            file.flush()
            self.fd = os.dup(file.fileno())
        self.offset = offset
        self.count = count
        Stretch.open += 1

    def close(self) -> None:
        os.close(self.fd)
        Stretch.open -= 1


class Marks:
    """What the application saw, for the test to look at."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.errors: list[BaseException] = []
        self.closed = 0
        self.go = asyncio.Event()


class Everything:
    def __init__(self) -> None:
        self.marks = Marks()

    async def __call__(self, request: Request) -> Response:
        self.marks.seen.append(request.path.decode("latin-1"))
        name = request.path.decode("latin-1").strip("/").split("/")[0].replace("-", "_")
        handler = getattr(self, f"do_{name}", None)
        if handler is None:
            return Response(404, {"Content-Type": "text/plain"}, b"nothing here\n")
        try:
            response: Response = await handler(request)
        except BaseException as error:
            self.marks.errors.append(error)
            raise
        return response

    async def do_hello(self, request: Request) -> Response:
        return Response(200, {"Content-Type": "text/plain"}, b"hello\n")

    async def do_late(self, request: Request) -> Response:
        await in_task()
        async with asyncio.timeout(10):
            await asyncio.sleep(0.01)
        return Response(200, {}, b"late\n")

    async def do_wait(self, request: Request) -> Response:
        await self.marks.go.wait()
        return Response(200, {}, b"waited\n")

    async def do_echo(self, request: Request) -> Response:
        return Response(200, {}, await request.body.read_all(64 << 20))

    async def do_small(self, request: Request) -> Response:
        return Response(200, {}, await request.body.read_all(10))

    async def do_digest(self, request: Request) -> Response:
        digest = hashlib.sha256()
        async for piece in request.body:
            digest.update(piece)
        return Response(200, {}, digest.hexdigest().encode())

    async def do_into(self, request: Request) -> Response:
        """In buffers of a size that fits nothing."""
        digest, buffer, calls = hashlib.sha256(), memoryview(bytearray(1_000_003)), 0
        while count := await request.body.read_into(buffer):
            digest.update(buffer[:count])
            calls += 1
        return Response(200, {"Calls": str(calls)}, digest.hexdigest().encode())

    async def do_bytes(self, request: Request) -> Response:
        return Response(200, {}, BIG)

    async def do_pieces(self, request: Request) -> Response:
        return Response(200, {}, self._pieces(), length=len(BIG) if request.query == b"length" else None)

    async def _pieces(self) -> AsyncIterator[bytes]:
        try:
            for at in range(0, len(BIG), 100_000):
                yield BIG[at : at + 100_000]
                yield b""
        finally:
            self.marks.closed += 1

    async def do_endless(self, request: Request) -> Response:
        async def endless() -> AsyncIterator[bytes]:
            try:
                while True:
                    yield BIG[: 1 << 20]
                    await asyncio.sleep(0)
            finally:
                self.marks.closed += 1

        return Response(200, {}, endless())

    async def do_short(self, request: Request) -> Response:
        return Response(200, {}, self._pieces(), length=len(BIG) + 1)

    async def do_long(self, request: Request) -> Response:
        return Response(200, {}, self._pieces(), length=len(BIG) - 1)

    async def do_fails_at_first(self, request: Request) -> Response:
        async def fails() -> AsyncIterator[bytes]:
            raise OSError("the drive is gone")
            yield b""

        return Response(200, {}, fails())

    async def do_fails_later(self, request: Request) -> Response:
        async def fails() -> AsyncIterator[bytes]:
            yield b"some"
            raise OSError("the drive is gone")

        return Response(200, {}, fails())

    async def do_files(self, request: Request) -> Response:
        count = int(request.query or len(BIG))
        half = count // 2
        return Response(200, {}, [Stretch(BIG, 0, half), Stretch(BIG, half, count - half)])

    async def do_file_short(self, request: Request) -> Response:
        return Response(200, {}, [Stretch(b"x" * 100, 0, int(request.query))])

    async def do_bug(self, request: Request) -> Response:
        raise RuntimeError("a bug")

    async def do_late_bug(self, request: Request) -> Response:
        await asyncio.sleep(0)
        raise RuntimeError("a bug")

    async def do_split(self, request: Request) -> Response:
        return Response(200, {"X-Name": "a\r\nSet-Cookie: b"}, b"")

    async def do_unsayable(self, request: Request) -> Response:
        return Response(200, {"X-Name": "\u2014"}, b"")

    async def do_status(self, request: Request) -> Response:
        return Response(int(request.query), {"ETag": '"1"'}, b"a body" if request.query == b"200" else b"", length=6)

    async def do_who(self, request: Request) -> Response:
        lines = [request.method, request.peer, str(request.tls), request.path.decode("latin-1"), request.query.decode("latin-1")]
        lines += [f"{name}={value}" for name, value in sorted(request.headers.items())]
        return Response(200, {}, "\n".join(lines).encode("latin-1"))

    async def do_bye(self, request: Request) -> Response:
        return Response(200, {}, b"bye\n", close=True)
