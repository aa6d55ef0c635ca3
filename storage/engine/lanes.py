"""Lanes: each writes one open segment, a batch at a time, and goes on with the next segment when it is full or a drive fails."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from cloudbox.common.errors import CloudError, InsufficientCapacity, NotFound, Unavailable
from storage.engine import changes, entries, segments
from storage.engine.batches import FEW, Batch, Op, restamped
from storage.engine.changes import GONE, LOST, Item
from storage.engine.drives import Buffer, File
from storage.engine.members import Bay
from storage.engine.records import ABORT, DELETE, HEADER_BYTES, PUT, Record, head_of
from storage.engine.segments import NoRoom, OpenSegment
from storage.engine.types import StorageClass

if TYPE_CHECKING:
    from storage.engine.commit import Committer

log = logging.getLogger(__name__)

BATCH_BYTES = 8 << 20
BATCH_RECORDS = 2048
PENDING_BYTES = 64 << 20
BEHIND_BATCHES = 32  # So many batches a drive may be behind its fellows before it is left out.
SEAL_SECONDS = 0.05
CLOSE_SECONDS = 10.0

FULL = "The object store's drives are full. Delete something, or add a drive."
INDEX_FULL = "The disk of the object store's index is full. Nothing can be changed until there is room."
GONE_TEXT = "It has been deleted in the meantime."


class Lane:
    """One open segment of one class of replication."""

    def __init__(self, committer: Committer, storage_class: StorageClass) -> None:
        self._committer = committer
        self.storage_class, self.replicas, self.quorum = storage_class.number, storage_class.replicas, storage_class.quorum
        self._pending: deque[Op] = deque()
        self._pending_bytes = 0
        self._room = asyncio.Event()
        self._room.set()
        self._busy = False
        self._given: dict[bytes, int] = {}  # Batches per drive: counted here by the loop,
        self._taken: dict[bytes, int] = {}  # and here by the drive's thread.
        self._unentered: list[tuple[Batch, list[Item]]] = []
        self._next: asyncio.Task[OpenSegment | None] | None = None
        self._closing: list[tuple[OpenSegment, dict[bytes, int]]] = []  # Full; some drive has yet to write its last batches.
        self.segment: OpenSegment | None = None

    # --- on the event loop

    async def room(self) -> None:
        while not self._room.is_set():
            await self._room.wait()

    def submit(self, op: Op) -> None:
        self._pending.append(op)
        self._pending_bytes += len(op.record.body)
        if self._pending_bytes > PENDING_BYTES:
            self._room.clear()
        if not self._busy:
            self._busy = True
            self._committer.loop.call_soon(self._kick)

    def _kick(self) -> None:
        """Write the next batch, if there is something to write."""
        if not self._pending:
            self._busy = False
            self._committer.settled()
            return
        segment = self.segment
        first = self._pending[0].record
        if (
            segment is None
            or segment.bad
            or segment.closed
            or self._committer.leaves(segment)
            or segment.end + HEADER_BYTES + len(first.key) + len(first.entry) + len(first.body) > segment.capacity
            or self._behind(segment)
        ):
            self._committer.start(self._roll())
            return
        self._write(segment)

    def leave(self) -> None:
        """Seal an idle segment that lies on a drive which is drained or has gone: it would stay open until somebody writes again."""
        if self.segment is not None and self.idle and self._committer.leaves(self.segment):
            self._closing.append((self.segment, {bay.id: self._given.get(bay.id, 0) for bay, _ in self.segment.files}))
            self.segment = None
            self._seal_complete()

    def _behind(self, segment: OpenSegment) -> bool:
        """Whether a drive hangs: then the segment is left to it, and the next one is made without it."""
        hanging = [b for b, _ in segment.files if self._given.get(b.id, 0) - self._taken.get(b.id, 0) > BEHIND_BATCHES]
        for bay in hanging:
            segment.bad.add(bay.id)
            bay.failed(TimeoutError("the drive is far behind its fellows"))
        return bool(hanging)

    def _write(self, segment: OpenSegment) -> None:
        ops: list[Op] = []
        iov: list[Buffer] = []
        start = end = segment.end
        while self._pending and len(ops) < BATCH_RECORDS and end - start < BATCH_BYTES:
            op = self._pending[0]
            head = head_of(segment.id, op.record)
            body = op.record.body
            if end + len(head) + len(body) > segment.capacity:
                break
            self._pending.popleft()
            self._pending_bytes -= len(body)
            op.segment, op.row_offset = segment.id, end + len(head)
            end += len(head) + len(body)
            iov.append(head)
            if body:
                iov.append(body)
            ops.append(op)
        if not self._room.is_set() and self._pending_bytes < PENDING_BYTES // 2:
            self._room.set()
        segment.end = end
        batch = Batch(self, ops, segment, start, end)
        for bay, file in segment.files:
            self._given[bay.id] = self._given.get(bay.id, 0) + 1
            bay.submit(self._job(batch, bay, file, iov, start))

    def _job(self, batch: Batch, bay: Bay, file: File, iov: list[Buffer], offset: int) -> Callable[[], None]:
        def write() -> None:
            error: OSError | None = None
            started = time.perf_counter()
            try:
                file.write(iov, offset, durable=True)
            except OSError as raised:
                error = raised
                batch.segment.written[bay.id] = -1  # Whatever it may still write, it lacks this.
                bay.failed(raised)
                log.warning("drive %s failed a write: %s", bay.label, raised)
            else:
                if batch.segment.written.get(bay.id, 0) >= 0:
                    batch.segment.written[bay.id] = batch.end
                bay.health.wrote(batch.end - batch.start, time.perf_counter() - started)
            self._taken[bay.id] = self._taken.get(bay.id, 0) + 1
            batch.report(bay, error)

        return write

    def ended(self, batch: Batch) -> None:
        """The quorum has it and the index has it, or it has failed: answer, and go on. Nothing an answer does may stop the next batch."""
        if batch.durable:
            batch.segment.bad |= batch.failed
        if batch.error is not None:
            self._fail(batch)
        else:
            for op, outcome in zip(batch.ops, batch.outcomes, strict=True):
                self._answer(op, outcome)
        self._kick()

    def _answer(self, op: Op, outcome: str) -> None:
        if op.future.done():  # Its caller has gone.
            return
        if outcome == LOST and not op.conditional and not op.copy:
            self._disown(op.record)
            op.record = restamped(op.record, self._committer.clock.stamp())
            # A moment later: what it has to wait for needs the index as well.
            self._committer.loop.call_later(0.001, self._committer.resubmit, self, op)
        elif outcome == GONE and not op.copy:
            op.future.set_exception(NotFound(GONE_TEXT))
        else:
            op.future.set_result(op)

    def _disown(self, record: Record) -> None:
        """A version that is written again gets a new id: its first record must not come to life in a replay. The null version's cannot."""
        if record.type != PUT or entries.head_of(record.entry).flags & entries.NULL_VERSION:
            return
        future: asyncio.Future[Op] = self._committer.loop.create_future()
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
        tombstone = Record(DELETE, self._committer.clock.stamp(), record.key, entries.pack_tombstone(record.stamp, False))
        self.submit(Op(tombstone, future, conditional=False, copy=True, freeing=True))

    def _fail(self, batch: Batch) -> None:
        """Fewer than the quorum have it. Nobody was told that it is safe; say in the log that it does not count, if that can be said."""
        segment = batch.segment
        # What lies before this batch is as good as it was, on every drive: none is stale for failing at what does not count.
        segment.closed = not batch.durable
        # Unavailable even if the drives are full: it says that the change may yet turn out to have happened.
        for op in batch.ops:
            if not op.future.done():
                op.future.set_exception(batch.error or Unavailable(FEW))
        if batch.durable:  # Only the index lacks it; it is brought in with the next batch.
            return
        future: asyncio.Future[Op] = self._committer.loop.create_future()
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
        record = Record(ABORT, self._committer.clock.stamp(), b"", entries.pack_abort(segment.id, batch.start))
        self._pending.appendleft(Op(record, future, conditional=False, copy=False, freeing=True))
        with contextlib.suppress(OSError):
            self._committer.cut(segment.id, batch.start)

    def degraded(self, batch: Batch) -> None:
        """A drive failed after the quorum was complete: its replica lacks bytes from now on."""
        if not batch.durable:
            return
        batch.segment.bad |= batch.failed
        try:
            changes.apply(self._committer.index, batch.segment.id, [], batch.start, stale=list(batch.failed))
        except OSError as error:
            log.error("cannot note a bad replica: %s", error)

    async def _roll(self) -> None:
        """Go on with a new segment."""
        old, self.segment = self.segment, None
        try:
            segment = await self._take_next()
        except NoRoom as error:
            await self._out_of_room(error)
            return
        except Exception as error:  # Whatever it is: the lane must go on, or everybody would wait for ever.
            log.exception("no new segment")
            await self._out_of_room(NoRoom(0, self.quorum, full=isinstance(error, OSError) and error.errno == errno.ENOSPC))
            return
        await asyncio.to_thread(segment.end_filling)
        try:
            self._committer.activate(segment)
        except OSError as error:
            log.error("the index takes nothing: %s", error)
            await asyncio.to_thread(segment.discard, self._committer.spares)
            await self._out_of_room(NoRoom(0, self.quorum, full=True))
            return
        if old is not None:
            self._closing.append((old, {bay.id: self._given.get(bay.id, 0) for bay, _ in old.files}))
            self._seal_complete()
        self.segment = segment
        self._kick()

    def _seal_complete(self) -> None:
        """Seal what every drive has written (or failed at): a sealed segment is the same everywhere."""
        waiting = []
        for segment, given in self._closing:
            if all(drive in segment.bad or self._taken.get(drive, 0) >= count for drive, count in given.items()):
                with contextlib.suppress(OSError):
                    self._committer.seal(segment)
            else:
                waiting.append((segment, given))
        self._closing = waiting
        if waiting:
            self._committer.loop.call_later(SEAL_SECONDS, self._seal_complete)

    async def _take_next(self) -> OpenSegment:
        ready, self._next = self._next, None
        segment = await ready if ready is not None else None
        if segment is not None and (self._committer.leaves(segment) or any(b.suspect_until > time.monotonic() for b, _ in segment.files)):
            await asyncio.to_thread(segment.discard, self._committer.spares)
            segment = None
        if segment is None:
            freeing = any(op.freeing for op in self._pending)
            try:
                segment = await self._make_somehow()
            except NoRoom as error:
                if not freeing or not error.full:
                    raise
                # Deletions get through a full disk: else it could never become less full.
                self._refuse(InsufficientCapacity(FULL), lambda op: not op.freeing)
                return await self._make(True)
        self._next = self._committer.loop.create_task(self._prepare())
        return segment

    async def _make_somehow(self) -> OpenSegment:
        try:
            return await self._make(False)
        except NoRoom as error:
            if not error.full or not await asyncio.to_thread(self._committer.spares.release, all=True):
                raise
            return await self._make(False)

    async def _make(self, freeing: bool) -> OpenSegment:
        committer = self._committer
        capacity = committer.segment_bytes if not freeing else min(committer.segment_bytes, 4 << 20)
        return await asyncio.to_thread(
            segments.make,
            committer.members,
            committer.spares,
            committer.clock.stamp(),
            committer.worker,
            storage_class=self.storage_class,
            replicas=self.replicas,
            quorum=self.quorum,
            capacity=capacity,
            freeing=freeing,
        )

    async def _prepare(self) -> OpenSegment | None:
        try:
            segment = await self._make(False)
        except Exception as error:
            log.info("no segment made ahead: %s", error)
            return None
        if self._committer.fill_ahead:
            threading.Thread(target=segments.fill, args=(segment,), name="fill ahead", daemon=True).start()
        return segment

    async def _out_of_room(self, error: NoRoom) -> None:
        self._refuse(InsufficientCapacity(FULL) if error.full else Unavailable(FEW), lambda op: True)
        await asyncio.sleep(0)
        self._kick()

    def _refuse(self, error: CloudError, which: Callable[[Op], bool]) -> None:
        kept: deque[Op] = deque()
        for op in self._pending:
            if which(op):
                self._pending_bytes -= len(op.record.body)
                if not op.future.done():
                    op.future.set_exception(error)
            else:
                kept.append(op)
        self._pending = kept
        self._room.set()

    async def close(self) -> None:
        """Wait for the slowest drive, then seal; a drive that hangs is noted to lack something."""
        if self.segment is not None:
            self._closing.append((self.segment, {bay.id: self._given.get(bay.id, 0) for bay, _ in self.segment.files}))
            self.segment = None
        deadline = time.monotonic() + CLOSE_SECONDS
        while self._closing and time.monotonic() < deadline:
            self._seal_complete()
            await asyncio.sleep(0.005)
        for segment, given in self._closing:
            segment.bad |= {drive for drive, count in given.items() if self._taken.get(drive, 0) < count}
        self._seal_complete()
        if self._next is not None:
            unused = await self._next
            if unused is not None:
                await asyncio.to_thread(unused.discard, self._committer.spares)
            self._next = None

    @property
    def idle(self) -> bool:
        return not self._busy

    # --- in the thread of the drive that completes the quorum

    def enter(self, batch: Batch) -> None:
        """Bring it into the index; with it, what could not be brought in before (its callers have been told to try again)."""
        items = [Item(op.record, op.row_offset, op.conditional, op.copy) for op in batch.ops]
        try:
            while self._unentered:
                before, left = self._unentered[0]
                changes.apply(self._committer.index, before.segment.id, left, before.end, stale=list(before.failed))
                self._unentered.pop(0)
            segment = batch.segment
            batch.outcomes = changes.apply(
                self._committer.index, segment.id, items, batch.end, whole=segment.whole(), stale=list(batch.failed)
            )
        except Exception as error:  # Whatever it is, the callers must hear of it and the next batch must be written.
            log.exception("the index did not take a batch")
            self._unentered.append((batch, items))
            full = isinstance(error, OSError) and error.errno == errno.ENOSPC
            batch.error = Unavailable(INDEX_FULL if full else "The object store's index does not answer. Try again.")

    def tell(self, what: Callable[[Batch], None], batch: Batch) -> None:
        with contextlib.suppress(RuntimeError):  # The loop has ended: nobody waits any more.
            self._committer.loop.call_soon_threadsafe(what, batch)
