"""What is written together: changes on their way, and the count of drives that have them."""

from __future__ import annotations

import asyncio
import struct
import threading
from typing import TYPE_CHECKING

from cloudbox.common.errors import Unavailable
from storage.engine.members import Bay
from storage.engine.records import PUT, Record
from storage.engine.segments import OpenSegment

if TYPE_CHECKING:
    from storage.engine.lanes import Lane

FEW = "Too few of the object store's drives answer to keep this safely. Try again when they are back."


class Op:
    """A record on its way, and who waits for it."""

    __slots__ = ("conditional", "copy", "freeing", "future", "record", "row_offset", "segment")

    def __init__(self, record: Record, future: asyncio.Future[Op], *, conditional: bool, copy: bool, freeing: bool) -> None:
        self.record, self.future = record, future
        self.conditional, self.copy, self.freeing = conditional, copy, freeing
        self.segment = 0
        self.row_offset = 0  # Of the body.

    @property
    def place(self) -> tuple[int, int, int, int]:
        return self.segment, self.row_offset, len(self.record.body), self.record.body_crc


def restamped(record: Record, stamp: int) -> Record:
    """The same change, made later."""
    entry = record.entry
    if record.type == PUT and struct.unpack_from("<Q", entry, 2)[0] == record.stamp:
        entry = entry[:2] + struct.pack("<Q", stamp) + entry[10:]
    return record._replace(stamp=stamp, entry=entry)


class Batch:
    """Records that are written together. `report` is called once by each drive's thread."""

    def __init__(self, lane: Lane, ops: list[Op], segment: OpenSegment, start: int, end: int) -> None:
        self.lane, self.ops, self.segment, self.start, self.end = lane, ops, segment, start, end
        self.outcomes: list[str] = []
        self.durable = False
        self.error: Unavailable | None = None
        self.failed: set[bytes] = set()
        self._waiting = len(segment.files)
        self._good = 0
        self._decided = False
        self._lock = threading.Lock()

    def report(self, bay: Bay, error: OSError | None) -> None:
        with self._lock:
            self._waiting -= 1
            if error is None:
                self._good += 1
            else:
                self.failed.add(bay.id)
            decide = not self._decided and (self._good >= self.lane.quorum or not self._waiting)
            late = self._decided and error is not None
            self._decided = self._decided or decide
        if decide:
            if self._good >= self.lane.quorum:
                self.durable = True
                self.lane.enter(self)
            else:
                self.error = Unavailable(FEW)
            self.lane.tell(self.lane.ended, self)
        elif late:
            self.lane.tell(self.lane.degraded, self)
