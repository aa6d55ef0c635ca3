"""The reader of a body that an application holds, fed by its connection."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from storage.server import direct
from storage.server.chunks import ChunkDecoder, ChunkError
from storage.server.errors import BodyMalformed, BodyTooLarge, BodyTruncated, ConnectionGone
from storage.server.messages import PIECE_BYTES

if TYPE_CHECKING:
    from storage.server.protocol import Connection


class NoBody:
    """The body of a request that has none; one for all."""

    length = 0
    ended = True
    unread = 0
    wanted = True

    async def read(self, limit: int = PIECE_BYTES) -> bytes:
        return b""

    async def read_all(self, limit: int) -> bytes:
        return b""

    async def read_into(self, view: memoryview) -> int:
        return 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        return
        yield b""

    def feed(self, data: bytes) -> bytes:
        return data

    def fail(self, error: Exception) -> None:
        pass


NO_BODY = NoBody()


class IncomingBody:
    """Bytes arrive by `feed`, wait in `_pieces`, and leave by the reads. It knows where it ends, by length or by chunked coding."""

    __slots__ = (
        "_connection",
        "_decoder",
        "_error",
        "_left",
        "_pieces",
        "_waiter",
        "discarding",
        "ended",
        "expects",
        "length",
        "unread",
        "wanted",
    )

    def __init__(self, connection: Connection, length: int | None, *, expects: bool) -> None:
        self.length = length
        self.ended = False  # its last byte has come
        self.unread = 0  # bytes that wait in memory
        self.wanted = False  # the application has begun to read
        self.discarding = False
        self.expects = expects  # the client waits to be told to go on
        self._left = length or 0  # bytes that have not come
        self._decoder = ChunkDecoder() if length is None else None
        self._pieces: deque[bytes] = deque()
        self._connection = connection
        self._waiter: asyncio.Future[None] | None = None
        self._error: Exception | None = None

    # --- the connection's side

    def feed(self, data: bytes) -> bytes:
        """Take what belongs to this body and return the rest."""
        rest = b""
        if self._error is not None:
            return rest
        if self._decoder is not None:
            try:
                pieces, rest = self._decoder.feed(data)
            except ChunkError as error:
                self.fail(BodyMalformed(f"The body cannot be read: {error}."))
                return b""
            self.ended = self._decoder.ended
        else:
            if len(data) > self._left:
                data, rest = data[: self._left], data[self._left :]
            self._left -= len(data)
            self.ended = self._left == 0
            pieces = [data]
        self.expects = False  # It comes: no need to ask for it any more.
        if not self.discarding:
            for piece in pieces:
                self._pieces.append(piece)
                self.unread += len(piece)
        self._wake()
        return rest

    def fail(self, error: Exception) -> None:
        """Nothing more will come; who reads gets the error after what came before it."""
        if not self.ended and self._error is None:
            self._error = error
            self._wake()

    @property
    def failed(self) -> Exception | None:
        return self._error

    @property
    def left(self) -> int | None:
        """Bytes that have not come yet; None if unknown."""
        return None if self._decoder is not None and not self.ended else self._left

    def discard(self) -> None:
        """From now on nobody will read it."""
        self.discarding = True
        self._pieces.clear()
        self.unread = 0

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # --- the application's side

    async def _come(self) -> bool:
        """Wait until there is a piece; False at the end."""
        while not self._pieces:
            if self.ended:
                return False
            if self._error is not None:
                raise self._error
            self.wanted = True
            self._waiter = self._connection.loop.create_future()
            self._connection.body_wanted(self)
            try:
                await self._waiter
            finally:
                self._waiter = None
                self._connection.body_came()
        return True

    def _took(self, count: int) -> None:
        self.wanted = True
        self.unread -= count
        self._connection.body_taken(self)

    async def read(self, limit: int = PIECE_BYTES) -> bytes:
        if not await self._come():
            return b""
        piece = self._pieces[0]
        if len(piece) <= limit:
            self._pieces.popleft()
        else:
            piece, self._pieces[0] = piece[:limit], piece[limit:]
        self._took(len(piece))
        return piece

    async def read_all(self, limit: int) -> bytes:
        if (self.left or 0) + self.unread > limit:
            raise BodyTooLarge(f"The body is larger than {limit} bytes.")
        got: list[bytes] = []
        size = 0
        while await self._come():
            size += self.unread
            if size > limit:
                raise BodyTooLarge(f"The body is larger than {limit} bytes.")
            got += self._pieces
            self._pieces.clear()
            self._took(self.unread)
        return got[0] if len(got) == 1 else b"".join(got)

    async def read_into(self, view: memoryview) -> int:
        done = 0
        while done < len(view):
            if self._pieces:
                piece = await self.read(len(view) - done)
                view[done : done + len(piece)] = piece
                done += len(piece)
                continue
            wanted = min(len(view) - done, self._left)
            if self.wanted and self._error is None and self._decoder is None and self._connection.may_go_direct(wanted):
                count = await self._receive(view[done : done + wanted])
                done += count
                if count:
                    continue
            if done or not await self._come():
                break
        return done

    async def _receive(self, view: memoryview) -> int:
        """Past the event loop, in a thread. 0 if the client has paused: then the event loop waits for it, which costs no thread."""
        count = 0
        self._connection.begin_direct()
        try:
            count, gone = await self._connection.direct(direct.receive, view)
        except (OSError, ConnectionGone) as error:
            self.fail(BodyTruncated("The connection broke before the end of the body."))
            raise BodyTruncated("The connection broke before the end of the body.") from error
        finally:
            self._connection.end_direct(count)
        self._left -= count
        if self._left == 0:
            self.ended = True
        elif gone:
            self.fail(BodyTruncated("The client closed the connection before the end of the body."))
        if self.ended or count < len(view):
            self._connection.back_to_loop()
        return count

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while piece := await self.read():
            yield piece
