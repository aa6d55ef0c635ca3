"""One connection as a wire: bytes out, by the event loop or past it, and who holds it up. What the bytes mean is protocol.py's.

Three things can stop what goes out: the write buffer is over its limit (`_full`), a thread has the socket (`_lent`), or the client has
gone (`_gone`). Reading is paused (`_held`) while nobody wants what would come, and while the socket is lent.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterable, Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from storage.server import direct
from storage.server.errors import ConnectionGone
from storage.server.messages import PIECE_BYTES, FileRange

if TYPE_CHECKING:
    from storage.server.worker import Front

T = TypeVar("T")
JOIN_MAX_BYTES = 64 << 10  # up to here copying a body behind its head is cheaper than a second buffer


class Wire(asyncio.Protocol):
    """The server's side of a connection, without the requests on it."""

    def __init__(self, front: Front, *, tls: bool) -> None:
        self.front = front
        self.loop = front.loop
        self.limits = front.limits
        self.tls = tls
        self.bytes_out = 0
        self.transport: asyncio.Transport
        self._held = False  # reading is paused
        self._full = False  # the write buffer is over its limit
        self._gone = False
        self._lent = False  # a thread has the socket
        self._waiter: asyncio.Future[None] | None = None  # of what is written
        self._fd = -1

    # --- what the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self.transport = transport  # type: ignore[assignment]
        self.transport.set_write_buffer_limits(high=self.limits.write_buffer_bytes)
        self._fd = transport.get_extra_info("socket").fileno()

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self._wake()

    # --- state

    def _hold(self) -> None:
        if not self._held and not self._closed():
            self._held = True
            self.transport.pause_reading()

    def _go_on(self) -> None:
        if self._held and not self._closed():
            self._held = False
            self.transport.resume_reading()

    def _closed(self) -> bool:
        """A transport that is closing can neither be paused nor written to, though its end is told only later."""
        return self._gone or self.transport.is_closing()

    def _peer(self) -> str:
        name = self.transport.get_extra_info("peername")
        return name[0] if isinstance(name, tuple) else "local"

    # --- bytes out

    def _write(self, data: bytes) -> None:
        self.bytes_out += len(data)
        if not self._gone:
            self.transport.write(data)

    async def _drained(self) -> None:
        if self._gone:
            raise ConnectionGone
        self._waiter = self.loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self, *, gone: bool = False) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            if gone:
                waiter.set_exception(ConnectionGone())
            else:
                waiter.set_result(None)

    async def _send_pieces(self, head: bytes, pieces: AsyncIterable[bytes], length: int | None, *, chunked: bool) -> int:
        sent = 0
        async for piece in pieces:
            if not piece:
                continue
            sent += len(piece)
            if length is not None and sent > length:
                raise RuntimeError(f"the body is longer than its announced {length} bytes")
            if chunked:
                head += b"%x\r\n" % len(piece)
            if len(piece) <= JOIN_MAX_BYTES:
                self._write(b"".join((head, piece, b"\r\n" if chunked else b"")))
            else:
                if head:
                    self._write(head)
                self._write(piece)
                if chunked:
                    self._write(b"\r\n")
            head = b""
            if self._full or self._gone:
                await self._drained()
        if length is not None and sent != length:
            raise RuntimeError(f"the body has {sent} bytes, announced were {length}")
        if head or chunked:
            self._write(head + (b"0\r\n\r\n" if chunked else b""))
        return sent

    async def _send_ranges(self, head: bytes, ranges: Sequence[FileRange]) -> int:
        total = sum(item.count for item in ranges)
        if total < self.limits.direct_min_bytes or self.tls:
            return await self._send_ranges_buffered(head, ranges)
        while self.transport.get_write_buffer_size():  # Earlier answers go first.
            await asyncio.sleep(0.001)
            if self._gone:
                raise ConnectionGone
        self._hold()
        try:
            while head:
                sent = await self.direct(direct.send_bytes, head, True)
                head = head[sent:]
                await self._sent_direct(sent)
            for item in ranges:
                done = 0
                while done < item.count:
                    sent = await self.direct(direct.send_file, item.fd, item.offset + done, item.count - done)
                    done += sent
                    await self._sent_direct(sent)
        except OSError as error:
            raise ConnectionGone from error
        return total

    async def _send_ranges_buffered(self, head: bytes, ranges: Sequence[FileRange]) -> int:
        total = 0
        for item in ranges:
            done = 0
            while done < item.count:
                piece = await self.loop.run_in_executor(
                    self.front.threads, os.pread, item.fd, min(PIECE_BYTES, item.count - done), item.offset + done
                )
                if not piece:
                    raise EOFError("the file is shorter than it was said to be")
                done += len(piece)
                self._write(head + piece if head else piece)
                head = b""
                if self._full or self._gone:
                    await self._drained()
            total += done
        if head:
            self._write(head)
        return total

    async def _sent_direct(self, sent: int) -> None:
        """After a turn of a thread: go on, or wait for a client that takes nothing."""
        self.bytes_out += sent
        if self._closed():
            raise ConnectionGone
        if sent:
            return
        fd = os.dup(self._fd)  # The event loop lets nobody watch the descriptor that a transport has.
        self._waiter = self.loop.create_future()
        try:
            self.loop.add_writer(fd, self._wake)
            await self._waiter
        finally:
            self._waiter = None
            self.loop.remove_writer(fd)
            os.close(fd)

    # --- past the event loop

    async def direct(self, function: Callable[..., T], *args: Any) -> T:
        """Let a thread have the socket. The thread is waited for in every case, since it uses the caller's buffer."""
        if self._closed():
            raise ConnectionGone
        self._hold()
        # A descriptor of our own, made here: once the transport closes, the number may already mean another connection.
        sock = socket.socket(fileno=os.dup(self._fd))
        turn = self.loop.run_in_executor(self.front.threads, function, sock, *args)
        self._lent = True
        try:
            await asyncio.wait((turn,))
        except asyncio.CancelledError:
            await asyncio.wait((turn,))
            turn.exception()  # seen, so that nobody complains that it was not
            raise
        finally:
            self._lent = False
            sock.close()
        return turn.result()
