"""Segments as files: made ahead, written by one worker, read by all.

A new segment is a spare (spares.py), or it is filled with zeros before its first record. Writing into blocks that exist needs no commit of
the file system's journal, which takes away a good part of the cost of a durable write, and its long tail. Filling happens ahead of need, in
the background, slowly; if a segment is wanted sooner it is used as it is, since it may also grow.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from storage.engine.drives import File
from storage.engine.index import GOOD, OPEN, Index, Segment
from storage.engine.members import Bay, Members
from storage.engine.records import SEGMENT_HEADER_BYTES, SegmentHeader, segment_header
from storage.engine.spares import Spares

log = logging.getLogger(__name__)

ZEROS = memoryview(bytes(1 << 20))
ZERO_PAUSE_SECONDS = 0.02  # After each MiB: filling ahead takes the drives at most a few percent.
FILES_MAX = 512


def path_of(segment: int) -> str:
    return f"segments/{segment:016x}"


@dataclass
class OpenSegment:
    """A segment that this worker appends to."""

    id: int
    storage_class: int
    capacity: int
    files: list[tuple[Bay, File]]
    end: int = SEGMENT_HEADER_BYTES
    bad: set[bytes] = field(default_factory=set)  # Drives that failed a write to it.
    written: dict[bytes, int] = field(default_factory=dict)  # How far each drive has come; kept by the drives' threads.
    closed: bool = False  # A batch failed on all of them: nothing may be written behind it.
    written_before: set[bytes] = field(default_factory=set)  # Drives whose file has been written to its end, if only with zeros.
    stop_filling: threading.Event = field(default_factory=threading.Event)
    filling: threading.Lock = field(default_factory=threading.Lock)  # Held over each write of zeros.

    def whole(self) -> int:
        """Up to where every drive has it, but for those that failed."""
        return min((self.written.get(bay.id, SEGMENT_HEADER_BYTES) for bay, _ in self.files if bay.id not in self.bad), default=0)

    def end_filling(self) -> None:
        """Returns when no zeros are under way any more: they must not land on the first record."""
        self.stop_filling.set()
        with self.filling:
            pass

    def row(self, worker: int) -> Segment:
        replicas = tuple((bay.id, GOOD) for bay, _ in self.files)
        return Segment(self.id, worker, self.storage_class, OPEN, self.end, 0, self.capacity, replicas)

    def discard(self, spares: Spares) -> None:
        """It was never used."""
        self.end_filling()
        for bay, file in self.files:
            with contextlib.suppress(OSError):
                file.close()
                written = self.capacity if bay.id in self.written_before else 0
                spares.retire(bay, path_of(self.id), capacity=self.capacity, written=written)


def make(
    members: Members,
    spares: Spares,
    id: int,
    worker: int,
    *,
    storage_class: int,
    replicas: int,
    quorum: int,
    capacity: int,
    freeing: bool,
) -> OpenSegment:
    """Create it on as many drives as there are, at least the quorum. Raises NoRoom if there are too few with room.

    `freeing`: what is to be written gives room back, and may use the reserve.
    """
    files: list[tuple[Bay, File]] = []
    tried: set[bytes] = set()
    recycled: set[bytes] = set()
    while len(files) < replicas:
        wanted = [
            bay
            for bay in members.choose(
                replicas + len(tried), room=0 if freeing else capacity, reserve=not freeing, beside=[b.id for b, _ in files]
            )
            if bay.id not in tried
        ]
        if not wanted:
            break
        bay = wanted[0]
        tried.add(bay.id)
        try:
            spare = spares.take(bay, path_of(id), capacity)
            file = spare or bay.drive.create(path_of(id), capacity)
        except OSError as error:
            bay.failed(error)
            log.warning("drive %s took no new segment: %s", bay.label, error)
            continue
        files.append((bay, file))
        if spare is not None:
            recycled.add(bay.id)
    header = segment_header(SegmentHeader(id, worker, storage_class, capacity, members.store, tuple(bay.id for bay, _ in files)))
    made = OpenSegment(id, storage_class, capacity, [], written_before=recycled)
    for bay, file in files:
        try:
            file.write([header], 0, durable=True)
        except OSError as error:
            bay.failed(error)
        else:
            made.files.append((bay, file))
    if len(made.files) < quorum:
        made.discard(spares)
        raise NoRoom(len(made.files), quorum, full=_full(members, capacity, freeing))
    return made


def _full(members: Members, capacity: int, freeing: bool) -> bool:
    """Whether it is room that lacks, rather than drives."""
    return len(members.usable(room=0 if freeing else capacity, reserve=not freeing)) < len(members.usable(room=0, reserve=False))


class NoRoom(Exception):
    """Too few drives take new bytes."""

    def __init__(self, found: int, needed: int, *, full: bool) -> None:
        super().__init__(f"{found} of {needed} drives {'have room' if full else 'answer'}")
        self.full = full


def fill(segment: OpenSegment, *, pause: float = ZERO_PAUSE_SECONDS, wait: Callable[[float], None] = time.sleep) -> None:
    """Lay zeros from what is written to the capacity; stops when the segment comes into use, for that is where it is then written."""
    try:
        new = [(bay, file) for bay, file in segment.files if bay.id not in segment.written_before]
        for offset in range(SEGMENT_HEADER_BYTES, segment.capacity, len(ZEROS)) if new else ():
            zeros = ZEROS[: min(len(ZEROS), segment.capacity - offset)]
            for _, file in new:
                with segment.filling:
                    if segment.stop_filling.is_set():
                        return
                    file.write([zeros], offset)
            if pause:
                wait(pause)
        for bay, file in new:
            with segment.filling:  # Or it could be closed in the middle.
                if segment.stop_filling.is_set():
                    return
                file.sync()
                segment.written_before.add(bay.id)
    except OSError as error:  # The first real write will find out what is wrong.
        log.info("filling a segment ahead stopped: %s", error)


class SegmentFiles:
    """Open files of segments for reading, and what the index says about them; one set per process, bounded."""

    def __init__(self, index: Index, members: Members) -> None:
        self._index, self._members = index, members
        self._rows: dict[int, Segment] = {}
        self._files: dict[tuple[int, bytes], File] = {}
        self._lock = threading.Lock()

    def row(self, id: int, *, fresh: bool = False) -> Segment | None:
        row = None if fresh else self._rows.get(id)
        if row is None:
            row = self._index.segment(id)
            if row is not None:
                with self._lock:
                    while len(self._rows) >= FILES_MAX:
                        del self._rows[next(iter(self._rows))]
                    self._rows[id] = row
        return row

    def replicas(self, id: int, *, fresh: bool = False) -> list[Bay]:
        """The drives to read from, the preferred one first: always the same for a segment, so it is cached in memory once, not thrice."""
        row = self.row(id, fresh=fresh)
        if row is None:
            return []
        bays = [bay for drive in row.good() if (bay := self._members.bay(drive)) is not None]
        if len(bays) > 1:
            turn = (id >> 8) % len(bays)
            bays = bays[turn:] + bays[:turn]
        return bays

    def file(self, id: int, bay: Bay) -> File:
        key = (id, bay.id)
        file = self._files.get(key)
        if file is None:
            file = bay.drive.open(path_of(id))
            with self._lock:
                while len(self._files) >= FILES_MAX:  # Closed when the last reader lets go of it.
                    del self._files[next(iter(self._files))]
                self._files[key] = file
        return file

    def forget_retired(self) -> None:
        """Let go of files that another worker has removed: an open one would keep its room on the drive."""
        with self._lock:
            known = {*self._rows, *(id for id, _ in self._files)}
        for id in known:
            if self._index.segment(id) is None:
                self.forget(id)

    def forget(self, id: int) -> None:
        with self._lock:
            self._rows.pop(id, None)
            for key in [key for key in self._files if key[0] == id]:
                del self._files[key]
