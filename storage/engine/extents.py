"""Extents: large bodies as files, a whole copy per drive or a fragment of an erasure code, with a checksum for every block.

A writer gathers the body in page-aligned buffers of 4 MiB; each full buffer is hashed by one thread and written by one per drive, while
the next one fills. Nothing is visible until all that was written is synced and named; then the record makes it part of the store.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import mmap
import queue
import struct
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

from awscrt.checksums import crc32c

from cloudbox.common.errors import InsufficientCapacity, Unavailable
from storage.engine.drives import Unnamed
from storage.engine.members import Bay, Members
from storage.engine.types import StorageClass

log = logging.getLogger(__name__)

BUFFER_BYTES = 4 << 20
BLOCK_BYTES = 256 << 10  # What a checksum covers.
PAGE = 4096
BUFFERS_PER_WRITER = 3
LENT_MAX = 32  # Buffers beyond the first one of each writer, of all writers of a process together.
_TRAILER = struct.Struct("<8sQQQIIBBB13xI")
_MAGIC = b"CbxExtn1"
_CRC = struct.Struct("<I")
TRAILER_BYTES = _TRAILER.size + _CRC.size


def path_of(blob: bytes, fragment: int | None = None) -> str:
    """Fragments carry their number, so that a folder listing says which is which."""
    stem = blob.hex()
    return f"extents/{stem[:2]}/{stem}" if fragment is None else f"extents/{stem[:2]}/{stem}-{fragment}"


class Table(NamedTuple):
    """What an extent's file says about itself: bytes in this file, a checksum per block, its place in a code."""

    blob: bytes
    size: int
    checksums: tuple[int, ...]
    fragment: int
    data: int
    parity: int


def tail_of(table: Table) -> bytes:
    """What follows the (padded) bytes in the file: checksums and trailer, a whole number of pages."""
    sums = struct.pack(f"<{len(table.checksums)}I", *table.checksums)
    low, high = struct.unpack("<QQ", table.blob)
    packed = _TRAILER.pack(
        _MAGIC, low, high, table.size, BLOCK_BYTES, len(table.checksums), table.fragment, table.data, table.parity, crc32c(sums)
    )
    trailer = packed + _CRC.pack(crc32c(packed))
    pages = -(-(len(sums) + len(trailer)) // PAGE) * PAGE
    return sums.ljust(pages - len(trailer), b"\0") + trailer


def table_of(read: Callable[[int, int], bytes], whole: int) -> Table | None:
    """Read it back; None if it is damaged or cut off."""
    raw = read(whole - TRAILER_BYTES, TRAILER_BYTES) if whole >= PAGE else b""
    if len(raw) < TRAILER_BYTES or _CRC.unpack_from(raw, _TRAILER.size)[0] != crc32c(raw[: _TRAILER.size]):
        return None
    magic, low, high, size, block, count, fragment, data, parity, crc = _TRAILER.unpack_from(raw)
    if magic != _MAGIC or block != BLOCK_BYTES:
        return None
    sums = read(padded(size), 4 * count)
    if len(sums) != 4 * count or crc32c(sums) != crc:
        return None
    return Table(struct.pack("<QQ", low, high), size, struct.unpack(f"<{count}I", sums), fragment, data, parity)


def padded(size: int) -> int:
    return -(-size // PAGE) * PAGE


def file_bytes(size: int) -> int:
    """Of the whole file of an extent."""
    count = -(-size // BLOCK_BYTES)
    return padded(size) + -(-(4 * count + TRAILER_BYTES) // PAGE) * PAGE


class Buffers:
    """Page-aligned buffers, used again: to make one costs a thousand page faults."""

    def __init__(self) -> None:
        self._free: queue.SimpleQueue[mmap.mmap] = queue.SimpleQueue()
        self._used = 0.0
        self.lent = 0

    def lend(self) -> bool:
        """One more for a writer that has one already, if there are any left. In the loop's thread, as is `take_back`."""
        if self.lent >= LENT_MAX:
            return False
        self.lent += 1
        return True

    def take_back(self, count: int) -> None:
        self.lent -= count

    def rest(self, *, seconds: float = 5.0) -> bool:
        """Give those back to the kernel that nobody has wanted for so long; whether there were any."""
        found = False
        with contextlib.suppress(queue.Empty):
            while time.monotonic() - self._used >= seconds:
                self._free.get_nowait().close()
                found = True
        return found

    def get(self) -> mmap.mmap:
        self._used = time.monotonic()
        try:
            return self._free.get_nowait()
        except queue.Empty:
            return mmap.mmap(-1, BUFFER_BYTES)

    def put(self, buffer: mmap.mmap) -> None:
        self._used = time.monotonic()
        if self._free.qsize() < 16:
            self._free.put(buffer)


class Target:
    """One drive's file of an extent being written."""

    def __init__(self, bay: Bay, file: Unnamed) -> None:
        self.bay, self.file = bay, file
        self.offset = 0
        self.error: OSError | None = None
        self.last: Future[None] | None = None
        self.fragment: int | None = None
        self._closed = False
        bay.writers += 1

    def close(self) -> None:
        self.file.close()
        if not self._closed:
            self._closed = True
            self.bay.writers -= 1


class Countdown:
    """Gives a buffer back when everybody is done with it."""

    def __init__(self, count: int, done: Callable[[], None]) -> None:
        self._count, self._done, self._lock = count, done, threading.Lock()

    def one(self) -> None:
        with self._lock:
            self._count -= 1
            last = not self._count
        if last:
            self._done()


class ExtentWriter:
    """The bytes of one extent on their way to `replicas` drives, of which `quorum` must take them.

    Its methods are called from one place at a time; `buffer` and `advance` may wait for a free buffer. Each writer has one of its own,
    so that none waits for another's client; with more it fills one while others are written. When those are all lent, it is slower.
    """

    def __init__(
        self,
        blob: bytes,
        members: Members,
        pool: ThreadPoolExecutor,
        buffers: Buffers,
        storage_class: StorageClass,
        *,
        size: int | None,
        hashers: Iterable[Any] = (),
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.blob, self.size = blob, 0
        self._pool, self._buffers, self._loop = pool, buffers, loop
        self._quorum, self.copies = storage_class.quorum, storage_class.replicas
        self.data = self.parity = 0
        self._hashers = list(hashers)
        self._hashing: Future[None] | None = None
        self._checksums: list[int] = []
        self._slots = asyncio.Semaphore(1)
        self._lent = 0
        self._current: mmap.mmap | None = None
        self._filled = 0
        self._closed = False
        self._targets = self._open(members, storage_class.replicas, size)

    def _open(self, members: Members, replicas: int, size: int | None) -> list[Target]:
        targets: list[Target] = []
        whole = self._file_bytes(size) if size is not None else 0
        full = False
        for bay in members.choose(len(members.bays), room=whole):
            if len(targets) == replicas:
                break
            try:
                targets.append(Target(bay, bay.drive.create_unnamed(whole)))
            except OSError as error:
                full = full or error.errno == errno.ENOSPC
                bay.failed(error)
        if len(targets) < self._quorum:
            for target in targets:
                target.close()
            if full or len(members.usable(reserve=False)) >= self._quorum:
                raise InsufficientCapacity("The object store's drives are full. Delete something, or add a drive.")
            raise Unavailable("Too few of the object store's drives answer to keep this safely. Try again when they are back.")
        return targets

    def _file_bytes(self, size: int) -> int:
        return file_bytes(size)

    async def buffer(self) -> memoryview:
        if self._current is None:
            if self._slots.locked() and self._lent < BUFFERS_PER_WRITER - 1 and self._buffers.lend():
                self._lent += 1
                self._slots.release()
            await self._slots.acquire()
            self._current = self._buffers.get()
            self._filled = 0
        return memoryview(self._current)[self._filled :]

    async def advance(self, count: int) -> None:
        self._filled += count
        self.size += count
        if self._filled == BUFFER_BYTES:
            self._send()

    async def write(self, chunk: bytes | bytearray | memoryview) -> None:
        rest = memoryview(chunk)
        while rest:
            with await self.buffer() as room:
                count = min(len(room), len(rest))
                room[:count] = rest[:count]
            rest = rest[count:]
            await self.advance(count)

    def _send(self) -> None:
        """Hand the buffer to the hasher and to the drives, each in order with its own earlier ones."""
        buffer, length = self._current, self._filled
        assert buffer is not None
        self._current = None
        good = [t for t in self._targets if t.error is None]
        if len(good) < self._quorum:
            self._buffers.put(buffer)
            self._slots.release()
            raise Unavailable("Too few of the object store's drives took the body. Try again.")
        self._submit(buffer, length, good)

    def _submit(self, buffer: mmap.mmap, length: int, good: list[Target]) -> None:
        done = Countdown(len(good) + 1, lambda: self._give_back(buffer))
        whole = padded(length)
        if whole > length:
            buffer[length:whole] = bytes(whole - length)
        for target in good:
            target.last = self._pool.submit(self._put, target, target.last, buffer, whole, done)
        self._hashing = self._pool.submit(self._hash, self._hashing, buffer, length, done)

    def _give_back(self, buffer: mmap.mmap) -> None:
        self._buffers.put(buffer)
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._slots.release)

    @staticmethod
    def _put(target: Target, before: Future[None] | None, buffer: mmap.mmap, length: int, done: Countdown) -> None:
        try:
            if before is not None:
                before.result()
            if target.error is None:
                started = time.perf_counter()
                with memoryview(buffer) as whole, whole[:length] as part:
                    target.file.write([part], target.offset)
                target.bay.health.wrote(length, time.perf_counter() - started)
                target.offset += length
        except OSError as error:
            target.error = error
            target.bay.failed(error)
        finally:
            done.one()

    def _hash(self, before: Future[None] | None, buffer: mmap.mmap, length: int, done: Countdown) -> None:
        try:
            if before is not None:
                before.result()
            with memoryview(buffer) as whole:
                self._sum(whole, length)
                with whole[:length] as part:
                    for hasher in self._hashers:
                        hasher.update(part)
        finally:
            done.one()

    def _sum(self, whole: memoryview, length: int) -> None:
        for start in range(0, length, BLOCK_BYTES):
            with whole[start : min(start + BLOCK_BYTES, length)] as block:
                self._checksums.append(crc32c(block))

    async def digest_ready(self) -> None:
        """Flush, and wait until the hashers have seen everything."""
        if self._current is not None and self._filled:
            self._send()
        if self._hashing is not None:
            await asyncio.wrap_future(self._hashing)

    async def seal(self) -> list[tuple[bytes, int]]:
        """Sync and name the files. Returns the drives that have it (those that failed marked 1), at least the quorum."""
        try:
            return await self._seal()
        except BaseException:
            await self.abort()
            raise

    async def _seal(self) -> list[tuple[bytes, int]]:
        await self.digest_ready()
        futures = [asyncio.wrap_future(self._pool.submit(self._close_target, target, self._tail(target))) for target in self._targets]
        await asyncio.gather(*futures)
        self._closed = True
        self._release_current()
        good = [t for t in self._targets if t.error is None]
        if len(good) < self._quorum:
            await asyncio.to_thread(self._unlink, good)
            if any(t.error is not None and t.error.errno == errno.ENOSPC for t in self._targets):
                raise InsufficientCapacity("The object store's drives are full. Delete something, or add a drive.")
            raise Unavailable("Too few of the object store's drives took the body. Try again.")
        return [(t.bay.id, 0 if t.error is None else 1) for t in self._targets]

    def _tail(self, target: Target) -> bytes:
        return tail_of(Table(self.blob, self.size, tuple(self._checksums), 0, 0, 0))

    def _close_target(self, target: Target, tail: bytes) -> None:
        try:
            if target.last is not None:
                target.last.result()
            if target.error is None:
                aligned = mmap.mmap(-1, len(tail))
                aligned[:] = tail
                target.file.write([aligned], target.offset)  # type: ignore[list-item]
                target.file.publish(path_of(self.blob, target.fragment), target.offset + len(tail))
        except OSError as error:
            target.error = error
            target.bay.failed(error)
        finally:
            target.close()

    def _unlink(self, targets: Sequence[Target]) -> None:
        for target in targets:
            with contextlib.suppress(OSError):
                target.bay.drive.remove(path_of(self.blob, target.fragment))

    def _release_current(self) -> None:
        self._buffers.take_back(self._lent)
        self._lent = 0
        if self._current is not None:
            self._buffers.put(self._current)
            self._current = None

    async def abort(self, *, sealed: bool = False) -> None:
        """Leave nothing behind."""
        if self._closed:
            if sealed:
                await asyncio.to_thread(self._unlink, self._targets)
            return
        self._closed = True
        pending = [f for f in [self._hashing, *(t.last for t in self._targets)] if f is not None]
        await asyncio.gather(*(asyncio.wrap_future(f) for f in pending), return_exceptions=True)
        self._release_current()
        for target in self._targets:
            target.close()
