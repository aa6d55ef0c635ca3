"""Where the copies of a version lie, and when each was last found good."""

from __future__ import annotations

from dataclasses import dataclass

from storage.engine.fragments import NOWHERE
from storage.engine.index import EXTENT, GOOD, Index
from storage.engine.members import Members
from storage.engine.reader import Reader
from storage.engine.types import Version
from storage.engine.verified import Verified

WHOLE, MISSING, DAMAGED = "whole", "missing", "damaged"
_ORDER = (WHOLE, MISSING, DAMAGED)  # The worst of its pieces is what a copy is.


@dataclass(slots=True)
class Replica:
    """What one drive has of a version. `missing`: the drive is not here; `damaged`: its copy is to be written again.

    `verified` is in seconds since 1970, of the piece that was looked at longest ago; None if one of them has not been yet.
    """

    drive: str
    state: str
    bytes: int
    verified: float | None


def expected(index: Index, reader: Reader, version: Version) -> int:
    """On how many drives it should be, by how it was kept: small bodies have copies also where large ones have fragments."""
    if version.delete_marker:
        return 0
    if version.location is not None:
        return version.storage_class.log.replicas
    wanted = 0
    for id, _, _ in reader.pieces(version, 0, version.size):
        blob = index.blob(id)
        if blob is not None:
            coded = blob.data + blob.parity if blob.data else blob.copies
            wanted = max(wanted, coded if blob.kind == EXTENT else version.storage_class.log.replicas)
    return wanted


def replicas(index: Index, members: Members, reader: Reader, version: Version) -> list[Replica]:
    """By drive; empty for a delete marker. May read a manifest: call it in a thread. Raises as reading does."""
    if version.delete_marker:
        return []
    found: dict[bytes, Replica] = {}
    known = Verified(index)

    labels = [bay.spec.path.name for bay in members.bays.values()]

    def name_of(drive: bytes) -> str:
        """Its folder's own name: where that lies is nobody's business who may read an object."""
        bay = members.bay(drive)
        if bay is None:
            return drive.hex()[:8]
        name = bay.spec.path.name
        return name if labels.count(name) == 1 else f"{name} {drive.hex()[:4]}"

    def add(drive: bytes, state: int, size: int, verified: float | None) -> None:
        bay = members.bay(drive)
        word = MISSING if bay is None else WHOLE if state == GOOD else DAMAGED
        now = found.get(drive)
        if now is None:
            found[drive] = Replica(name_of(drive), word, size, verified)
            return
        now.state = max(now.state, word, key=_ORDER.index)
        now.bytes += size
        now.verified = None if now.verified is None or verified is None else min(now.verified, verified)

    def segment(id: int, size: int) -> None:
        row = index.segment(id)
        for drive, state in row.replicas if row is not None else ():
            add(drive, state, size, known.segment(id, drive))

    if version.location is not None:
        segment(version.location.segment, version.size)
    pieces = reader.pieces(version, 0, version.size) if version.location is None else []
    for id, _, length in pieces:
        blob = index.blob(id)
        if blob is None:
            continue
        if blob.kind == EXTENT:
            for drive, state in blob.replicas:
                if drive == NOWHERE:
                    continue  # A fragment that found no drive yet: the repairer makes it.
                add(drive, state, length // max(1, blob.data), known.extent(id, drive))
        else:
            segment(blob.place[0], length)
    return sorted(found.values(), key=lambda one: one.drive)
