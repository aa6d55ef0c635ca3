"""Coming back: after a clean stop, a kill, a power loss, or with no index at all.

The index of this boot is always good: LMDB writes copies, and the page cache outlives processes. Each worker then only reads the end of
its own log. The index of a boot that ended without a clean stop may be damaged, and is not looked at: the newest checkpoint takes its
place, and every segment is read from where the checkpoint knows it. Without a checkpoint this reads everything.

Whatever was found on some drives only is completed on the others before it counts: a state that one reader has seen stays.
"""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
from pathlib import Path

from storage.engine import checkpoint
from storage.engine.clock import Clock, base_above, worker_of
from storage.engine.drives import File
from storage.engine.index import OPEN, Index, Segment
from storage.engine.locks import Locks
from storage.engine.members import Bay, Members
from storage.engine.rebuild import RECOUNT, demand_drives, rebuild, segments_on_drives
from storage.engine.records import SEGMENT_HEADER_BYTES, scan
from storage.engine.replay import NEWEST_NOTE, Report, holes, known_holes, note_newest, replay
from storage.engine.segments import path_of

__all__ = [
    "RECOUNT",
    "Locks",
    "Report",
    "boot_id",
    "clock_for",
    "holes",
    "known_holes",
    "note_newest",
    "open_index",
    "recover_tails",
]

log = logging.getLogger(__name__)

CLOCK_NOTE = b"clock"


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def open_index(
    folder: Path, members: Members, locks: Locks, *, boot: str, map_bytes: int, accept_loss: bool = False
) -> tuple[Index, Report]:
    """The index, good and complete up to every acknowledged record. Call under `locks.opening()`.

    Raises Unavailable if drives are missing that may hold acknowledged records which no other drive has; `accept_loss` goes on without.
    """
    report = Report()
    state = folder / "state.json"
    crashed = any(mark != boot for mark in locks.marks().values())
    trusted = (
        not crashed and state.exists() and json.loads(state.read_text()).get("store") == members.store.hex() and (folder / "lmdb").exists()
    )
    if trusted:
        return Index(folder / "lmdb", map_bytes=map_bytes), report
    shutil.rmtree(folder / "lmdb", ignore_errors=True)
    state.unlink(missing_ok=True)
    found = segments_on_drives(members)
    if found and not accept_loss:
        demand_drives(members, found)
    report.index = "checkpoint" if checkpoint.restore(members, folder / "lmdb") else "rebuilt" if found else "new"
    index = Index(folder / "lmdb", map_bytes=map_bytes)
    rebuild(index, members, found, report)
    # Marked before it counts as good: if the power goes now it is discarded again, so there is no need to wait for the disk.
    locks.mark(boot)
    state.write_text(json.dumps({"store": members.store.hex()}))
    for worker in locks.marks():
        if worker != locks.worker:
            locks.unmark(worker)
    return index, report


def clock_for(index: Index, worker: int, boot: str) -> Clock:
    """The clock that all workers of this boot share."""
    raw = index.note(CLOCK_NOTE)
    note = json.loads(raw) if raw else {}
    if note.get("boot") != boot:
        raw = index.note(NEWEST_NOTE)
        last = int.from_bytes(raw, "little") if raw else 0
        note = {"boot": boot, "base": base_above(last)}
        index.set_note(CLOCK_NOTE, json.dumps(note).encode())
    return Clock(int(note["base"]), worker)


def recover_tails(index: Index, members: Members, locks: Locks, worker: int) -> Report:
    """After a kill: the open segments of this worker, and of workers that are not running."""
    report = Report()
    for row in index.all_segments():
        if row.state != OPEN:
            continue
        with locks.of(row.worker) as free:
            if free:
                replay(index, row, _files_of(members, row), report)
    for other in range(256):
        if other == worker or (locks._folder / f"worker-{other}.lock").exists():
            with locks.of(other) as free:
                if free:
                    index.release_all(other)
                    index.reopen_buckets(other)
                    if other != worker:
                        locks.unmark(other)
    _remove_unused(index, members, locks)
    return report


def _files_of(members: Members, row: Segment) -> list[tuple[Bay, File]]:
    files = []
    for drive, _ in row.replicas:
        bay = members.bay(drive)
        if bay is None:
            continue
        try:
            files.append((bay, bay.drive.open(path_of(row.id), write=True)))
        except OSError as error:
            log.warning("segment %016x is not readable on drive %s: %s", row.id, bay.label, error)
    return files


def _remove_unused(index: Index, members: Members, locks: Locks) -> None:
    """Segments that were made ahead by a process that is gone."""
    known = {row.id for row in index.all_segments()}
    for bay in members.bays.values():
        with contextlib.suppress(OSError):
            for path in bay.drive.names("segments"):
                with contextlib.suppress(ValueError):
                    id = int(path.removeprefix("segments/"), 16)
                    if id in known:
                        continue
                    with locks.of(worker_of(id)) as free:
                        if free and index.segment(id) is None and _empty(bay.drive.open(path), id):
                            bay.drive.remove(path)


def _empty(file: File, id: int) -> bool:
    return next(scan(file.read, id, SEGMENT_HEADER_BYTES, file.size()), None) is None
