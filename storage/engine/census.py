"""What lies on each drive, and what lacks copies: one walk over the index, for the admin console and for letting go of a drive."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from storage.engine.fragments import NOWHERE
from storage.engine.index import EXTENT, GOOD, OPEN, RETIRED, Blob, Index
from storage.engine.members import Members
from storage.engine.types import CLASS_BY_NUMBER

PAGE = 2000


@dataclass(slots=True)
class Placed:
    """On one drive. `size_bytes` of a segment are those that are written, dead ones included."""

    segments: int = 0
    extents: int = 0
    size_bytes: int = 0


@dataclass(slots=True)
class Census:
    """`drives` by id, also of those that are not here; `waiting` lack a copy or have one on a drive that is being emptied."""

    drives: dict[bytes, Placed] = field(default_factory=dict)
    segments: int = 0
    extents: int = 0
    size_bytes: int = 0
    waiting: int = 0
    waiting_bytes: int = 0

    def on(self, drive: bytes) -> Placed:
        return self.drives.setdefault(drive, Placed())


def count(index: Index, members: Members) -> Census:
    """Some microseconds per extent: call it in a thread, and not too often."""
    census = Census()
    for row in index.all_segments():
        if row.state == RETIRED:
            continue
        census.segments += 1
        census.size_bytes += row.end
        for drive, _ in row.replicas:
            placed = census.on(drive)
            placed.segments += 1
            placed.size_bytes += row.end
        if row.state != OPEN and _lacks(members, row.replicas, CLASS_BY_NUMBER[row.storage_class].replicas):
            census.waiting += 1
            census.waiting_bytes += row.end
    for blob in _extents(index):
        census.extents += 1
        each = blob.size // max(1, blob.data)
        census.size_bytes += blob.size
        for drive, _ in blob.replicas:
            if drive == NOWHERE:
                continue
            placed = census.on(drive)
            placed.extents += 1
            placed.size_bytes += each
        if _lacks(members, blob.replicas, blob.data + blob.parity if blob.data else blob.copies):
            census.waiting += 1
            census.waiting_bytes += each
    return census


def _lacks(members: Members, replicas: tuple[tuple[bytes, int], ...], wanted: int) -> bool:
    good = 0
    for drive, state in replicas:
        bay = members.bay(drive)
        if bay is not None and bay.spec.draining:
            return True
        good += state == GOOD and bay is not None
    return good < min(wanted, sum(not bay.spec.draining for bay in members.bays.values()))


def _extents(index: Index) -> Iterator[Blob]:
    """A page at a time: a long look would keep LMDB from using pages again."""
    after = b""
    while True:
        found: list[bytes] = []
        with index.env.begin() as txn:
            cursor = txn.cursor(db=index.blobs)
            ok = cursor.set_range(after + b"\0")
            while ok and len(found) < PAGE:
                after, row = cursor.item()
                found.append(row)
                ok = cursor.next()
        yield from (Blob.unpack(row) for row in found if row[0] == EXTENT)
        if len(found) < PAGE:
            return
