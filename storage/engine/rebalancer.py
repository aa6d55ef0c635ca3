"""The rebalancer: evens out how full the drives are, after some were added, weighed anew, or kept after a drain.

A drive's fair share is what is stored times its weight times its size, over the sum of these. While one is far above its share and
another below, pieces (a segment's copy, an extent's, a fragment) are moved from the one to the other, one at a time: copied, checked,
entered, and only then removed where they were. No move puts two copies closer together than they were. It begins when nothing lacks
copies and no drive is missing or being emptied, for then the repairer comes first.

A copy of a segment that was moved away stays in the segment's list, as one that is not read, until its file is gone: a segment is only
retired from all drives that may have its file, or a drive that vanishes in between could come back with records whose tombstones are
forgotten.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from cloudbox.common.errors import Unavailable
from storage.engine import extents, fragments
from storage.engine.auditor import check_segment
from storage.engine.index import EXTENT, GOOD, SEALED, STALE, Blob, Index, Segment
from storage.engine.members import Bay, Members
from storage.engine.placement import Candidate, pick
from storage.engine.reader import Reader
from storage.engine.repairer import Replicas, copy_extent, copy_segment, exchange
from storage.engine.rounds import Progress, Wait, at_once
from storage.engine.segments import path_of
from storage.engine.types import CLASS_BY_NUMBER

log = logging.getLogger(__name__)

ROUND_BYTES = 128 << 20
TOLERANCE = 0.05  # Of its fair share: so much above it, and so much below it, is well.
LEAST_BYTES = 256 << 20  # Less is not worth a move: a few segments more or less are chance.
PAGE = 2000


@dataclass
class _Load:
    """A drive, what is on it, and what ought to be."""

    bay: Bay
    held: int = 0
    fair: float = 0.0

    @property
    def above(self) -> float:
        return self.held - self.fair


def rebalance(
    index: Index,
    members: Members,
    reader: Reader,
    *,
    budget: int = ROUND_BYTES,
    least: int = LEAST_BYTES,
    tolerance: float = TOLERANCE,
    wait: Wait = at_once,
) -> Progress:
    """Move up to about so many bytes. `bytes_left` says how much more is to be moved."""
    progress = Progress("rebalance")
    _release(index, members, reader, progress, wait)
    if members.missing or any(bay.spec.draining for bay in members.bays.values()):
        return progress
    loads = _loads(index, members)
    if not loads:
        return progress
    slack = max(least, *(tolerance * load.fair for load in loads.values()))
    full = any(load.above > slack for load in loads.values())
    empty = any(-load.above > slack for load in loads.values())
    if not (full or empty):
        return progress
    for piece in _pieces(index):
        if progress.bytes >= budget:
            break
        if piece.blob is not None and not piece.blob.data and len(piece.replicas) > piece.blob.copies:
            _trim(index, members, reader, piece)
            continue
        sources = [load for drive, state in piece.replicas if state == GOOD and (load := loads.get(drive)) and load.above > piece.size / 2]
        for source in sorted(sources, key=lambda load: -load.above)[:1]:
            target = _target(members, loads, piece, source)
            if target is not None:
                _move(index, members, reader, loads, piece, source, target, progress, wait)
    progress.bytes_left = int(sum(max(0.0, load.above - slack / 2) for load in loads.values()))
    progress.left = sum(load.above > slack for load in loads.values())
    return progress


def _loads(index: Index, members: Members) -> dict[bytes, _Load]:
    """Empty if a drive does not answer: then nothing is known of shares."""
    loads = {id: _Load(bay) for id, bay in members.bays.items()}
    sizes = {id: bay.spec.weight * bay.space()[1] for id, bay in members.bays.items()}
    if not loads or any(bay.space()[1] == 0 for bay in members.bays.values()) or not sum(sizes.values()):
        return {}
    for piece in _pieces(index, every=True):
        for drive, state in piece.replicas:
            if state == GOOD and drive in loads:
                loads[drive].held += piece.size
    held, whole = sum(load.held for load in loads.values()), sum(sizes.values())
    for id, load in loads.items():
        load.fair = held * sizes[id] / whole
    return loads


# --- pieces


@dataclass(frozen=True, slots=True)
class _Piece:
    """What lies on several drives, so many bytes on each; a segment or an extent."""

    row: Segment | None
    id: bytes
    blob: Blob | None
    size: int

    @property
    def replicas(self) -> Replicas:
        found = self.row or self.blob
        assert found is not None
        return found.replicas


def _pieces(index: Index, *, every: bool = False) -> Iterator[_Piece]:
    """Those that can be moved, which open segments cannot; or `every` one that takes room."""
    for row in index.all_segments():
        if row.state == SEALED or every:
            yield _Piece(row, b"", None, row.end)
    after = b""
    while True:  # Page by page: a long look would keep LMDB from using pages again.
        found: list[tuple[bytes, bytes]] = []
        with index.env.begin() as txn:
            cursor = txn.cursor(db=index.blobs)
            ok = cursor.set_range(after + b"\0")
            while ok and len(found) < PAGE:
                found.append(cursor.item())
                ok = cursor.next()
        for id, raw in found:
            if raw[0] == EXTENT:
                blob = Blob.unpack(raw)
                yield _Piece(None, id, blob, max(1, blob.size // max(1, blob.data)))
        if len(found) < PAGE:
            return
        after = found[-1][0]


# --- moves


def _target(members: Members, loads: dict[bytes, _Load], piece: _Piece, source: _Load) -> Bay | None:
    """A drive below its share that has nothing of the piece, and that is no closer to the other copies than the source is."""
    taken = {drive for drive, _ in piece.replicas}
    others = [load.bay for drive in taken if (load := loads.get(drive)) is not None and load is not source]
    usable = {bay.id for bay in members.usable(room=piece.size)}
    below = [load for id, load in loads.items() if id in usable - taken and -load.above >= piece.size / 2]
    candidates = [Candidate(load.bay.id, load.bay.spec.domain, 1.0, int(-load.above) + 1) for load in below]
    chosen = pick(candidates, 1, beside=[bay.candidate() for bay in others])
    if not chosen:
        return None
    target = loads[chosen[0].id].bay
    return target if _crowd(target, others) <= _crowd(source.bay, others) else None


def _crowd(bay: Bay, others: list[Bay]) -> int:
    return sum(bool(bay.spec.domain) and bay.spec.domain == other.spec.domain for other in others)


def _move(
    index: Index,
    members: Members,
    reader: Reader,
    loads: dict[bytes, _Load],
    piece: _Piece,
    source: _Load,
    target: Bay,
    progress: Progress,
    wait: Wait,
) -> None:
    try:
        move = _move_segment if piece.row is not None else _move_fragment if piece.blob and piece.blob.data else _move_extent
        if not move(index, members, reader, piece, source.bay, target, progress, wait):
            return
    except Unavailable:
        progress.notes.append(f"extent {piece.id.hex()}: too few of its fragments can be read to move one")
        return
    except OSError as error:
        target.failed(error)
        progress.notes.append(f"drive {target.label} did not take a copy: {error}")
        return
    source.held -= piece.size
    loads[target.id].held += piece.size
    progress.done += 1
    progress.bytes += piece.size


def _move_segment(
    index: Index, members: Members, reader: Reader, piece: _Piece, source: Bay, target: Bay, progress: Progress, wait: Wait
) -> bool:
    row = piece.row
    assert row is not None
    copy_segment(row.id, row.end, wait, target, _sources(members, row.replicas, source))
    after = (*((drive, STALE if drive == source.id else state) for drive, state in row.replicas), (target.id, GOOD))
    index.update_segment(row.id, partial(exchange, row.replicas, after))
    reader.files.forget(row.id)
    fresh = index.segment(row.id)
    if fresh is None or fresh.replicas != after:
        _discard(target, path_of(row.id), fresh)
        return False
    checked = Progress("rebalance")
    check_segment(index, members, reader, fresh, checked, wait)
    progress.mended += checked.mended
    progress.notes += checked.notes
    _release_one(index, members, reader, row.id)
    return True


def _move_extent(
    index: Index, members: Members, reader: Reader, piece: _Piece, source: Bay, target: Bay, progress: Progress, wait: Wait
) -> bool:
    assert piece.blob is not None
    copy_extent(piece.id, wait, target, _sources(members, piece.replicas, source))
    after = (*((drive, state) for drive, state in piece.replicas if drive != source.id), (target.id, GOOD))
    return _settle(index, reader, piece, after, source, target, extents.path_of(piece.id))


def _move_fragment(
    index: Index, members: Members, reader: Reader, piece: _Piece, source: Bay, target: Bay, progress: Progress, wait: Wait
) -> bool:
    assert piece.blob is not None
    number = next(n for n, (drive, _) in enumerate(piece.replicas) if drive == source.id)
    fragments.make(fragments.Fragments(piece.id, piece.blob, members), number, target, wait)
    after = tuple((target.id, GOOD) if n == number else pair for n, pair in enumerate(piece.replicas))
    return _settle(index, reader, piece, after, source, target, extents.path_of(piece.id, number))


def _settle(index: Index, reader: Reader, piece: _Piece, after: Replicas, source: Bay, target: Bay, path: str) -> bool:
    """Enter where an extent is now, and remove it where it was; if it has changed meanwhile, give the copy up."""
    index.update_blob(piece.id, partial(exchange, piece.replicas, after))
    reader.forget_extent(piece.id)
    fresh = index.blob(piece.id)
    if fresh is None or fresh.replicas != after:
        _discard(target, path, fresh)
        return False
    try:
        source.drive.remove(path)
    except OSError as error:  # The sweep finds it again.
        source.failed(error)
    return True


def _trim(index: Index, members: Members, reader: Reader, piece: _Piece) -> None:
    """Of an extent with a copy too many, let go of the one on the fullest drive."""
    good = [bay for drive, state in piece.replicas if state == GOOD and (bay := members.bay(drive)) is not None]
    if piece.blob is None or len(good) <= piece.blob.copies:
        return
    source = min(good, key=lambda bay: bay.space()[0])
    after = tuple(pair for pair in piece.replicas if pair[0] != source.id)
    _settle(index, reader, piece, after, source, source, extents.path_of(piece.id))


def _sources(members: Members, replicas: Replicas, first: Bay) -> list[Bay]:
    """Where to read: the drive that is too full, then the others."""
    rest = [bay for drive, state in replicas if state == GOOD and drive != first.id and (bay := members.bay(drive)) is not None]
    return [first, *rest]


def _discard(target: Bay, path: str, fresh: Any) -> None:
    """A copy that is not wanted any more."""
    if fresh is None or all(drive != target.id for drive, _ in fresh.replicas):
        try:
            target.drive.remove(path)
        except OSError as error:
            target.failed(error)


# --- files of segments that were moved away


def _release(index: Index, members: Members, reader: Reader, progress: Progress, wait: Wait) -> None:
    """Also those of a round that was cut off; and copies too many, as a rebuilt index finds them after one."""
    for row in index.all_segments():
        wanted = CLASS_BY_NUMBER[row.storage_class].replicas
        if row.state != SEALED or len(row.replicas) <= wanted:
            continue
        good = [bay for drive, state in row.replicas if state == GOOD and (bay := members.bay(drive)) is not None]
        if len(good) > wanted:
            check_segment(index, members, reader, row, progress, wait)  # The ones that stay have to be as good as the others.
            fullest = sorted(good, key=lambda bay: bay.space()[0])[: len(good) - wanted]
            spare = {bay.id for bay in fullest}
            after = tuple((drive, STALE if drive in spare else state) for drive, state in row.replicas)
            index.update_segment(row.id, partial(exchange, row.replicas, after))
        _release_one(index, members, reader, row.id)


def _release_one(index: Index, members: Members, reader: Reader, id: int) -> None:
    """Remove copies that are not read, if there are enough that are; first the file, then the note of it."""
    row = index.segment(id)
    if row is None or row.state != SEALED:
        return
    wanted = CLASS_BY_NUMBER[row.storage_class].replicas
    if sum(state == GOOD and drive in members.bays for drive, state in row.replicas) < wanted:
        return
    gone = set()
    for drive, state in row.replicas:
        bay = members.bay(drive)
        if state != STALE or bay is None:
            continue
        try:
            bay.drive.remove(path_of(id))
            gone.add(drive)
        except OSError as error:
            bay.failed(error)
    if gone:
        after = tuple(pair for pair in row.replicas if pair[0] not in gone)
        index.update_segment(id, partial(exchange, row.replicas, after))
        reader.files.forget(id)
