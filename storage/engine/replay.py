"""Replaying a segment: what lies in it behind what the index knows is brought in, and completed on the drives that lack it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

from storage.engine import changes
from storage.engine.changes import Item
from storage.engine.drives import File
from storage.engine.index import SEALED, STALE, Index, Segment
from storage.engine.members import Bay
from storage.engine.records import SEGMENT_HEADER_BYTES, Found, scan

# Per transaction: names lie anywhere in the index, and one that changes many touches each of its pages once.
REPLAY_ITEMS, REPLAY_BYTES = 10_000, 16 << 20
NEWEST_NOTE = b"newest"
HOLES = b"holes"  # In the index's notes, before a segment's id.


@dataclass
class Report:
    """What a recovery did."""

    index: str = "kept"  # or "checkpoint", "rebuilt", "new"
    segments: int = 0
    records: int = 0
    mended_records: int = 0
    newest: int = 0  # Stamp


def note_newest(index: Index, stamp: int) -> None:
    """So that the stamps of the next boot lie above, even if the wall clock has been put back."""
    with index.writing() as txn:
        raw = txn.get(NEWEST_NOTE, db=index.misc)
        if raw is None or int.from_bytes(raw, "little") < stamp:
            txn.put(NEWEST_NOTE, stamp.to_bytes(8, "little"), db=index.misc)


def replay(index: Index, row: Segment, files: list[tuple[Bay, File]], report: Report) -> None:
    """Index what lies behind the row's end on any of these replicas, complete it on the others, and seal the segment."""
    cut = index.note(b"abort" + row.id.to_bytes(8, "big"))
    limit = int.from_bytes(cut, "big") if cut is not None else 1 << 62
    seen: dict[int, int] = {}
    has: dict[bytes, set[int]] = {}
    stale = {drive for drive, state in row.replicas if state == STALE}
    end = row.end
    start = max(SEGMENT_HEADER_BYTES, min(row.whole, row.end))
    for bay, file in files:
        mine = has[bay.id] = set()
        items: list[Item] = []
        size = 0
        try:
            # From before the end: the slowest drive may lack batches that its fellows' quorum brought into the index.
            for found in scan(file.read, row.id, start, min(limit, file.size())):
                mine.add(found.offset)
                if found.offset not in seen:
                    seen[found.offset] = found.end
                    end = max(end, found.end)
                    report.newest = max(report.newest, found.record.stamp)
                    if found.offset >= row.end:
                        items.append(Item(found.record, found.body_offset))
                        size += len(found.record.body)
                if len(items) >= REPLAY_ITEMS or size >= REPLAY_BYTES:
                    _enter(index, row.id, items, report)
                    items, size = [], 0
        except OSError as error:
            bay.failed(error)
            stale.add(bay.id)
        _enter(index, row.id, items, report)
    note_newest(index, max(report.newest, row.id))
    reached = {bay.id for bay, _ in files}
    for bay, file in files:
        lacking = sorted(seen.keys() - has[bay.id])
        if lacking and bay.id not in stale and not _mend(file, bay, lacking, seen, has, files, report):
            stale.add(bay.id)
    stale |= {drive for drive, _ in row.replicas if drive not in reached} if seen else set()

    def sealed(now: Segment) -> Segment:
        replicas = tuple((drive, STALE if drive in stale else state) for drive, state in now.replicas)
        return replace(now, state=SEALED, end=max(now.end, end), replicas=replicas)

    gaps = _gaps(seen, start, end)
    if gaps:  # Batches that were torn before anybody was told of them.
        index.set_note(HOLES + row.id.to_bytes(8, "big"), json.dumps(sorted(gaps | known_holes(index, row.id))).encode())
    index.update_segment(row.id, sealed)
    report.segments += 1


def _gaps(ends: Mapping[int, int], start: int, end: int) -> set[tuple[int, int]]:
    found: set[tuple[int, int]] = set()
    at = start
    for offset in sorted(ends):
        if offset > at:
            found.add((at, offset))
        at = max(at, ends[offset])
    if at < end:
        found.add((at, end))
    return found


def holes(records: Mapping[int, Found], start: int, end: int) -> set[tuple[int, int]]:
    """Stretches of a segment in which no sound record was found."""
    return _gaps({offset: found.end for offset, found in records.items()}, start, end)


def known_holes(index: Index, segment: int) -> set[tuple[int, int]]:
    """Those in which there never was one that counts."""
    raw = index.note(HOLES + segment.to_bytes(8, "big"))
    return {(low, high) for low, high in json.loads(raw)} if raw else set()


def _enter(index: Index, segment: int, items: list[Item], report: Report) -> None:
    if items:
        changes.apply(index, segment, items, None, replay=True)
        report.records += len(items)


def _mend(
    file: File,
    bay: Bay,
    lacking: list[int],
    seen: dict[int, int],
    has: dict[bytes, set[int]],
    files: list[tuple[Bay, File]],
    report: Report,
) -> bool:
    """Copy records to a replica that lacks them, from one that has them."""
    try:
        for offset in lacking:
            source = next(f for b, f in files if offset in has[b.id])
            file.write([source.read(offset, seen[offset] - offset)], offset, durable=True)
            report.mended_records += 1
    except OSError as error:
        bay.failed(error)
        return False
    return True
