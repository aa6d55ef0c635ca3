"""The auditor: reads everything again and again, slowly, and puts right what has gone bad before a second copy does.

Segments and extents take turns by their ids; where a round ended is kept in the index, so a restart goes on from there.
"""

from __future__ import annotations

import json
import logging
import time
from dataclasses import replace

from awscrt.checksums import crc32c

from storage.engine import extents, verified
from storage.engine.drives import File
from storage.engine.extents import BLOCK_BYTES, Table
from storage.engine.index import EXTENT, GOOD, OPEN, RETIRED, STALE, Blob, Index, Segment
from storage.engine.members import Bay, Members
from storage.engine.reader import Reader
from storage.engine.records import SEGMENT_HEADER_BYTES, scan
from storage.engine.recovery import holes, known_holes
from storage.engine.rounds import Progress, Wait, at_once
from storage.engine.segments import path_of

log = logging.getLogger(__name__)

ROUND_BYTES = 64 << 20
EVERY_SECONDS = 86_400.0  # When everything has been read, the next reading begins so long after.
CHUNK_BYTES = 4 << 20
_PLACE = b"audit"


def audit(
    index: Index, members: Members, reader: Reader, *, budget: int = ROUND_BYTES, wait: Wait = at_once, every: float = EVERY_SECONDS
) -> Progress:
    """Check what follows the place of the last round, about so many bytes. `wait(bytes)` is called after each read, to throttle."""
    progress = Progress("audit")
    state = json.loads(index.note(_PLACE) or b"{}")
    if time.time() - float(state.get("finished", 0)) < every:
        return progress
    segments = [row for row in index.all_segments() if row.state not in (OPEN, RETIRED) and row.id > int(state.get("segment", 0))]
    for row in segments:
        if progress.bytes >= budget:
            break
        check_segment(index, members, reader, row, progress, wait)
        state["segment"] = row.id
    else:
        for id, blob in _blobs(index, bytes.fromhex(state.get("blob", ""))):
            if progress.bytes >= budget:
                break
            _audit_extent(index, members, reader, id, blob, progress, wait)
            state["blob"] = id.hex()
        else:
            state = {"finished": time.time()}
    index.set_note(_PLACE, json.dumps(state).encode())
    verified.note(index, members, state)
    return progress


def _blobs(index: Index, after: bytes) -> list[tuple[bytes, Blob]]:
    found: list[tuple[bytes, Blob]] = []
    with index.env.begin() as txn:
        cursor = txn.cursor(db=index.blobs)
        ok = cursor.set_range(after + b"\0")
        while ok and len(found) < 1000:
            key, row = cursor.item()
            if row[0] == EXTENT:
                found.append((key, Blob.unpack(row)))
            ok = cursor.next()
    return found


# --- segments


def check_segment(index: Index, members: Members, reader: Reader, row: Segment, progress: Progress, wait: Wait) -> None:
    """Every record on every replica; what one lacks is copied from one that has it."""
    progress.done += 1
    has: list[tuple[Bay, File, set[int]]] = []
    ends: dict[int, int] = {}
    for drive in row.good():
        bay = members.bay(drive)
        if bay is None:
            continue
        try:
            file = bay.drive.open(path_of(row.id), write=True)
            offsets = set()
            for found in scan(file.read, row.id, SEGMENT_HEADER_BYTES, min(row.end, file.size())):
                offsets.add(found.offset)
                ends[found.offset] = found.end
        except OSError as error:
            bay.failed(error)
            _stale(index, reader, row.id, bay, progress, str(error))
            continue
        has.append((bay, file, offsets))
        progress.bytes += row.end
        wait(row.end)
    for bay, file, offsets in has:
        lacking = sorted(ends.keys() - offsets)
        if not lacking:
            continue
        bay.health.bad_blocks += len(lacking)
        progress.notes.append(f"drive {bay.label}: {len(lacking)} records of segment {row.id:016x} were bad")
        try:
            for offset in lacking:
                source = next(f for _, f, mine in has if offset in mine)
                file.write([source.read(offset, ends[offset] - offset)], offset, durable=True)
                progress.mended += 1
        except OSError as error:
            bay.failed(error)
            _stale(index, reader, row.id, bay, progress, str(error))
    if has:
        found_all = {offset: _End(end) for offset, end in ends.items()}
        for low, high in holes(found_all, SEGMENT_HEADER_BYTES, row.end) - known_holes(index, row.id):  # type: ignore[arg-type]
            progress.lost += 1
            progress.notes.append(f"segment {row.id:016x}: bytes {low} to {high} are bad on every drive")


class _End:
    """Only the end of a record."""

    def __init__(self, end: int) -> None:
        self.end = end


def _stale(index: Index, reader: Reader, segment: int, bay: Bay, progress: Progress, why: str) -> None:
    progress.notes.append(f"drive {bay.label}: segment {segment:016x} is to be written again ({why})")
    index.update_segment(segment, lambda now: replace(now, replicas=tuple((d, STALE if d == bay.id else s) for d, s in now.replicas)))
    reader.files.forget(segment)


# --- extents


def _audit_extent(index: Index, members: Members, reader: Reader, id: bytes, blob: Blob, progress: Progress, wait: Wait) -> None:
    """Every block of every file; a file that is not whole is stale, and the repairer writes it again."""
    progress.done += 1
    bad: list[bytes] = []
    good = 0
    for number, (drive, state) in enumerate(blob.replicas):
        bay = members.bay(drive)
        if bay is None or state != GOOD:
            continue
        why = _check_file(bay, id, number if blob.data else None, progress, wait)
        if why:
            bay.health.bad_blocks += 1
            bad.append(drive)
            progress.notes.append(f"drive {bay.label}: extent {id.hex()} is to be written again ({why})")
        else:
            good += 1
    needed = max(1, blob.data)
    if bad and good < needed:
        progress.lost += 1
        progress.notes.append(f"extent {id.hex()} is bad on every drive that is here")
    elif bad:
        index.update_blob(id, lambda now: replace(now, replicas=tuple((d, STALE if d in bad else s) for d, s in now.replicas)))
        reader.forget_extent(id)
        progress.mended += len(bad)


def _check_file(bay: Bay, id: bytes, fragment: int | None, progress: Progress, wait: Wait) -> str:
    """What is wrong with it; empty if nothing is."""
    try:
        file = bay.drive.open(extents.path_of(id, fragment))
        table = extents.table_of(file.read, file.size())
        if table is None or table.blob != id:
            return "its table is bad"
        return _check_blocks(file, table, progress, wait)
    except OSError as error:
        return str(error)


def _check_blocks(file: File, table: Table, progress: Progress, wait: Wait) -> str:
    for start in range(0, table.size, CHUNK_BYTES):
        data = file.read(start, min(CHUNK_BYTES, table.size - start))
        view = memoryview(data)
        for at in range(0, len(data), BLOCK_BYTES):
            if crc32c(view[at : at + BLOCK_BYTES]) != table.checksums[(start + at) // BLOCK_BYTES]:
                return f"block {(start + at) // BLOCK_BYTES} is bad"
        progress.bytes += len(data)
        wait(len(data))
    return ""
