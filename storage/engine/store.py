"""The store: what the dialects call. See the package's docstring for how it works."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import struct
import threading
import time
import uuid
from collections.abc import AsyncIterator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID

from cloudbox.common.errors import Conflict, Invalid, NotFound, TooLarge, Unavailable
from storage.engine import auditor, checkpoint, collector, compactor, entries, listing, members, rebalancer, recovery, repairer, whereabouts
from storage.engine.allocation import give_back, keep_freed
from storage.engine.changes import upload_identity
from storage.engine.commit import GONE_TEXT, Committer, Op, record
from storage.engine.drives import Drive
from storage.engine.entries import BLOB, COMPLETES, EXTENT, MANIFEST, MARKER, NULL_VERSION, ExtentFacts
from storage.engine.extents import Buffers, ExtentWriter
from storage.engine.fragments import FragmentWriter
from storage.engine.index import MAP_BYTES, Index, name_identity
from storage.engine.reader import Reader
from storage.engine.records import DELETE, DROP, PART, PUT, UPLOAD, UPLOAD_END, Record
from storage.engine.rounds import Progress, at_once
from storage.engine.spares import KEPT_MAX, QUIET_SECONDS, Spares
from storage.engine.types import (
    ETAG_MAX_BYTES,
    META_MAX_BYTES,
    NAME_MAX_BYTES,
    NULL,
    PARTS_MAX,
    SMALL_MAX_BYTES,
    STORAGE_CLASSES,
    Condition,
    DriveSpec,
    Listing,
    Mode,
    Part,
    StorageClass,
    Summaries,
    Upload,
    Usage,
    Version,
)
from storage.engine.whereabouts import Replica

log = logging.getLogger(__name__)

DEFAULT_CLASS = STORAGE_CLASSES["replicated-3"]
READ_MAX_BYTES = 64 << 20
RESERVE_SECONDS = 10.0  # So long a conditional change waits for another one of the same name.
THREADS = 16
SWEEP_SECONDS = 3600.0
BALANCE_SECONDS = 60.0  # So long after a look that found the drives evenly filled.
TEND_SECONDS = 5.0
TEND_BYTES_PER_SECOND = 64 << 20  # Of rounds that read or write in bulk.
Body = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class Settings:
    """Knobs that a box seldom turns and a test often does."""

    segment_bytes: int = 64 << 20
    fill_ahead: bool = True
    spares_max: int = KEPT_MAX  # On each drive: files of retired segments, kept for new ones,
    spares_quiet_seconds: float = QUIET_SECONDS  # and left alone for so long at first.
    reserve_bytes: int = 256 << 20  # Kept free on each drive: deletions and compaction need room to give room.
    map_bytes: int = MAP_BYTES
    boot: str = ""  # Instead of the kernel's boot id: tests of power losses say when a new one begins.
    accept_loss: bool = False


class Store:
    """One process's door to the drives and to the index it shares with the other workers."""

    def __init__(self, index: Index, bays: members.Members, locks: recovery.Locks, committer: Committer, report: recovery.Report) -> None:
        self.index, self.members, self.committer, self.recovered = index, bays, committer, report
        self._locks = locks
        self.pool = ThreadPoolExecutor(THREADS, thread_name_prefix="store")
        self.reader = Reader(index, bays, self.pool)
        self._buffers = Buffers()
        self._closed = False
        self._away_since: dict[bytes, float] = {}
        self.rounds: dict[str, tuple[float, Progress]] = {}  # The last one of each kind that did something, and when; of this process.
        self._swept = self._balance_at = time.monotonic()
        self._stopping = threading.Event()
        self._woken = asyncio.Event()
        self._tending: asyncio.Task[None] | None = None

    # --- life

    @classmethod
    async def open(
        cls, drives: Sequence[DriveSpec | Path | Drive], *, index: Path, worker: int = 0, settings: Settings | None = None
    ) -> Store:
        """Recover what a crash left of this worker's log, and be ready.

        Raises Unavailable if too few drives are there to know the newest state of every object, Conflict if `worker` is taken.
        """
        specs = [
            d if isinstance(d, DriveSpec) else DriveSpec(d) if isinstance(d, Path) else DriveSpec(Path("memory"), drive=d) for d in drives
        ]
        loop = asyncio.get_running_loop()
        keep_freed()
        settings = settings or Settings()
        return await asyncio.to_thread(cls._open, specs, index, worker, settings, loop)

    @classmethod
    def _open(cls, specs: list[DriveSpec], folder: Path, worker: int, settings: Settings, loop: asyncio.AbstractEventLoop) -> Store:
        boot = settings.boot or recovery.boot_id()
        locks = recovery.Locks(folder, worker)
        try:
            with locks.opening():
                bays = members.assemble(specs, reserve_bytes=settings.reserve_bytes)
                index, report = recovery.open_index(
                    folder, bays, locks, boot=boot, map_bytes=settings.map_bytes, accept_loss=settings.accept_loss
                )
                tails = recovery.recover_tails(index, bays, locks, worker)
                report.records += tails.records
                report.segments += tails.segments
                report.mended_records += tails.mended_records
                clock = recovery.clock_for(index, worker, boot)
                locks.mark(boot)
        except BaseException:
            locks.close()
            raise
        spares = Spares(bays, clock, kept_max=settings.spares_max, quiet_seconds=settings.spares_quiet_seconds)
        committer = Committer(
            index,
            bays,
            clock,
            worker,
            segment_bytes=settings.segment_bytes,
            fill_ahead=settings.fill_ahead,
            loop=loop,
            spares=spares,
        )
        return cls(index, bays, locks, committer, report)

    async def drain(self) -> None:
        """Refuse new writes (Unavailable) and wait for those under way."""
        await self.committer.drain()

    async def close(self) -> None:
        """Drain, sync the index, leave a mark that all is well."""
        if self._closed:
            return
        self._closed = True
        self._stopping.set()
        self._woken.set()
        await self.drain()
        if self._tending is not None:
            await self._tending  # Not cancelled: its threads use the index.
        await self.committer.close()
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self.members.close()
        self.pool.shutdown(wait=True)
        recovery.note_newest(self.index, self.committer.clock.stamp())
        self.index.close(sync=True)
        self._locks.unmark()
        self._locks.close()

    def start_tending(self, *, seconds: float = TEND_SECONDS) -> None:
        """Tend the store every so many seconds until it is closed. Every worker does: one of them works, all notice drives."""
        self._tending = asyncio.get_running_loop().create_task(self._tend_on(seconds))

    async def _tend_on(self, seconds: float) -> None:
        while not self._stopping.is_set():
            try:
                await self.tend()
            except Exception:  # A round that fails must not end all later ones.
                log.exception("a round of tending the object store failed")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), seconds)

    async def tend(self, *, hurry: bool = False) -> Sequence[Progress]:
        """One round of everything that keeps the store well; see `start_tending`.

        Notices drives that come and go, gives back room, copies what lacks copies, evens out how full drives are, rewrites mostly dead
        segments, reads a stretch to see that it is good, and writes a checkpoint when the log since the last one has grown. `hurry` is
        for tests: no throttle, rewrite whatever is not wholly alive, give up missing drives at once.
        """
        await asyncio.to_thread(self._probe)
        await asyncio.to_thread(self.reader.files.forget_retired)
        if self._buffers.rest():
            await asyncio.to_thread(give_back)
        with self._locks.tending() as mine:
            if not mine:
                return []
            return await self._rounds(hurry)

    def _probe(self) -> None:
        with self._locks.opening():
            self.members.refresh()
            self.members.probe()

    async def configure(self, drives: Sequence[DriveSpec]) -> None:
        """Go on with these drives: others join, are drained or weighed anew, without a restart. Every process has to be told."""
        await asyncio.to_thread(self._configure, drives)
        self.committer.leave()

    def _configure(self, drives: Sequence[DriveSpec]) -> None:
        with self._locks.opening():
            self.members.configure(drives)
            self.members.probe()

    async def dismiss(self, drive: bytes) -> None:
        """Let go of a drained drive for good. The caller has seen to it that nothing is on it (census.py)."""
        await asyncio.to_thread(self._dismiss, drive)

    def _dismiss(self, drive: bytes) -> None:
        with self._locks.opening():
            self.members.dismiss(drive)

    async def give_up(self, drive: bytes) -> None:
        """Wait for a missing drive no longer: what it held is copied from the others. Raises Conflict if it is here."""
        await asyncio.to_thread(self._give_up, drive)

    def _give_up(self, drive: bytes) -> None:
        with self._locks.opening():
            self.members.refresh()
            self.members.give_up(drive)

    async def replicas(self, version: Version) -> Sequence[Replica]:
        """Where its copies lie, and when each was last found good. Raises as reading does."""
        return await asyncio.get_running_loop().run_in_executor(
            self.pool, whereabouts.replicas, self.index, self.members, self.reader, version
        )

    async def replicas_expected(self, version: Version) -> int:
        """On how many drives it should be."""
        return await asyncio.get_running_loop().run_in_executor(self.pool, whereabouts.expected, self.index, self.reader, version)

    async def _rounds(self, hurry: bool) -> Sequence[Progress]:
        index, bays, reader = self.index, self.members, self.reader
        wait = at_once if hurry else self._throttle
        done = [await asyncio.to_thread(collector.recount, index, reader)]
        done.append(await asyncio.to_thread(collector.collect, index, bays, reader))
        away = 0.0 if hurry else repairer.AWAY_SECONDS
        if bays.missing:
            await asyncio.to_thread(repairer.give_up_absent, index, bays, self._away_since, after=away)
        done.append(await asyncio.to_thread(repairer.repair, index, bays, reader, wait=wait))
        if done[-1].idle and not done[-1].left and (hurry or time.monotonic() >= self._balance_at):
            done.append(
                await asyncio.to_thread(rebalancer.rebalance, index, bays, reader, least=0 if hurry else rebalancer.LEAST_BYTES, wait=wait)
            )
            self._balance_at = time.monotonic() + (BALANCE_SECONDS if done[-1].idle else 0.0)
        share = 0.01 if hurry else compactor.DEAD_SHARE
        done.append(await compactor.compact(self.committer, reader, segments=4 if hurry else 1, dead_share=share))
        done.append(await asyncio.to_thread(auditor.audit, index, bays, reader, wait=wait, every=0 if hurry else auditor.EVERY_SECONDS))
        now = time.monotonic()
        if hurry or now - self._swept > SWEEP_SECONDS:
            self._swept = now
            done.append(await asyncio.to_thread(collector.sweep, index, bays))
        if await asyncio.to_thread(checkpoint.due, index, least=0 if hurry else checkpoint.LEAST_BYTES):
            stamp = self.committer.clock.stamp()
            done.append(Progress("checkpoint", bytes=await asyncio.to_thread(checkpoint.write, index, bays, stamp, wait=wait)))
        for progress in done:
            if progress.done or progress.what not in self.rounds:
                self.rounds[progress.what] = (time.time(), progress)
            for note in progress.notes:
                log.warning("%s: %s", progress.what, note)
        return done

    def _throttle(self, count: int) -> None:
        """In a round's thread; ends at once when the store is to close."""
        self._stopping.wait(count / TEND_BYTES_PER_SECOND)

    # --- reading

    def get(self, bucket: UUID, name: bytes, version: str | None = None) -> Version | None:
        """The latest version (which may be a delete marker), or the one of that id (`NULL` for the null version)."""
        if len(name) > NAME_MAX_BYTES:
            return None
        return self.index.get(bucket, name, version)

    async def read(self, version: Version, start: int = 0, length: int | None = None) -> bytes:
        """Bytes of a body, verified, at most 64 MiB at once. Small ones in the page cache come without waiting.

        Raises Unavailable if no good copy could be read, NotFound if the version was deleted meanwhile.
        """
        start, length = _range(version, start, length)
        if length > READ_MAX_BYTES:
            raise TooLarge("Read at most 64 MiB at once; use stream.")
        if not length:
            return b""
        if version.location is not None:
            body = self.reader.small_cached(version.location)
            if body is not None:
                return body if length == len(body) else body[start : start + length]
        return await asyncio.get_running_loop().run_in_executor(self.pool, self.reader.range, version, start, length)

    async def stream(self, version: Version, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """The same in pieces of up to 1 MiB, reading one ahead."""
        start, length = _range(version, start, length)
        if not length:
            return
        if version.location is not None:
            yield await self.read(version, start, length)
            return
        async for piece in self.reader.stream(version, start, length):
            yield piece

    async def parts(self, version: Version) -> Sequence[Part]:
        """The parts that a version was completed from; empty if it was not."""
        if not version.manifest:
            return []
        return await asyncio.get_running_loop().run_in_executor(self.pool, self.reader.manifest, version)

    def list(self, bucket: UUID, *, prefix: bytes = b"", delimiter: bytes = b"", after: bytes = b"", limit: int = 1000) -> Listing:
        """Objects (latest versions that are no delete markers) whose name is greater than `after`.

        With a delimiter, names that contain it after the prefix are rolled up into common prefixes. If `after` is itself such a
        common prefix, the names under it are passed over.
        """
        return listing.objects(self.index, bucket, prefix=prefix, delimiter=delimiter, after=after, limit=limit)

    def list_summaries(
        self, bucket: UUID, *, prefix: bytes = b"", delimiter: bytes = b"", after: bytes = b"", limit: int = 1000
    ) -> Summaries:
        """The same, with no more of each object than a page of many shows."""
        return listing.summaries(self.index, bucket, prefix=prefix, delimiter=delimiter, after=after, limit=limit)

    def list_versions(
        self, bucket: UUID, *, prefix: bytes = b"", delimiter: bytes = b"", after: bytes = b"", after_version: str = "", limit: int = 1000
    ) -> Listing:
        """All versions and delete markers; after the version `after_version` of the name `after`, or after all of that name."""
        return listing.versions(
            self.index, bucket, prefix=prefix, delimiter=delimiter, after=after, after_version=after_version, limit=limit
        )

    def usage(self, bucket: UUID) -> Usage:
        return self.index.usage(bucket)

    # --- writing

    async def put(
        self,
        bucket: UUID,
        name: bytes,
        body: Body,
        *,
        etag: str,
        meta: bytes = b"",
        mode: Mode = Mode.REPLACE,
        condition: Condition | None = None,
        modified_ns: int | None = None,
        storage_class: StorageClass = DEFAULT_CLASS,
    ) -> Version:
        """Keep a body of at most SMALL_MAX_BYTES. On return a quorum of drives has it on stable storage and all workers see it.

        Raises InsufficientCapacity if the drives are full, Unavailable if there was no quorum (the write may still turn out to have
        happened), TooLarge, Invalid (name), NotFound (the bucket was dropped), and what `condition` raises.
        """
        _check(name, etag, meta)
        if len(body) > SMALL_MAX_BYTES:
            raise TooLarge("A body of more than 1 MiB goes through begin().")
        if not isinstance(body, bytes):
            body = bytes(body)  # The slowest drive may read it after we have answered.
        flags = NULL_VERSION if mode is Mode.REPLACE else 0
        change = _Put(bucket, name, flags, storage_class, modified_ns, len(body), etag, meta, body)
        return await self._put(change, storage_class, condition)

    async def _put(
        self, change: _Put, storage_class: StorageClass, condition: Condition | None, *, about: str | None = None, upload: bytes = b""
    ) -> Version:
        """Write a version, under its condition if it has one, and say what came of it."""
        if condition is None and not upload:
            op = await self.committer.commit(change.record(self.committer.clock.stamp()), storage_class.log)
        else:
            async with self._reserved(change.bucket, change.name, about, condition, upload=upload) as (stamp, _):
                op = await self.committer.commit(change.record(stamp), storage_class.log, conditional=True)
        return _version(change.bucket, change.name, op)

    @contextlib.asynccontextmanager
    async def _reserved(
        self, bucket: UUID, name: bytes, about: str | None, condition: Condition | None, *, upload: bytes = b""
    ) -> AsyncIterator[tuple[int, Version | None]]:
        """Keep a name for one change, see that its condition holds; gives the stamp to use and what the condition saw."""
        identities = [name_identity(bucket.bytes, name), *([upload_identity(upload)] if upload else [])]
        while True:
            stamp = self.committer.clock.stamp()
            await self._reserve(identities, stamp)
            try:
                seen, floor = self.index.look(bucket, name, about)
                if floor >= stamp:
                    continue  # Something younger has arrived: draw again, to come after it.
                if condition is not None:
                    condition(seen)
                yield stamp, seen
                return
            finally:
                for identity in identities:  # Gone already if the change has happened.
                    self.index.release(identity, stamp)

    async def _reserve(self, identities: Sequence[bytes], stamp: int) -> None:
        deadline, pause = time.monotonic() + RESERVE_SECONDS, 0.0005
        done: list[bytes] = []
        for identity in identities:
            while not self.index.reserve(identity, self.committer.worker, stamp):
                if time.monotonic() > deadline:
                    for taken in done:
                        self.index.release(taken, stamp)
                    raise Unavailable("Other changes of this object are under way. Try again.")
                await asyncio.sleep(pause)
                pause = min(pause * 2, 0.02)
            done.append(identity)

    async def begin(
        self,
        bucket: UUID,
        name: bytes,
        *,
        size: int | None = None,
        mode: Mode = Mode.REPLACE,
        condition: Condition | None = None,
        storage_class: StorageClass = DEFAULT_CLASS,
        hashers: Iterable[Any] = (),
    ) -> Writer:
        """Begin a body of any size; `size`, if known, reserves room. The condition is evaluated at `finish`."""
        _check(name, "", b"")
        extent = await self._begin_extent(size, storage_class, hashers)

        async def finish(etag: str, meta: bytes, facts: bytes, modified_ns: int | None) -> Version:
            _check(name, etag, meta)
            replicas = await extent.seal()
            flags = BLOB | EXTENT | (NULL_VERSION if mode is Mode.REPLACE else 0)
            body = ExtentFacts(extent.size, extent.data, extent.parity, extent.copies, tuple(drive for drive, _ in replicas)).pack()
            change = _Put(bucket, name, flags, storage_class, modified_ns, extent.size, etag, meta, body, blob=extent.blob)
            try:
                version = await self._put(change, storage_class, condition)
            except Exception as error:
                # Unavailable may mean that it happened nevertheless: then the record counts and needs its extent.
                await extent.abort(sealed=not isinstance(error, Unavailable))
                raise
            self._note_bad(extent.blob, replicas)
            return version

        return Writer(extent, finish)

    async def _begin_extent(self, size: int | None, storage_class: StorageClass, hashers: Iterable[Any]) -> ExtentWriter:
        if self.committer.draining:
            raise Unavailable("The object store is stopping. Try again in a moment.")
        blob = struct.pack(">Q", self.committer.clock.stamp()) + os.urandom(8)
        loop = asyncio.get_running_loop()
        kind = FragmentWriter if storage_class.data else ExtentWriter
        return await loop.run_in_executor(
            self.pool,
            lambda: kind(blob, self.members, self.pool, self._buffers, storage_class, size=size, hashers=hashers, loop=loop),
        )

    def _note_bad(self, blob: bytes, replicas: Sequence[tuple[bytes, int]]) -> None:
        """Drives that failed while the extent was written: the repairer will see to it."""
        if any(state for _, state in replicas):
            self.index.update_blob(blob, lambda row: replace(row, replicas=tuple(replicas)))

    async def update_meta(self, version: Version, meta: bytes, *, etag: str | None = None, condition: Condition | None = None) -> Version:
        """Replace the meta of an existing version (tags, ACL, retention); its id and `modified_ns` stay.

        Raises NotFound if the version is no longer there.
        """
        etag = version.etag if etag is None else etag
        _check(version.name, etag, meta)

        def check(current: Version | None) -> None:
            if current is None or current.stamp != version.stamp:
                raise NotFound(GONE_TEXT)
            if condition is not None:
                condition(current)

        async with self._reserved(version.bucket, version.name, version.id, check) as (stamp, seen):
            assert seen is not None
            body = b"" if seen.location is None else await self.read(seen)
            flags = _flags(seen)
            change = _Put(
                version.bucket,
                version.name,
                flags,
                seen.storage_class,
                seen.modified_ns,
                seen.size,
                etag,
                meta,
                body,
                blob=seen.blob,
                stamp=seen.stamp,
            )
            op = await self.committer.commit(change.record(stamp), seen.storage_class.log, conditional=True)
        return _version(version.bucket, version.name, op)._replace(latest=seen.latest)

    async def delete(self, bucket: UUID, name: bytes, version: str = NULL, *, condition: Condition | None = None) -> Version | None:
        """Remove one version for good; returns it, or None if there was none. The version before it becomes the latest."""
        seen = self.get(bucket, name, version)
        if condition is not None:
            async with self._reserved(bucket, name, version, condition) as (stamp, seen):
                if seen is not None:
                    await self._delete(seen, stamp, conditional=True)
            return seen
        if seen is not None:
            await self._delete(seen, self.committer.clock.stamp())
        return seen

    async def _delete(self, seen: Version, stamp: int, *, conditional: bool = False) -> None:
        entry = entries.pack_tombstone(seen.stamp, seen.null)
        change = Record(DELETE, stamp, seen.bucket.bytes + seen.name, entry)
        await self.committer.commit(change, _log_class(seen.storage_class), conditional=conditional, freeing=True)

    async def add_delete_marker(
        self,
        bucket: UUID,
        name: bytes,
        *,
        meta: bytes = b"",
        mode: Mode = Mode.ADD,
        condition: Condition | None = None,
        modified_ns: int | None = None,
    ) -> Version:
        """Hide the object. With Mode.REPLACE (suspended) the marker takes the place of the null version."""
        _check(name, "", meta)
        flags = MARKER | (NULL_VERSION if mode is Mode.REPLACE else 0)
        return await self._put(_Put(bucket, name, flags, DEFAULT_CLASS, modified_ns, 0, "", meta, b""), DEFAULT_CLASS, condition)

    async def drop_bucket(self, bucket: UUID) -> None:
        """End a bucket. Raises Conflict if it holds any version (open uploads end with it). Its id is never valid again."""
        stamp = self.committer.clock.stamp()
        if self.index.dropped(bucket.bytes):
            return
        if not self.index.close_bucket(bucket.bytes, stamp, self.committer.worker):
            raise Conflict("The bucket is not empty. Delete its objects, their versions and delete markers first.")
        try:
            await self.committer.commit(Record(DROP, stamp, bucket.bytes, b""), DEFAULT_CLASS, freeing=True)
        except BaseException:
            self.index.reopen_buckets(self.committer.worker, bucket.bytes)
            raise

    # --- multipart uploads

    async def create_upload(
        self,
        bucket: UUID,
        name: bytes,
        *,
        meta: bytes = b"",
        started_ns: int | None = None,
        storage_class: StorageClass = DEFAULT_CLASS,
    ) -> Upload:
        """Begin an upload in parts. Raises as `put` does."""
        _check(name, "", meta)
        id = uuid.uuid4()
        started = time.time_ns() if started_ns is None else started_ns
        entry = entries.pack_upload(bucket=bucket.bytes, name=name, storage_class=storage_class.number, started_ns=started, meta=meta)
        op = await self.committer.commit(Record(UPLOAD, self.committer.clock.stamp(), id.bytes, entry), _log_class(storage_class))
        return Upload(id, bucket, name, started, meta, storage_class, op.record.stamp)

    def get_upload(self, bucket: UUID, name: bytes, upload: UUID) -> Upload | None:
        found = self.index.upload(upload)
        return found if found is not None and found.bucket == bucket and found.name == name else None

    def list_uploads(
        self, bucket: UUID, *, prefix: bytes = b"", after: bytes = b"", after_upload: UUID | None = None, limit: int = 1000
    ) -> Sequence[Upload]:
        """By name, then by start; after the upload `after_upload` of the name `after`, or after all of that name."""
        return listing.uploads(self.index, bucket, prefix=prefix, after=after, after_upload=after_upload, limit=limit)

    async def put_part(
        self, upload: Upload, number: int, body: Body, *, etag: str, facts: bytes = b"", modified_ns: int | None = None
    ) -> Part:
        """A part (1-10,000) of at most SMALL_MAX_BYTES; replaces the part of that number. NotFound if the upload is gone."""
        if len(body) > SMALL_MAX_BYTES:
            raise TooLarge("A part of more than 1 MiB goes through begin_part().")
        return await self._put_part(upload, number, bytes(body), len(body), self._blob_id(), 0, etag, facts, modified_ns)

    def _blob_id(self) -> bytes:
        return struct.pack(">Q", self.committer.clock.stamp()) + os.urandom(8)

    async def _put_part(
        self, upload: Upload, number: int, body: bytes, size: int, blob: bytes, flags: int, etag: str, facts: bytes, modified_ns: int | None
    ) -> Part:
        if not 1 <= number <= PARTS_MAX:
            raise Invalid("A part number is 1 to 10,000.", field="part_number")
        if len(facts) > 255 or len(etag) > ETAG_MAX_BYTES:
            raise Invalid("The facts or the etag of a part are too long.")
        modified = time.time_ns() if modified_ns is None else modified_ns
        entry = entries.pack_part(flags=flags | BLOB, modified_ns=modified, size=size, blob=blob, etag=etag, facts=facts)
        change = record(PART, self.committer.clock.stamp(), upload.id.bytes + struct.pack(">H", number), entry, body)
        await self.committer.commit(change, _log_class(upload.storage_class))
        return Part(number, size, etag, facts, modified, blob)

    async def begin_part(self, upload: Upload, number: int, *, size: int | None = None, hashers: Iterable[Any] = ()) -> Writer:
        """A part of any size; `Writer.finish` returns the Part."""
        extent = await self._begin_extent(size, upload.storage_class, hashers)

        async def finish(etag: str, meta: bytes, facts: bytes, modified_ns: int | None) -> Part:
            replicas = await extent.seal()
            body = ExtentFacts(extent.size, extent.data, extent.parity, extent.copies, tuple(drive for drive, _ in replicas)).pack()
            try:
                part = await self._put_part(upload, number, body, extent.size, extent.blob, EXTENT, etag, facts, modified_ns)
            except Exception as error:
                await extent.abort(sealed=not isinstance(error, Unavailable))
                raise
            self._note_bad(extent.blob, replicas)
            return part

        return Writer(extent, finish)

    def list_parts(self, upload: Upload, *, after: int = 0, limit: int = 1000) -> Sequence[Part]:
        """By number, those above `after`."""
        found: list[Part] = []
        with self.index.env.begin() as txn:
            cursor = txn.cursor(db=self.index.parts)
            ok = after < 0xFFFF and cursor.set_range(upload.id.bytes + struct.pack(">H", after + 1))
            while ok and len(found) < min(limit, PARTS_MAX):
                key, row = cursor.item()
                if not key.startswith(upload.id.bytes):
                    break
                found.append(entries.part_of(struct.unpack(">H", key[16:])[0], row))
                ok = cursor.next()
        return found

    async def complete(
        self,
        upload: Upload,
        parts: Sequence[Part],
        *,
        etag: str,
        meta: bytes = b"",
        mode: Mode = Mode.REPLACE,
        condition: Condition | None = None,
        modified_ns: int | None = None,
    ) -> Version:
        """Make an object of these parts (as `list_parts` gave them), in this order, without copying a byte; ends the upload.

        Raises Conflict if one of the parts has been replaced since, NotFound if the upload is gone.
        """
        _check(upload.name, etag, meta)
        if not parts:
            raise Invalid("An object is made of at least one part.")

        def check(current: Version | None) -> None:
            if self.index.upload(upload.id) is None:
                raise NotFound("There is no such upload; it may have been completed or aborted.")
            now = {part.number: part.blob for part in self.list_parts(upload, limit=PARTS_MAX)}
            if any(now.get(part.number) != part.blob for part in parts):
                raise Conflict("A part has been replaced or is missing. List the parts and try again.")
            if condition is not None:
                condition(current)

        flags = BLOB | MANIFEST | COMPLETES | (NULL_VERSION if mode is Mode.REPLACE else 0)
        body = entries.pack_manifest(parts)
        change = _Put(
            upload.bucket,
            upload.name,
            flags,
            upload.storage_class,
            modified_ns,
            sum(part.size for part in parts),
            etag,
            meta,
            body,
            blob=self._blob_id(),
            upload=upload.id.bytes,
        )
        return await self._put(change, _log_class(upload.storage_class), check, upload=upload.id.bytes)

    async def abort_upload(self, upload: Upload) -> bool:
        """End an upload and give its room back; False if there was none."""
        if self.index.upload(upload.id) is None:
            return False
        change = Record(UPLOAD_END, self.committer.clock.stamp(), upload.id.bytes, b"")
        try:
            await self.committer.commit(change, _log_class(upload.storage_class), freeing=True)
        except NotFound:
            return False
        return True


class Writer:
    """A large body on its way in. Feed it in order, then `finish` it once, or `abort` it; as a context it aborts what is not finished.

    Either `write(chunk)`, or without a copy: `view = await buffer()`, receive into it, release it, `await advance(n)`.
    `hashers` given to the store's method see every byte, in a thread of their own, beside the writing.
    """

    def __init__(self, extent: ExtentWriter, finish: Any) -> None:
        self._extent, self._finish, self._done = extent, finish, False

    @property
    def size(self) -> int:
        """Bytes so far."""
        return self._extent.size

    async def write(self, chunk: Body) -> None:
        await self._extent.write(chunk)

    async def buffer(self) -> memoryview:
        """Free room in a page-aligned buffer, at least one byte, at most 4 MiB; valid until `advance`."""
        return await self._extent.buffer()

    async def advance(self, count: int) -> None:
        await self._extent.advance(count)

    async def digest_ready(self) -> None:
        """No more bytes will come: wait until `hashers` have seen all; call it before reading their digests."""
        await self._extent.digest_ready()

    async def finish(self, *, etag: str, meta: bytes = b"", facts: bytes = b"", modified_ns: int | None = None) -> Any:
        """Make it durable and visible. Returns the Version (or the Part, of `Store.begin_part`)."""
        self._done = True
        return await self._finish(etag, meta, facts, modified_ns)

    async def abort(self) -> None:
        if not self._done:
            self._done = True
            await self._extent.abort()

    async def __aenter__(self) -> Writer:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.abort()


class _Put:
    """A PUT that only lacks its stamp."""

    __slots__ = ("blob", "body", "bucket", "etag", "flags", "meta", "modified_ns", "name", "size", "stamp", "storage_class", "upload")

    def __init__(
        self,
        bucket: UUID,
        name: bytes,
        flags: int,
        storage_class: StorageClass,
        modified_ns: int | None,
        size: int,
        etag: str,
        meta: bytes,
        body: bytes,
        *,
        blob: bytes = b"",
        upload: bytes = b"",
        stamp: int = 0,
    ) -> None:
        self.bucket, self.name, self.flags, self.storage_class = bucket, name, flags, storage_class
        self.modified_ns = time.time_ns() if modified_ns is None else modified_ns
        self.size, self.etag, self.meta, self.body = size, etag, meta, body
        self.blob, self.upload, self.stamp = blob, upload, stamp

    def record(self, stamp: int) -> Record:
        entry = entries.pack_version(
            flags=self.flags,
            storage_class=self.storage_class.number,
            stamp=self.stamp or stamp,
            modified_ns=self.modified_ns,
            size=self.size,
            etag=self.etag,
            meta=self.meta,
            blob=self.blob,
            upload=self.upload,
        )
        return record(PUT, stamp, self.bucket.bytes + self.name, entry, self.body)


def _flags(version: Version) -> int:
    """Of a record that says the same version again."""
    flags = (NULL_VERSION if version.null else 0) | (MARKER if version.delete_marker else 0) | (MANIFEST if version.manifest else 0)
    if version.blob:
        flags |= BLOB | (0 if version.manifest else EXTENT)
    return flags


def _version(bucket: UUID, name: bytes, op: Op) -> Version:
    return entries.version_of(bucket, name, entries.row_of(op.place, op.record.stamp, op.record.entry), True)


def _log_class(storage_class: StorageClass) -> StorageClass:
    """How records that bring no small body are kept: as those of the class are."""
    return storage_class.log


def _check(name: bytes, etag: str, meta: bytes) -> None:
    if not 1 <= len(name) <= NAME_MAX_BYTES:
        raise Invalid(f"An object's name has 1 to {NAME_MAX_BYTES} bytes.", field="name")
    if len(meta) > META_MAX_BYTES:
        raise TooLarge("The object's properties are larger than 256 KiB.")
    if len(etag) > ETAG_MAX_BYTES or not etag.isascii():
        raise Invalid("An etag has at most 255 ASCII characters.", field="etag")


def _range(version: Version, start: int, length: int | None) -> tuple[int, int]:
    """Within the body."""
    if start < 0 or (length is not None and length < 0):
        raise Invalid("A range does not begin before the body.")
    start = min(start, version.size)
    return start, version.size - start if length is None else min(length, version.size - start)


def _spec(drive: DriveSpec | Path | Drive) -> DriveSpec:
    if isinstance(drive, DriveSpec):
        return drive
    return DriveSpec(drive) if isinstance(drive, Path) else DriveSpec(Path("memory"), drive=drive)
