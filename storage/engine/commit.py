"""Group commit: what many requests want to write goes to each drive in one durable write, and counts when a quorum has it.

A *lane* writes one open segment. While a batch is being written, the next one gathers; it starts when the batch before has ended. The
drive's thread that completes the quorum brings the batch into the index, and then the callers are answered.

Conditional changes. A change that depends on the present state reserves its name in the index, draws its stamp, looks, and only then
is written. Whatever else changes that name meanwhile either has a newer stamp (and so comes after it), or finds the reservation or a
newer change in place when it arrives at the index, is `LOST` there, and is written again with a new stamp, which puts it behind. So
nothing ever slips in between the look and the change, and changes without a condition pay nothing for it.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace

from awscrt.checksums import crc32c

from cloudbox.common.errors import Unavailable
from storage.engine.batches import Op
from storage.engine.clock import Clock
from storage.engine.index import SEALED, STALE, Index, Segment
from storage.engine.lanes import GONE_TEXT, Lane
from storage.engine.members import Members
from storage.engine.records import SEGMENT_HEADER_BYTES, Record, size_of
from storage.engine.segments import OpenSegment
from storage.engine.spares import Spares
from storage.engine.types import StorageClass

__all__ = ["GONE_TEXT", "Committer", "Op", "record"]


class Committer:
    """The lanes of a worker."""

    def __init__(
        self,
        index: Index,
        members: Members,
        clock: Clock,
        worker: int,
        *,
        segment_bytes: int,
        fill_ahead: bool,
        loop: asyncio.AbstractEventLoop,
        spares: Spares | None = None,
    ) -> None:
        self.index, self.members, self.clock, self.worker = index, members, clock, worker
        self.spares = spares or Spares(members, clock)
        self.segment_bytes, self.fill_ahead, self.loop = segment_bytes, fill_ahead, loop
        self._lanes: dict[tuple[int, int], Lane] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._settled = asyncio.Event()
        self._waiting = 0
        self.draining = False

    def lane(self, storage_class: StorageClass) -> Lane:
        key = (storage_class.replicas, storage_class.quorum)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(self, storage_class)
        return lane

    async def commit(
        self, record: Record, storage_class: StorageClass, *, conditional: bool = False, copy: bool = False, freeing: bool = False
    ) -> Op:
        """Write a record; returns when it is safe and visible. Raises as `Store.put` says."""
        if self.draining and not copy:
            raise Unavailable("The object store is stopping. Try again in a moment.")
        if (size := size_of(len(record.key), len(record.entry), len(record.body))) > self.segment_bytes - SEGMENT_HEADER_BYTES:
            # Only a store with tiny segments gets here; without this its lane would look for a segment that is large enough, for ever.
            raise ValueError(f"A record of {size} bytes does not fit into a segment of {self.segment_bytes}.")
        lane = self.lane(storage_class)
        if not lane._room.is_set():
            await lane.room()
        future: asyncio.Future[Op] = self.loop.create_future()
        op = Op(record, future, conditional=conditional, copy=copy, freeing=freeing)
        lane.submit(op)
        self._waiting += 1
        try:
            return await future  # What is being written is written even if its caller is cancelled.
        finally:
            self._waiting -= 1

    def resubmit(self, lane: Lane, op: Op) -> None:
        lane.submit(op)

    def start(self, coroutine: object) -> None:
        task: asyncio.Task[None] = self.loop.create_task(coroutine)  # type: ignore[arg-type]
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def activate(self, segment: OpenSegment) -> None:
        """From now on this one is written; in the index before its first record, so that a recovery knows of it."""
        with self.index.writing() as txn:
            key = segment.id.to_bytes(8, "big")
            txn.put(key, segment.row(self.worker).pack(), db=self.index.segments)
            txn.put(b"newest", self.clock.stamp().to_bytes(8, "little"), db=self.index.misc)

    def seal(self, segment: OpenSegment) -> None:
        def sealed(row: Segment) -> Segment:
            replicas = tuple((drive, STALE if drive in segment.bad else state) for drive, state in row.replicas)
            return replace(row, state=SEALED, replicas=replicas)

        self.index.update_segment(segment.id, sealed)

    def cut(self, segment: int, offset: int) -> None:
        """What lies from there on does not count."""
        self.index.set_note(b"abort" + segment.to_bytes(8, "big"), offset.to_bytes(8, "big"))

    def settled(self) -> None:
        self._settled.set()

    def leaves(self, segment: OpenSegment) -> bool:
        """Whether one of its drives is to be emptied, or is none of ours any more."""
        return any(bay.spec.draining or self.members.bay(bay.id) is not bay for bay, _ in segment.files)

    def leave(self) -> None:
        """After the drives were configured."""
        for lane in self._lanes.values():
            lane.leave()

    async def drain(self) -> None:
        self.draining = True
        while self._waiting or not all(lane.idle for lane in self._lanes.values()):
            self._settled.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._settled.wait(), 0.05)

    async def close(self) -> None:
        for lane in self._lanes.values():
            await lane.close()


def record(type: int, stamp: int, key: bytes, entry: bytes, body: bytes | memoryview = b"") -> Record:
    """A record with the checksum of its body."""
    return Record(type, stamp, key, entry, body, crc32c(body) if body else 0)
