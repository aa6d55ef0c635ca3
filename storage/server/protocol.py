"""One connection: requests one after the other, each answered before the next is looked at.

Phases, and who ends them when nothing happens (`sweep`, about once a second):
    IDLE     nothing has come since the last answer            idle_seconds
    HEAD     a head has begun                                  head_seconds
    APP      the application works                             itself
    BODY     it waits for bytes of the body                    progress_*
    WRITE    it waits for the client to take bytes             progress_*
    DISCARD  it has answered, the rest of the body comes       progress_*
    LINGER   the answer is out, and its end is announced       linger_seconds
    CLOSING  closed as soon as the last bytes are taken        progress_*

What comes while a request is in work waits in `_ahead`, up to a limit, then the socket is not read any more.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import time
import types
from collections.abc import Coroutine, Generator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from storage.server import answers
from storage.server.bodies import NO_BODY, IncomingBody, NoBody
from storage.server.errors import BodyMalformed, BodyTooLarge, BodyTooSlow, BodyTruncated, ConnectionGone
from storage.server.heads import END, Head, HeadError, HeadParser
from storage.server.messages import FileRange, Request, Response
from storage.server.wire import JOIN_MAX_BYTES, Wire

if TYPE_CHECKING:
    from storage.server.worker import Front

log = logging.getLogger("storage.server")
T = TypeVar("T")
_STATUS_OF = {BodyTooLarge: 413, BodyTooSlow: 408, BodyTruncated: 400, BodyMalformed: 400}


class Phase(enum.IntEnum):
    IDLE = 0
    HEAD = 1
    APP = 2
    BODY = 3
    WRITE = 4
    DISCARD = 5
    LINGER = 6
    CLOSING = 7


IDLE, HEAD, APP, BODY, WRITE, DISCARD, LINGER, CLOSING = Phase
PLAIN = {"Content-Type": "text/plain; charset=utf-8"}


@types.coroutine
def _resume(coroutine: Coroutine[Any, Any, T], waiting: Any) -> Generator[Any, Any, T]:
    """Go on with a coroutine that was already driven to its first wait, for `waiting`, as if it had been awaited from the start."""
    try:
        while True:
            try:
                value = yield waiting
            except GeneratorExit:
                coroutine.close()
                raise
            except BaseException as error:
                waiting = coroutine.throw(error)
            else:
                waiting = coroutine.send(value)
    except StopIteration as done:
        result: T = done.value
        return result


class Connection(Wire):
    """The requests of one connection."""

    def __init__(self, front: Front, *, tls: bool) -> None:
        super().__init__(front, tls=tls)
        self.phase = IDLE
        self.deadline = 0.0
        self.bytes_in = 0
        self.counted = 0  # of bytes_in, in the metrics
        self.task: asyncio.Task[None] | None = None
        self._parser = HeadParser(front.limits)
        self._ahead = b""  # what has come and belongs to no request yet
        self._fed = 0  # how much of it the parser has seen
        self._body: IncomingBody | NoBody = NO_BODY
        self._request: Request | None = None
        self._keep = True
        self._old = False  # the request is HTTP/1.0
        self._eof = False
        self._patience = 0.0  # how long the application may still wait for the body before it has to have made progress
        self._mark = 0  # bytes at the beginning of the present window of progress

    # --- what the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.deadline = self.front.now + self.limits.head_seconds
        if not self.front.admit(self):
            self._refuse(HeadError(503, "There are too many connections. Try again in a moment."))

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone = True
        self.front.leave(self)
        self._body.fail(BodyTruncated("The client closed the connection before the end of the body."))
        self._wake(gone=True)

    def eof_received(self) -> bool:
        """The client has sent all it will. It may still wait for the answer."""
        self._eof = True
        self._body.fail(BodyTruncated("The client closed the connection before the end of the body."))
        if self.phase in (IDLE, HEAD, DISCARD, LINGER):
            self._shut()
        return not self.tls

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.phase is WRITE and self._request is None:
            self._rest()
            self._next()

    def data_received(self, data: bytes) -> None:
        self.bytes_in += len(data)
        body = self._body
        if not body.ended:
            data = body.feed(data)
            if body.unread > self.limits.body_buffer_bytes:
                self._hold()
            if self.phase is DISCARD:
                if body.ended:
                    self._rest()
                else:
                    return
            if not data:
                return
        if self.phase <= HEAD:
            if self._ahead:
                data, self._ahead = self._ahead + data, b""
            self._requests(data)
        elif self.phase < LINGER:
            self._ahead += data
            if len(self._ahead) > self.limits.pipeline_max_bytes:
                self._hold()

    # --- requests

    def _requests(self, data: bytes) -> None:
        """Serve what `data` begins with, until it is used up or a request is not answered at once."""
        while data:
            end = data.find(END, self._fed - 3 if self._fed > 3 else 0)
            stop = end + 4 if end >= 0 else len(data)
            try:
                if stop > self.limits.head_max_bytes:
                    raise HeadError(431, f"The request's head is longer than {self.limits.head_max_bytes} bytes.")
                head = self._parser.feed(data if self._fed == 0 and stop == len(data) else data[self._fed : stop], data)
            except HeadError as error:
                self._refuse(error)
                return
            if head is None:
                if self.phase is IDLE:
                    self.phase = HEAD
                    self.deadline = self.front.now + self.limits.head_seconds
                if end < 0:
                    self._ahead, self._fed = data, len(data)
                    return
                data, self._fed = data[stop:], 0  # Empty lines before a request are passed over (RFC 9112 section 2.2).
                continue
            self._fed = 0
            data = self._begin(head, data[stop:] if stop < len(data) else b"")
            if self.phase >= APP:
                if self.phase < LINGER and data:
                    self._ahead = data
                    if len(data) > self.limits.pipeline_max_bytes:
                        self._hold()
                return

    def _begin(self, head: Head, rest: bytes) -> bytes:
        """Start the application on a request. Returns what comes after the request."""
        front = self.front
        if head.length == 0:
            body: IncomingBody | NoBody = NO_BODY
            if head.expects:
                # RFC 9110, section 10.1.1, does not ask for it where no body is to come. But the aws cli, when it gets the final answer in
                # its place, takes that for the answer to its next request on this connection as well, and waits for the rest of it.
                self._write(answers.CONTINUE)
        else:
            body = self._body = IncomingBody(self, head.length, expects=head.expects)
            if rest:
                rest = body.feed(rest)
            self._patience = self.limits.progress_seconds
            self._mark = self.bytes_in
        self._keep = head.keep_alive
        self._old = head.old
        request = self._request = Request(
            head.method,
            head.path,
            head.query,
            head.headers,
            body,
            id=front.next_id(),
            peer=self._peer,
            tls=self.tls,
            received=time.monotonic(),
        )
        self.phase = APP
        coroutine = front.app(request)
        try:
            waiting = coroutine.send(None)
        except StopIteration as done:
            response = done.value
        except (Exception, asyncio.CancelledError) as error:
            response = self._failure(error)
        else:
            self.task = self.loop.create_task(self._carry(coroutine, waiting))
            return rest
        if not self._answer(response):
            self.task = self.loop.create_task(self._carry_answer(response))
        return rest

    async def _carry(self, coroutine: Coroutine[Any, Any, Response], waiting: Any) -> None:
        """A request that has to wait for something."""
        try:
            response = await _resume(coroutine, waiting)
        except asyncio.CancelledError:
            response = Response(503, PLAIN, b"The server is stopping. Try again.\n", close=True)
        except Exception as error:
            response = self._failure(error)
        if self._answer(response):
            self.task = None
            self._next()
        else:
            await self._carry_answer(response)

    async def _carry_answer(self, response: Response) -> None:
        before = self.bytes_out
        try:
            await self._stream(response)
        except ConnectionGone:
            self._done(response.status, 0, keep=False)
        except asyncio.CancelledError:
            self._abort()
            self._done(response.status, 0, keep=False)
        except Exception as error:
            if self.bytes_out == before and not self._gone:
                self._answer(self._failure(error))
                self.task = None
                self._next()
                return
            # Part of the answer is out: only a cut tells the client that it is not whole.
            log.exception("request %s: the answer could not be completed", self._request.id if self._request else "?")
            self.front.metrics.answers_cut.add()
            self._abort()
            self._done(response.status, 0, keep=False)
        self.task = None
        self._next()

    def _failure(self, error: BaseException) -> Response:
        """What the application did not catch. A body that failed says why; all else is a bug, and the log has it."""
        for kind, status in _STATUS_OF.items():
            if isinstance(error, kind):
                return Response(status, PLAIN, f"{error}\n".encode(), close=status != 413)
        request = self._request
        assert request is not None
        log.error("request %s: %s %r failed", request.id, request.method, request.path, exc_info=error)
        return Response(500, PLAIN, f"Something went wrong here. The request's id is {request.id}.\n".encode())

    def _refuse(self, error: HeadError) -> None:
        """A head that cannot be served ends the connection: nobody can know where the next request begins."""
        self.front.metrics.refused(error.status)
        body = f"{error.message}\n".encode()
        id = self.front.next_id()
        framing = f"Content-Length: {len(body)}\r\nConnection: close\r\n"
        self._write(answers.head(error.status, PLAIN, common=self.front.clock.common, id=id, framing=framing) + body)
        if self.front.access_log:
            self.front.access_log.refused(id, self._peer(), error.status, error.message)
        self._ahead, self._request = b"", None
        self._linger()

    # --- answers

    def _kept(self, response: Response) -> bool:
        """Whether another request may follow on this connection."""
        if not self._keep or response.close or self.front.draining or self._eof:
            return False
        body = self._body
        if body is NO_BODY or body.ended:
            return True
        assert isinstance(body, IncomingBody)
        # Who waits for "100 Continue" may or may not send the body after another answer; who sends much would go on for long.
        return not body.expects and body.failed is None and body.left is not None and body.left <= self.limits.discard_max_bytes

    def _head(self, response: Response, framing: str, keep: bool) -> bytes:
        request = self._request
        assert request is not None
        if not keep:
            framing += "Connection: close\r\n"
        return answers.head(response.status, response.headers, common=self.front.clock.common, id=request.id, framing=framing)

    def _answer(self, response: Response) -> bool:
        """Write an answer that is there as a whole; False if it has to be streamed."""
        body = response.body
        if type(body) is not bytes:
            if isinstance(body, (bytearray, memoryview)):
                body = bytes(body)
            else:
                return False
        request = self._request
        assert request is not None
        keep = self._kept(response)
        status, size = response.status, len(body)
        bare = request.method == "HEAD" or status == 304 or status == 204
        if bare:
            length = response.length if response.length is not None else size
            framing = "" if status == 204 or (status == 304 and not length) else f"Content-Length: {length}\r\n"
            size, body = 0, b""
        else:
            framing = f"Content-Length: {size}\r\n"
        try:
            head = self._head(response, framing, keep)
        except answers.Unsendable as error:
            return self._answer(self._failure(error))
        if not self._gone:
            if size <= JOIN_MAX_BYTES:
                self.bytes_out += len(head) + size
                self.transport.write(head + body if size else head)
            else:
                self._write(head)
                self._write(body)
        self._done(status, size, keep=keep)
        return True

    async def _stream(self, response: Response) -> None:
        body = response.body
        assert not isinstance(body, bytes)
        source = body if hasattr(body, "__aiter__") else None
        try:
            request = self._request
            assert request is not None
            keep = self._kept(response)
            ranges: Sequence[FileRange] = () if source is not None else body  # type: ignore[assignment]
            length = response.length if source is not None else sum(item.count for item in ranges)
            chunked = length is None and not self._old
            keep = keep and (chunked or length is not None)
            framing = "Transfer-Encoding: chunked\r\n" if chunked else f"Content-Length: {length}\r\n" if length is not None else ""
            bare = request.method == "HEAD" or response.status in (204, 304)
            if bare:
                framing = "" if response.status == 204 else framing
            try:
                head = self._head(response, framing, keep)
            except answers.Unsendable as error:
                self._answer(self._failure(error))
                return
            if bare:
                self._write(head)
                self._done(response.status, 0, keep=keep)
                return
            self.phase = WRITE
            self._begin_progress(self.front.now)
            if source is not None:
                sent = await self._send_pieces(head, source, length, chunked=chunked)  # type: ignore[arg-type]
            else:
                sent = await self._send_ranges(head, ranges)
            self._done(response.status, sent, keep=keep)
        finally:
            if source is None:
                for item in body:  # type: ignore[union-attr]
                    item.close()
            elif hasattr(source, "aclose"):
                await source.aclose()

    # --- between requests

    def _done(self, status: int, size: int, *, keep: bool) -> None:
        """The answer is written, or lost: account for it and settle what becomes of the connection."""
        request, body = self._request, self._body
        assert request is not None
        self.front.account(request, status, size)
        self._request = None
        if self._gone:
            self._ahead = b""
            self.phase = CLOSING
        elif not keep:
            self._linger()
        elif not body.ended:
            assert isinstance(body, IncomingBody)
            body.discard()
            self.phase = DISCARD
            self._begin_progress(self.front.now)
            self._go_on()
        elif self._full:
            self.phase = WRITE
            self._begin_progress(self.front.now)
        else:
            self._rest()

    def _rest(self) -> None:
        self._body = NO_BODY
        self.phase = IDLE
        self.deadline = self.front.now + self.limits.idle_seconds

    def _next(self) -> None:
        """After something that took its time: see to what came meanwhile."""
        if self.phase is not IDLE:
            return
        self._go_on()
        if self._ahead:
            data, self._ahead = self._ahead, b""
            self._requests(data)
        if self.phase <= HEAD and self._eof:
            self._shut()

    def _linger(self) -> None:
        """Say that this is the end, but read on for a moment: closing a socket with unread bytes would throw away the answer."""
        body = self._body
        if isinstance(body, IncomingBody) and not body.ended:
            body.discard()
        quiet = body.ended and not self._ahead
        self._ahead = b""
        if quiet or self._eof or self.tls or self._closed():
            self._shut()
            return
        self.phase = LINGER
        self.deadline = self.front.now + self.limits.linger_seconds
        self._body = NO_BODY
        self._go_on()
        self.transport.write_eof()

    def _shut(self) -> None:
        """Close when the last bytes are taken."""
        self.phase = CLOSING
        self._begin_progress(self.front.now)
        if not self._gone:
            self.transport.close()

    def _abort(self) -> None:
        self.phase = CLOSING
        self._keep = False
        if not self._gone:
            self.transport.abort()

    # --- what bodies ask for

    def body_wanted(self, body: IncomingBody) -> None:
        """The application waits for bytes."""
        if body.expects:
            body.expects = False
            self._write(answers.CONTINUE)
        self.phase = BODY
        self.deadline = self.front.now + self._patience
        self._go_on()

    def body_came(self) -> None:
        """Only the time that is spent waiting counts against the client."""
        if self.phase is BODY:
            self._patience = self.deadline - self.front.now
            self.phase = APP

    def body_taken(self, body: IncomingBody) -> None:
        if self._held and body.unread <= self.limits.body_buffer_bytes // 2 and len(self._ahead) <= self.limits.pipeline_max_bytes:
            self._go_on()

    def may_go_direct(self, count: int) -> bool:
        return count >= self.limits.direct_min_bytes and not self.tls and not self._gone and not self.transport.get_write_buffer_size()

    def begin_direct(self) -> None:
        """A thread waits for the client: that counts like any waiting for the body."""
        self.phase = BODY
        self.deadline = self.front.now + self._patience

    def end_direct(self, count: int) -> None:
        self.bytes_in += count
        self.body_came()

    def back_to_loop(self) -> None:
        self._go_on()

    # --- deadlines

    def _begin_progress(self, now: float) -> None:
        self._mark = self._progress()
        self.deadline = now + self.limits.progress_seconds

    def _progress(self) -> int:
        if self.phase is BODY or self.phase is DISCARD:
            return self.bytes_in
        return self.bytes_out - (0 if self._gone else self.transport.get_write_buffer_size())

    def sweep(self, now: float) -> None:
        """Called about once a second with the present time."""
        if now < self.deadline or self.phase is APP:
            return
        phase, limits, metrics = self.phase, self.limits, self.front.metrics
        if phase is IDLE:
            if self.transport.get_write_buffer_size():
                self._abort()
            else:
                self._shut()
        elif phase is HEAD:
            metrics.timeouts_head.add()
            self._refuse(HeadError(408, f"The request's head did not come within {limits.head_seconds:g} seconds."))
        elif phase is LINGER:
            self._shut()
        elif self._progress() - self._mark >= limits.progress_min_bytes:
            self._patience = limits.progress_seconds
            self._begin_progress(now)
        elif phase is WRITE and not self._waits_for_client():
            self._begin_progress(now)  # It is the application that is slow.
        elif phase is BODY:
            metrics.timeouts_body.add()
            self._body.fail(
                BodyTooSlow(f"Fewer than {limits.progress_min_bytes} bytes of the body came in {limits.progress_seconds:g} seconds.")
            )
            self._begin_progress(now)
        else:
            metrics.timeouts_write.add()
            self._abort()

    def _waits_for_client(self) -> bool:
        return self._request is None or self._waiter is not None or self._lent or self.transport.get_write_buffer_size() > 0

    def stop(self) -> None:
        """The worker stops: end now if nothing is under way, else after the answer."""
        if self.phase is IDLE:
            self._shut()
