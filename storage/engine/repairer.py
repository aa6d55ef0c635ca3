"""The repairer: gives everything the copies that its class asks for, on drives that are here, and empties drives that are drained.

It looks for segments and extents that lack a good copy, or have one on a drive that is draining or is no member any more, writes a new
one, and only then lets go of the old. A drive that stays away for `AWAY_SECONDS`, while others have room for what it held, is given up.
"""

from __future__ import annotations

import logging
import mmap
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from awscrt.checksums import crc32c

from cloudbox.common.errors import Unavailable
from storage.engine import extents, fragments
from storage.engine.auditor import check_segment
from storage.engine.drives import File
from storage.engine.index import EXTENT, GOOD, OPEN, RETIRED, Blob, Index
from storage.engine.members import Bay, Members
from storage.engine.reader import Reader
from storage.engine.rounds import Progress, Wait, at_once
from storage.engine.segments import path_of
from storage.engine.types import CLASS_BY_NUMBER

log = logging.getLogger(__name__)

ROUND_BYTES = 256 << 20
CHUNK_BYTES = 4 << 20
AWAY_SECONDS = 900.0

Replicas = tuple[tuple[bytes, int], ...]


def repair(index: Index, members: Members, reader: Reader, *, budget: int = ROUND_BYTES, wait: Wait = at_once) -> Progress:
    """Bring up to about so many bytes to where they lack."""
    progress = Progress("repair")
    for row in index.all_segments():
        if row.state in (OPEN, RETIRED):
            continue
        plan = _plan(members, row.replicas, CLASS_BY_NUMBER[row.storage_class].replicas, row.capacity)
        if plan is None:
            continue
        if progress.bytes >= budget:
            progress.left += 1
            continue
        replicas = _carry_out(plan, row.replicas, partial(copy_segment, row.id, row.end, wait), progress)
        if replicas != row.replicas:
            index.update_segment(row.id, partial(exchange, row.replicas, replicas))
            reader.files.forget(row.id)
            _remove_left(members, row.replicas, replicas, path_of(row.id))
            fresh = index.segment(row.id)
            if fresh is not None:
                check_segment(index, members, reader, fresh, progress, wait)
    for id, blob in _extents(index):
        if blob.data:
            _repair_fragments(index, members, reader, id, blob, progress, budget, wait)
            continue
        plan = _plan(members, blob.replicas, blob.copies, blob.size)
        if plan is None:
            continue
        if progress.bytes >= budget:
            progress.left += 1
            continue
        replicas = _carry_out(plan, blob.replicas, partial(copy_extent, id, wait), progress)
        if replicas != blob.replicas:
            index.update_blob(id, partial(exchange, blob.replicas, replicas))
            reader.forget_extent(id)
            _remove_left(members, blob.replicas, replicas, extents.path_of(id))
    return progress


def _repair_fragments(
    index: Index, members: Members, reader: Reader, id: bytes, blob: Blob, progress: Progress, budget: int, wait: Wait
) -> None:
    """Make fragments anew that are lacking, one at a time: each counts as soon as it is there."""
    targets = fragments.targets(members, blob, fragments.lacking(members, blob))
    for number, bay in targets.items():
        if progress.bytes >= budget:
            progress.left += 1
            return
        try:
            progress.bytes += fragments.make(fragments.Fragments(id, blob, members), number, bay, wait)
        except Unavailable:
            progress.notes.append(f"extent {id.hex()}: too few of its fragments can be read to make fragment {number} anew")
            return
        except OSError as error:
            bay.failed(error)
            progress.notes.append(f"drive {bay.label} did not take a fragment: {error}")
            continue
        progress.mended += 1
        progress.done += 1
        replicas = tuple((bay.id, GOOD) if n == number else pair for n, pair in enumerate(blob.replicas))
        index.update_blob(id, partial(exchange, blob.replicas, replicas))
        reader.forget_extent(id)
        left = members.bay(blob.replicas[number][0])
        if left is not None and left is not bay:
            try:
                left.drive.remove(extents.path_of(id, number))
            except OSError as error:
                left.failed(error)
        fresh = index.blob(id)
        if fresh is None or fresh.replicas != replicas:
            return
        blob = fresh


def exchange(before: Replicas, after: Replicas, now: Any) -> Any:
    """Unless it has changed meanwhile: then the next round looks again."""
    return replace(now, replicas=after) if now.replicas == before else now


def _extents(index: Index) -> list[tuple[bytes, Blob]]:
    with index.env.begin() as txn:
        return [(key, Blob.unpack(row)) for key, row in txn.cursor(db=index.blobs) if row[0] == EXTENT]


class _Plan:
    """`keep`: good copies that stay; `sources`: where to read; `targets`: drives that get a copy, `again` those among them that had one."""

    def __init__(self, keep: list[bytes], sources: list[Bay], targets: list[Bay], waiting: list[tuple[bytes, int]]) -> None:
        self.keep, self.sources, self.targets, self.waiting = keep, sources, targets, waiting


def _plan(members: Members, replicas: Replicas, wanted: int, size: int) -> _Plan | None:
    """None if all is well, or nothing can be done now."""
    here = {drive: members.bay(drive) for drive, _ in replicas}
    good = [(drive, bay) for drive, state in replicas if state == GOOD and (bay := here[drive]) is not None]
    staying = [(drive, bay) for drive, bay in good if not bay.spec.draining]
    # A member that is away may come back with its copy: it counts until it is given up.
    away = [(drive, state) for drive, state in replicas if here[drive] is None and drive in members.missing]
    away_good = [pair for pair in away if pair[1] == GOOD]
    lacking = wanted - len(staying) - len(away_good)
    if not good or lacking <= 0:
        return None
    stale = [bay for drive, state in replicas if state != GOOD and (bay := here[drive]) is not None and not bay.spec.draining]
    usable = {bay.id for bay in members.usable()}
    targets = [bay for bay in stale if bay.id in usable][:lacking]
    if len(targets) < lacking:
        taken = {drive for drive, _ in replicas}
        beside = [drive for drive, _ in staying] + [bay.id for bay in targets]
        others = [b for b in members.choose(len(members.bays), room=size, beside=beside) if b.id not in taken]
        targets += others[: lacking - len(targets)]
    if not targets:
        return None
    return _Plan([drive for drive, _ in staying], [bay for _, bay in good], targets, away)


def _carry_out(plan: _Plan, replicas: Replicas, copy: Callable[[Bay, list[Bay]], int], progress: Progress) -> Replicas:
    """Make the copies; the new list of replicas. Drained and stale ones leave it only when there are others in their place."""
    made: list[bytes] = []
    for bay in plan.targets:
        sources = [source for source in plan.sources if source is not bay]
        try:
            progress.bytes += copy(bay, sources)
        except OSError as error:
            bay.failed(error)
            progress.notes.append(f"drive {bay.label} did not take a copy: {error}")
            continue
        made.append(bay.id)
        progress.mended += 1
    progress.done += 1
    if len(made) < len(plan.targets):
        return tuple((drive, GOOD if drive in made else state) for drive, state in replicas)
    return tuple((drive, GOOD) for drive in [*plan.keep, *made]) + tuple(plan.waiting)


def _remove_left(members: Members, before: Replicas, after: Replicas, path: str) -> None:
    """Files on drives that no longer count as having one."""
    for drive in {d for d, _ in before} - {d for d, _ in after}:
        bay = members.bay(drive)
        if bay is not None:
            try:
                bay.drive.remove(path)
            except OSError as error:
                bay.failed(error)


def copy_segment(id: int, end: int, wait: Wait, bay: Bay, sources: list[Bay]) -> int:
    """From the first source that can be read. Afterwards all copies are checked against each other."""
    error: OSError | None = None
    for source in sources:
        try:
            file = source.drive.open(path_of(id))
            bay.drive.remove(path_of(id))
            target = bay.drive.create(path_of(id))
            _copy(file, target, end, wait)
            target.sync()
            return end
        except OSError as raised:
            error = raised
    raise error or OSError("there is no copy to read")


def _copy(source: File, target: File, end: int, wait: Wait) -> None:
    for offset in range(0, end, CHUNK_BYTES):
        data = source.read(offset, min(CHUNK_BYTES, end - offset))
        target.write([data], offset)
        wait(len(data))


def copy_extent(id: bytes, wait: Wait, bay: Bay, sources: list[Bay]) -> int:
    """Only from a source whose every block is good: a bad one would be copied with its checksums."""
    path = extents.path_of(id)
    for source in sources:
        file = source.drive.open(path)
        table = extents.table_of(file.read, file.size())
        if table is None:
            continue
        target = bay.drive.create_unnamed(extents.file_bytes(table.size))
        try:
            buffer = _Aligned()
            for start in range(0, table.size, CHUNK_BYTES):
                data = file.read(start, min(CHUNK_BYTES, table.size - start))
                first = start // extents.BLOCK_BYTES
                for n, at in enumerate(range(0, len(data), extents.BLOCK_BYTES)):
                    if crc32c(data[at : at + extents.BLOCK_BYTES]) != table.checksums[first + n]:
                        raise OSError(f"a block of {path} on drive {source.label} is bad")
                target.write([buffer.filled(data)], start)
                wait(len(data))
            target.write([buffer.filled(extents.tail_of(table))], extents.padded(table.size))
            bay.drive.remove(path)
            target.publish(path, extents.file_bytes(table.size))
            return table.size
        except OSError:
            if source is sources[-1]:
                raise
        finally:
            target.close()
    raise OSError("no good copy of the extent could be read")


class _Aligned:
    """A page-aligned buffer, as drives want it for unnamed files."""

    def __init__(self) -> None:
        self._buffer = mmap.mmap(-1, CHUNK_BYTES)

    def filled(self, data: bytes) -> memoryview:
        whole = extents.padded(len(data))
        self._buffer[: len(data)] = data
        self._buffer[len(data) : whole] = bytes(whole - len(data))
        return memoryview(self._buffer)[:whole]


# --- drives that stay away


def give_up_absent(index: Index, members: Members, since: dict[bytes, float], *, after: float = AWAY_SECONDS) -> list[bytes]:
    """Give up members that have been away for so long, if enough drives are left to hold what they held. `since` is kept by the caller."""
    now = time.monotonic()
    for drive in list(since):
        if drive not in members.missing:
            del since[drive]
    for drive in members.missing:
        since.setdefault(drive, now)
    gone = [drive for drive in members.missing if now - since[drive] >= after]
    wanted = max((CLASS_BY_NUMBER[row.storage_class].replicas for row in index.all_segments()), default=1)
    if not gone or len(members.usable()) < wanted:
        return []
    for drive in gone:
        log.warning("drive %s has been away for %.0f s and is given up; what it held is copied from the others", drive.hex(), after)
        members.give_up(drive)
    return gone
