"""Reading: every block is checked; a bad or missing one is read from another drive, and put right where it was bad."""

from __future__ import annotations

import asyncio
import errno
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

from awscrt.checksums import crc32c

from cloudbox.common.errors import NotFound, Unavailable
from storage.engine import entries, extents
from storage.engine.drives import File
from storage.engine.extents import BLOCK_BYTES, Table
from storage.engine.fragments import Fragments
from storage.engine.index import EXTENT, OPEN, STALE, Blob, Index
from storage.engine.members import Bay, Members
from storage.engine.segments import SegmentFiles, path_of
from storage.engine.types import Location, Part, Version

log = logging.getLogger(__name__)

STREAM_BYTES = 1 << 20
OPEN_EXTENTS = 256
MANIFESTS = 64

UNREADABLE = "No good copy of this could be read. It stays safe to try again; the operators of the box have been told."


class _Gone(Exception):
    """What was looked for is not where the index said; look again."""


class OpenExtent:
    """An extent being read: its table and its files."""

    def __init__(self, blob: Blob) -> None:
        self.blob = blob
        self.table: Table | None = None
        self.files: dict[bytes, File] = {}
        self.fragments: Fragments | None = None


class Reader:
    """One per process."""

    def __init__(self, index: Index, members: Members, pool: ThreadPoolExecutor) -> None:
        self._index, self._members, self._pool = index, members, pool
        self.files = SegmentFiles(index, members)
        self._extents: OrderedDict[bytes, OpenExtent] = OrderedDict()
        self._manifests: OrderedDict[tuple[bytes, int], list[Part]] = OrderedDict()
        self._lock = threading.Lock()
        self.damaged: Callable[[str], None] = log.warning

    # --- bodies in segments

    def small_cached(self, place: Location) -> bytes | None:
        """A body from the page cache, without waiting; None if that did not work, for whatever reason."""
        if not place.length:
            return b""
        for bay in self.files.replicas(place.segment):
            try:
                body = self.files.file(place.segment, bay).read_cached(place.offset, place.length)
            except OSError:
                return None
            if body is None or crc32c(body) != place.crc:
                return None
            bay.health.reads += 1
            bay.health.read_bytes += place.length
            return body
        return None

    def small(self, place: Location) -> bytes:
        """A body from a segment, from whichever replica is good; the others are put right. Raises _Gone, Unavailable."""
        if not place.length:
            return b""
        bad: list[Bay] = []
        bays = self.files.replicas(place.segment, fresh=True)
        if not bays and self.files.row(place.segment) is None:
            raise _Gone
        for bay in bays:
            started = time.perf_counter()
            try:
                body = self.files.file(place.segment, bay).read(place.offset, place.length)
            except OSError as error:
                self._failed(bay, error)
                bad.append(bay)
                continue
            bay.health.read(len(body), time.perf_counter() - started)
            if len(body) == place.length and crc32c(body) == place.crc:
                row = self.files.row(place.segment)
                if row is not None and row.state != OPEN:  # Else the slowest drive may just not have it yet; the auditor will see.
                    for other in bad:
                        self._heal_segment(other, place, body)
                return body
            bad.append(bay)
        self.files.forget(place.segment)
        raise Unavailable(UNREADABLE)

    def _failed(self, bay: Bay, error: OSError) -> None:
        bay.health.errors += 1
        bay.health.last_error = str(error)

    def _heal_segment(self, bay: Bay, place: Location, body: bytes) -> None:
        """Write the right bytes where wrong ones were. If the drive does not take them, its replica is stale."""
        bay.health.bad_blocks += 1
        self.damaged(f"drive {bay.label}: segment {place.segment:016x}, {place.length} bytes at {place.offset} were bad")
        try:
            bay.drive.open(path_of(place.segment), write=True).write([body], place.offset, durable=True)
        except OSError as error:
            self._failed(bay, error)
            self._index.update_segment(
                place.segment,
                lambda row: replace(row, replicas=tuple((d, STALE if d == bay.id else s) for d, s in row.replicas)),
            )
            self.files.forget(place.segment)

    # --- extents

    def extent(self, id: bytes, *, fresh: bool = False) -> OpenExtent:
        with self._lock:
            found = None if fresh else self._extents.get(id)
            if found is not None:
                self._extents.move_to_end(id)
                return found
        blob = self._index.blob(id)
        if blob is None:
            raise _Gone
        found = OpenExtent(blob)
        if blob.data:
            found.fragments = Fragments(id, blob, self._members)
        with self._lock:
            self._extents[id] = found
            while len(self._extents) > OPEN_EXTENTS:
                self._extents.popitem(last=False)
        return found

    def forget_extent(self, id: bytes) -> None:
        with self._lock:
            self._extents.pop(id, None)

    def _bays(self, id: bytes, blob: Blob) -> list[Bay]:
        bays = [bay for drive, state in blob.replicas if state != STALE and (bay := self._members.bay(drive)) is not None]
        if len(bays) > 1:
            turn = id[-1] % len(bays)
            bays = bays[turn:] + bays[:turn]
        return bays

    def _file(self, id: bytes, extent: OpenExtent, bay: Bay) -> File:
        file = extent.files.get(bay.id)
        if file is None:
            file = extent.files[bay.id] = bay.drive.open(extents.path_of(id))
        if extent.table is None:
            table = extents.table_of(file.read, file.size())
            if table is None or table.blob != id:
                del extent.files[bay.id]
                raise OSError(errno.EIO, "the table of the extent is damaged")
            extent.table = table
        return file

    def extent_range(self, id: bytes, start: int, length: int) -> bytes:
        """Bytes of an extent, each block that they touch checked. Raises _Gone, Unavailable."""
        extent = self.extent(id)
        if extent.fragments is not None:
            return self._coded_range(id, extent.fragments, start, length)
        first, last = start // BLOCK_BYTES, (start + length - 1) // BLOCK_BYTES
        bad: list[Bay] = []
        for bay in self._bays(id, extent.blob):
            started = time.perf_counter()
            try:
                file = self._file(id, extent, bay)
                table = extent.table
                assert table is not None
                low, high = first * BLOCK_BYTES, min((last + 1) * BLOCK_BYTES, table.size)
                data = file.read(low, high - low)
            except OSError as error:
                self._failed(bay, error)
                extent.files.pop(bay.id, None)
                bad.append(bay)
                continue
            bay.health.read(len(data), time.perf_counter() - started)
            if len(data) == high - low and _is_good(table, data, first):
                for other in bad:
                    self._heal_extent(other, id, extent, table, data, first)
                return data if low == start and high - low == length else data[start - low : start - low + length]
            bad.append(bay)
        self.forget_extent(id)
        if self._index.blob(id) is None:
            raise _Gone
        raise Unavailable(UNREADABLE)

    def _heal_extent(self, bay: Bay, id: bytes, extent: OpenExtent, table: Table, data: bytes, first: int) -> None:
        bay.health.bad_blocks += 1
        self.damaged(f"drive {bay.label}: extent {id.hex()}, blocks from {first} were bad or unreadable")
        try:
            file = bay.drive.open(extents.path_of(id), write=True)
            if file.size() != extents.file_bytes(table.size):
                raise OSError(errno.EIO, "the file has not its length")
            file.write([data], first * BLOCK_BYTES)
            file.write([extents.tail_of(table)], extents.padded(table.size))
            file.sync()
        except OSError as error:
            self._failed(bay, error)
            self._index.update_blob(
                id, lambda blob: replace(blob, replicas=tuple((d, STALE if d == bay.id else s) for d, s in blob.replicas))
            )
            self.forget_extent(id)
        extent.files.pop(bay.id, None)

    def _coded_range(self, id: bytes, fragments: Fragments, start: int, length: int) -> bytes:
        try:
            return fragments.body(start, length, partial(self._heal_fragment, fragments))
        except Unavailable:
            self.forget_extent(id)
            blob = self._index.blob(id)
            if blob is None:
                raise _Gone from None
            if blob.replicas == fragments.blob.replicas:
                raise Unavailable(UNREADABLE) from None
            again = Fragments(id, blob, self._members)  # The repairer has moved some of it.
            return again.body(start, length, partial(self._heal_fragment, again))

    def _heal_fragment(self, fragments: Fragments, number: int, stripe: int, block: bytes) -> None:
        """Write the right block where a wrong one was; a file that does not take it is stale."""
        bay = fragments.bay(number)
        if bay is None:
            return
        bay.health.bad_blocks += 1
        path = extents.path_of(fragments.id, number)
        self.damaged(f"drive {bay.label}: {path}, block {stripe} was bad or unreadable")
        try:
            if not fragments.whole(number):
                raise OSError(errno.EIO, "the file cannot be read")
            file = bay.drive.open(path, write=True)
            file.write([block], stripe * BLOCK_BYTES, durable=True)
        except OSError as error:
            self._failed(bay, error)
            self._index.update_blob(
                fragments.id, lambda blob: replace(blob, replicas=tuple((d, STALE if d == bay.id else s) for d, s in blob.replicas))
            )
            self.forget_extent(fragments.id)

    # --- versions

    def blob_range(self, id: bytes, start: int, length: int) -> bytes:
        """Bytes of any blob."""
        extent = self.extent(id)
        if extent.blob.kind == EXTENT:
            return self.extent_range(id, start, length)
        try:
            body = self.small(Location(*extent.blob.place))
        except (_Gone, Unavailable):
            fresh = self.extent(id, fresh=True)  # The compactor has moved it.
            if fresh.blob.place == extent.blob.place:
                raise
            body = self.small(Location(*fresh.blob.place))
        return body[start : start + length]

    def manifest(self, version: Version) -> list[Part]:
        key = (version.blob, version.size)
        with self._lock:
            found = self._manifests.get(key)
        if found is None:
            blob = self._index.blob(version.blob)
            if blob is None:
                raise _Gone
            found = entries.manifest_of(self.blob_range(version.blob, 0, blob.place[2]))
            with self._lock:
                self._manifests[key] = found
                while len(self._manifests) > MANIFESTS:
                    self._manifests.popitem(last=False)
        return found

    def pieces(self, version: Version, start: int, length: int) -> list[tuple[bytes, int, int]]:
        """Blobs, offsets and lengths that make up a range of a large body. May read a manifest."""
        if not version.manifest:
            return [(version.blob, start, length)]
        found, at = [], 0
        for part in self.manifest(version):
            if at >= start + length:
                break
            low, high = max(start, at), min(start + length, at + part.size)
            if low < high:
                found.append((part.blob, low - at, high - low))
            at += part.size
        return found

    def range(self, version: Version, start: int, length: int) -> bytes:
        """Bytes of a version, in this thread."""
        try:
            if version.location is not None:
                return self._small_again(version)[start : start + length]
            return b"".join(self.blob_range(*piece) for piece in self.pieces(version, start, length))
        except _Gone:
            raise NotFound("The object has been deleted or replaced in the meantime.") from None

    def _small_again(self, version: Version) -> bytes:
        """The compactor may have moved it since it was looked up."""
        assert version.location is not None
        try:
            return self.small(version.location)
        except (_Gone, Unavailable):
            now = self._index.get(version.bucket, version.name, version.id)
            if now is None or now.stamp != version.stamp or now.location is None:
                raise _Gone from None
            if now.location == version.location:
                raise
            return self.small(now.location)

    async def stream(self, version: Version, start: int, length: int) -> AsyncIterator[bytes]:
        """Pieces of up to STREAM_BYTES; the next one is read while the last one is used."""
        loop = asyncio.get_running_loop()
        try:
            pieces = await loop.run_in_executor(self._pool, self.pieces, version, start, length)
        except _Gone:
            raise NotFound("The object has been deleted or replaced in the meantime.") from None
        steps = [
            (blob, at, min(STREAM_BYTES - at % BLOCK_BYTES, offset + count - at))
            for blob, offset, count in pieces
            for at in _steps(offset, count)
        ]
        ahead: asyncio.Future[bytes] | None = None
        try:
            for number, step in enumerate(steps):
                current = ahead or loop.run_in_executor(self._pool, self.blob_range, *step)
                ahead = None
                data = await current
                if number + 1 < len(steps):
                    ahead = loop.run_in_executor(self._pool, self.blob_range, *steps[number + 1])
                yield data
        except _Gone:
            raise NotFound("The object has been deleted or replaced in the meantime.") from None
        finally:
            if ahead is not None:
                ahead.cancel()
                ahead.add_done_callback(lambda f: f.cancelled() or f.exception())


def _is_good(table: Table, data: bytes, first: int) -> bool:
    """Whether each block of `data`, which begins with the block `first`, has the checksum that was written with it."""
    view = memoryview(data)
    blocks = enumerate(range(0, len(data), BLOCK_BYTES), first)
    return all(crc32c(view[at : at + BLOCK_BYTES]) == table.checksums[number] for number, at in blocks)


def _steps(offset: int, count: int) -> list[int]:
    """Where the reads of a range begin: block by block, STREAM_BYTES at a time."""
    found, at = [], offset
    while at < offset + count:
        found.append(at)
        at += STREAM_BYTES - at % BLOCK_BYTES
    return found
