"""Rebuilding the index from what the drives hold: every segment from where a checkpoint knows it, or from its beginning."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from functools import partial

from cloudbox.common.errors import Unavailable
from storage.engine import changes
from storage.engine.clock import worker_of
from storage.engine.drives import File
from storage.engine.entries import PLACE
from storage.engine.index import EXTENT, GOOD, OPEN, SEALED, STALE, Blob, Index, Segment
from storage.engine.listing import Walk, split
from storage.engine.members import Bay, Members
from storage.engine.names import unescape
from storage.engine.records import SEGMENT_HEADER_BYTES, SegmentHeader, parse_segment_header
from storage.engine.replay import REPLAY_ITEMS, Report, replay
from storage.engine.segments import path_of
from storage.engine.types import CLASS_BY_NUMBER

Replicas = tuple[tuple[bytes, int], ...]

RECOUNT = b"recount"  # Set when the collector has to find blobs that lost their last reference unseen.


@dataclass
class OnDrives:
    """A segment as the drives have it."""

    header: SegmentHeader
    files: list[tuple[Bay, File]]


def segments_on_drives(members: Members) -> dict[int, OnDrives]:
    found: dict[int, OnDrives] = {}
    for bay in members.bays.values():
        try:
            paths = bay.drive.names("segments")
        except OSError as error:
            bay.failed(error)
            continue
        for path in paths:
            try:
                id = int(path.removeprefix("segments/"), 16)
                file = bay.drive.open(path, write=True)
                header = parse_segment_header(file.read(0, SEGMENT_HEADER_BYTES))
            except (OSError, ValueError):
                continue
            if header is None:  # Damaged, but its records name it as well.
                header = SegmentHeader(id, worker_of(id), 0, 0, members.store, ())
            if header.segment != id or header.store != members.store:
                continue
            if id in found:
                found[id].files.append((bay, file))
            else:
                found[id] = OnDrives(header, [(bay, file)])
    return found


def demand_drives(members: Members, found: dict[int, OnDrives]) -> None:
    """An acknowledged record is on a quorum of its segment's drives: enough of them must be here to meet each such quorum.

    Only a drive that is away can bring anything: those that were given up have been mourned, and nobody can attach them.
    """
    quorums = [CLASS_BY_NUMBER[s.header.storage_class].quorum for s in found.values()]
    short = [
        id
        for id, segment in found.items()
        if len(segment.files) < len(segment.header.drives) - CLASS_BY_NUMBER[segment.header.storage_class].quorum + 1
        and not members.missing.isdisjoint(segment.header.drives)
    ]
    if (members.missing and len(members.missing) >= max(quorums)) or short:
        raise Unavailable(
            f"{len(members.missing)} of {len(members.missing) + len(members.bays)} drives are missing, and the index has to be rebuilt: "
            "what only they know would be lost. Attach them, or say that they are gone (bin/cloudbox store rebuild-index --accept-loss)."
        )


def rebuild(index: Index, members: Members, found: dict[int, OnDrives], report: Report) -> None:
    """Bring every segment into the index, newest first: a batch that failed is called off by a younger segment."""
    with index.writing() as txn:
        txn.drop(index.reservations, delete=False)
    for id in sorted(found, reverse=True):
        on_drives = found[id]
        row = index.segment(id)
        here = {bay.id for bay, _ in on_drives.files}
        if row is None:
            replicas = tuple((drive, GOOD) for drive in dict.fromkeys([*(b.id for b, _ in on_drives.files)]))
            row = Segment(
                id,
                on_drives.header.worker,
                on_drives.header.storage_class,
                OPEN,
                SEGMENT_HEADER_BYTES,
                0,
                on_drives.header.capacity,
                replicas,
            )
            index.put_segment(row)
        row = replace(row, replicas=_where(row, here, members))
        index.put_segment(row)
        if row.state != SEALED:
            replay(index, row, on_drives.files, report)
    _drop_vanished(index, members, found)
    _find_extents(index, members)


def _where(row: Segment, here: set[bytes], members: Members) -> Replicas:
    """Which drives have the segment, as the drives say: copies may have moved since the checkpoint was made, which then knows none of them.

    A copy that was cut off counts as good as well: reading goes by the checksum of each record, and the auditor completes it from the
    others. What the checkpoint knows and its drive has not is to be written again.
    """
    known = tuple(
        (drive, STALE if drive not in here and _lacks(members.bays.get(drive), row.id) else state)
        for drive, state in row.replicas
        if drive in members.bays or drive in members.missing
    )
    return known + tuple((drive, GOOD) for drive in sorted(here - {drive for drive, _ in known}))


def _lacks(bay: Bay | None, segment: int) -> bool:
    """Only a drive that answers can say so."""
    if bay is None:
        return False
    try:
        bay.drive.open(path_of(segment)).close()
    except FileNotFoundError:
        return True
    except OSError as error:
        bay.failed(error)
    return False


def _drop_vanished(index: Index, members: Members, found: dict[int, OnDrives]) -> None:
    """Segments that a checkpoint knows and the drives no longer have: they were retired after it was made.

    Before that, what still counted was copied, and the replay has found the copies. So whatever the index still places in them had been
    deleted, and the tombstones may have gone with them.
    """
    vanished = {row.id for row in index.all_segments() if row.id not in found and any(drive in members.bays for drive, _ in row.replicas)}
    if not vanished:
        return
    with index.env.begin() as txn:
        buckets = [key for key, _ in txn.cursor(db=index.buckets)]
        uploads = [(key, row) for key, row in txn.cursor(db=index.uploads) if PLACE.unpack_from(row)[0] in vanished]
        parts = [(key, row) for key, row in txn.cursor(db=index.parts) if PLACE.unpack_from(row)[0] in vanished]
        gone_blobs = [
            key for key, row in txn.cursor(db=index.blobs) if (blob := Blob.unpack(row)).kind != EXTENT and blob.place[0] in vanished
        ]
        versions = []
        for bucket in buckets:
            for table in (index.objects, index.versions):
                walk = Walk(txn, table, bucket)
                ok = walk.seek(b"")
                while ok:
                    if len(walk.row) > PLACE.size and PLACE.unpack_from(walk.row)[0] in vanished:
                        versions.append((bucket, unescape(split(walk.key)[0]), walk.row))
                    ok = walk.next()
    for start in range(0, len(versions), REPLAY_ITEMS):
        with index.writing() as write:
            purge = changes.Changes(index, write, 0, replay=True)
            for bucket, name, row in versions[start : start + REPLAY_ITEMS]:
                purge.purge(bucket, name, row)
            purge.finish()
    with index.writing() as write:
        purge = changes.Changes(index, write, 0, replay=True)
        for key, row in uploads:
            purge.purge_upload(key, row)
        for key, row in parts:
            purge.purge_part(key, row)
        purge.finish()
        for key in gone_blobs:
            write.delete(key, db=index.blobs)
        write.put(RECOUNT, b"1", db=index.misc)
        for id in vanished:
            write.delete(id.to_bytes(8, "big"), db=index.segments)


def _find_extents(index: Index, members: Members) -> None:
    """Which drives have which extents, as the drives say."""
    where: dict[bytes, list[tuple[int, bytes]]] = {}
    silent = set(members.missing)
    for bay in members.bays.values():
        try:
            paths = bay.drive.names("extents")
        except OSError as error:
            bay.failed(error)
            silent.add(bay.id)
            continue
        for path in paths:
            stem, _, fragment = path.rsplit("/", 1)[1].partition("-")
            with contextlib.suppress(ValueError):
                where.setdefault(bytes.fromhex(stem), []).append((int(fragment or 0), bay.id))
    with index.env.begin() as txn:
        rows = [(key, Blob.unpack(row)) for key, row in txn.cursor(db=index.blobs) if row[0] == EXTENT]
    for id, blob in rows:
        here = where.get(id, [])
        if blob.data:
            by_fragment = dict(here)
            replicas = tuple(  # Who is away, or does not answer, may come back with its fragment.
                (by_fragment.get(n, drive), GOOD if n in by_fragment or drive in silent else STALE)
                for n, (drive, _) in enumerate(blob.replicas)
            )
        else:
            away = [drive for drive, _ in blob.replicas if drive in silent]
            replicas = tuple((drive, GOOD) for _, drive in here) + tuple((drive, GOOD) for drive in away)
        if replicas != blob.replicas:
            index.update_blob(id, partial(_with_replicas, replicas))


def _with_replicas(replicas: tuple[tuple[bytes, int], ...], blob: Blob) -> Blob:
    return replace(blob, replicas=replicas)
