"""The fragments of erasure-coded extents: written as the body streams in, read from as few as will do, made anew from any k others."""

from __future__ import annotations

import asyncio
import errno
import mmap
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from awscrt.checksums import crc32c

from cloudbox.common.errors import Unavailable
from storage.engine import extents
from storage.engine.drives import File
from storage.engine.erasure import Code, code
from storage.engine.extents import BLOCK_BYTES, Buffers, Countdown, ExtentWriter, Table, Target, file_bytes, path_of, tail_of
from storage.engine.index import GOOD, Blob
from storage.engine.members import Bay, Members
from storage.engine.rounds import Wait
from storage.engine.types import StorageClass

NOWHERE = bytes(16)  # Instead of a drive's id: this fragment has never been written.


class FragmentWriter(ExtentWriter):
    """The bytes of one extent on their way to k + m drives, a fragment to each, of which k + 1 must take theirs.

    With k the body could be read, but the next failure would lose it; so one more is asked for, as one more copy is of replicas.
    """

    def __init__(
        self, blob: bytes, members: Members, pool: ThreadPoolExecutor, buffers: Buffers, storage_class: StorageClass, **options: Any
    ) -> None:
        self._code = code(storage_class.data, storage_class.parity)
        self._sums: list[list[int]] = [[] for _ in range(self._code.fragments)]
        self._coding: Future[None] | None = None
        super().__init__(blob, members, pool, buffers, storage_class, **options)
        self.data, self.parity = self._code.data, self._code.parity
        for number, target in enumerate(self._targets):
            target.fragment = number

    def _file_bytes(self, size: int) -> int:
        return file_bytes(self._code.fragment_bytes(size))

    def _submit(self, buffer: mmap.mmap, length: int, good: list[Target]) -> None:
        parity = self._buffers.get()

        def give_back() -> None:
            self._buffers.put(parity)
            self._give_back(buffer)

        done = Countdown(len(good) + 2, give_back)
        start, unit = list(self._code.stripes(length))[-1]
        whole = start + self._code.data * unit
        buffer[length:whole] = bytes(whole - length)
        # Whoever waits for another one was submitted after it, so the pool always has somebody to go on.
        coding = self._coding = self._pool.submit(self._encode, self._coding, buffer, parity, length, done)
        for target in good:
            target.last = self._pool.submit(self._put_fragment, target, target.last, coding, buffer, parity, length, done)
        self._hashing = self._pool.submit(self._hash, self._hashing, buffer, length, done)

    def _encode(self, before: Future[None] | None, buffer: mmap.mmap, parity: mmap.mmap, length: int, done: Countdown) -> None:
        try:
            if before is not None:
                before.result()
            at = 0
            for start, unit in self._code.stripes(length):
                stripe = bytes(buffer[start : start + self._code.data * unit])
                with memoryview(stripe) as view:
                    for number in range(self._code.data):
                        self._sums[number].append(crc32c(view[number * unit : (number + 1) * unit]))
                for number, block in enumerate(self._code.encode(stripe), self._code.data):
                    self._sums[number].append(crc32c(block))
                    parity[at : at + unit] = block
                    at += BLOCK_BYTES
        finally:
            done.one()

    def _put_fragment(
        self,
        target: Target,
        before: Future[None] | None,
        coding: Future[None],
        buffer: mmap.mmap,
        parity: mmap.mmap,
        length: int,
        done: Countdown,
    ) -> None:
        try:
            if before is not None:
                before.result()
            number = target.fragment or 0
            if number >= self._code.data:
                coding.result()
            if target.error is None:
                blocks, total = [], 0
                for n, (start, unit) in enumerate(self._code.stripes(length)):
                    if number < self._code.data:
                        blocks.append(memoryview(buffer)[start + number * unit : start + (number + 1) * unit])
                    else:
                        at = (n * self._code.parity + number - self._code.data) * BLOCK_BYTES
                        blocks.append(memoryview(parity)[at : at + unit])
                    total += unit
                target.file.write(blocks, target.offset)
                target.offset += total
        except OSError as error:
            target.error = error
            target.bay.failed(error)
        finally:
            done.one()

    def _sum(self, whole: memoryview, length: int) -> None:
        """Checksums are those of the fragments' blocks."""

    async def digest_ready(self) -> None:
        await super().digest_ready()
        if self._coding is not None:
            await asyncio.wrap_future(self._coding)

    def _tail(self, target: Target) -> bytes:
        number = target.fragment or 0
        size = self._code.fragment_bytes(self.size)
        return tail_of(Table(self.blob, size, tuple(self._sums[number]), number, self._code.data, self._code.parity))

    async def seal(self) -> list[tuple[bytes, int]]:
        """By the number of the fragment. The repairer makes those that found no drive."""
        placed = await super().seal()
        return placed + [(NOWHERE, 1)] * (self._code.fragments - len(placed))

    async def abort(self, *, sealed: bool = False) -> None:
        if not self._closed and self._coding is not None:
            await asyncio.gather(asyncio.wrap_future(self._coding), return_exceptions=True)
        await super().abort(sealed=sealed)


class Fragments:
    """The files of one extent, for reading. A block that is not what its checksum says is never used."""

    def __init__(self, id: bytes, blob: Blob, members: Members) -> None:
        self.id, self.blob, self._members = id, blob, members
        self.code: Code = code(blob.data, blob.parity)
        self.size = self.code.fragment_bytes(blob.size)
        self._files: dict[int, tuple[File, Table]] = {}

    def bay(self, number: int) -> Bay | None:
        """Where a fragment can be read, as far as is known."""
        drive, state = self.blob.replicas[number]
        return self._members.bay(drive) if state == GOOD else None

    def _open(self, number: int, bay: Bay) -> tuple[File, Table]:
        known = self._files.get(number)
        if known is None:
            file = bay.drive.open(path_of(self.id, number))
            table = extents.table_of(file.read, file.size())
            if table is None or (table.blob, table.fragment, table.size) != (self.id, number, self.size):
                raise OSError(errno.EIO, "the table of the fragment is damaged")
            known = self._files[number] = (file, table)
        return known

    def whole(self, number: int) -> bool:
        """Whether its file is there with a good table, so that single blocks can be put right."""
        return number in self._files

    def unit(self, stripe: int) -> int:
        return self.code.unit(self.blob.size - stripe * self.code.stripe_bytes)

    def block(self, number: int, stripe: int, hurt: set[int]) -> bytes | None:
        """A verified block; None if it is not to be had, and the fragment's number added to `hurt` if it should be."""
        bay = self.bay(number)
        if bay is None:
            return None
        try:
            file, table = self._open(number, bay)
            data = file.read(stripe * BLOCK_BYTES, self.unit(stripe))
        except OSError as error:
            bay.health.errors += 1
            bay.health.last_error = str(error)
            self._files.pop(number, None)
            hurt.add(number)
            return None
        bay.health.reads += 1
        bay.health.read_bytes += len(data)
        if len(data) != self.unit(stripe) or crc32c(data) != table.checksums[stripe]:
            hurt.add(number)
            return None
        return data

    def blocks(self, stripe: int, wanted: list[int], hurt: set[int]) -> dict[int, bytes]:
        """Those blocks of a stripe, read or computed. Raises Unavailable if too few others are good."""
        found: dict[int, bytes] = {}
        for number in [*wanted, *(n for n in range(self.code.fragments) if n not in wanted)]:
            if len(found) >= self.code.data or all(n in found for n in wanted):
                break
            data = self.block(number, stripe, hurt)
            if data is not None:
                found[number] = data
        if any(n not in found for n in wanted):
            if len(found) < self.code.data:
                raise Unavailable("Too many fragments of this could not be read. It stays safe to try again; the operators have been told.")
            found |= self.code.rebuild(found, wanted)
        return found

    def body(self, start: int, length: int, heal: Callable[[int, int, bytes], None]) -> bytes:
        """Bytes of the body. `heal(fragment, stripe, block)` is told what should have been read where something else was."""
        pieces: list[bytes | memoryview] = []
        at, end = start, start + length
        while at < end:
            stripe, offset = divmod(at, self.code.stripe_bytes)
            stop = min(self.code.stripe_bytes, offset + end - at)
            unit = self.unit(stripe)
            hurt: set[int] = set()
            wanted = list(range(offset // unit, (stop - 1) // unit + 1))
            found = self.blocks(stripe, wanted, hurt)
            for number in wanted:
                low = number * unit
                pieces.append(memoryview(found[number])[max(0, offset - low) : min(unit, stop - low)])
            if hurt:
                for number, block in self.blocks(stripe, sorted(hurt), set()).items():
                    if number in hurt:
                        heal(number, stripe, block)
            at += stop - offset
        return b"".join(pieces)


# --- making them anew


def lacking(members: Members, blob: Blob) -> list[int]:
    """Numbers of fragments that no drive has, or that are on one that is being emptied. Who is away may come back, until given up."""
    found = []
    for number, (drive, state) in enumerate(blob.replicas):
        bay = members.bay(drive)
        kept = state == GOOD and (not bay.spec.draining if bay is not None else drive in members.missing)
        if not kept:
            found.append(number)
    return found


def targets(members: Members, blob: Blob, numbers: list[int]) -> dict[int, Bay]:
    """Where to write them: where they were, if that drive takes anything, else on drives that have no fragment of this extent."""
    usable = {bay.id for bay in members.usable()}
    found: dict[int, Bay] = {}
    for number in numbers:
        bay = members.bay(blob.replicas[number][0])
        if bay is not None and bay.id in usable:
            found[number] = bay
    taken = {drive for drive, _ in blob.replicas}
    room = file_bytes(code(blob.data, blob.parity).fragment_bytes(blob.size))
    beside = [drive for drive, state in blob.replicas if state == GOOD]
    others = [bay for bay in members.choose(len(members.bays), room=room, beside=beside) if bay.id not in taken]
    for number in numbers:
        if number not in found and others:
            found[number] = others.pop(0)
    return found


def make(fragments: Fragments, number: int, bay: Bay, wait: Wait) -> int:
    """Write a fragment, from its own old file as far as that is good, and else from the others. Raises OSError, Unavailable."""
    size = fragments.size
    target = bay.drive.create_unnamed(file_bytes(size))
    sums: list[int] = []
    buffer = mmap.mmap(-1, BLOCK_BYTES)
    try:
        for stripe in range(-(-fragments.blob.size // fragments.code.stripe_bytes)):
            block = fragments.blocks(stripe, [number], set())[number]
            sums.append(crc32c(block))
            buffer[: len(block)] = block
            target.write([memoryview(buffer)[: len(block)]], stripe * BLOCK_BYTES)
            wait(len(block))
        tail = tail_of(Table(fragments.id, size, tuple(sums), number, fragments.code.data, fragments.code.parity))
        last = mmap.mmap(-1, len(tail))
        last[:] = tail
        target.write([memoryview(last)], size)
        path = path_of(fragments.id, number)
        bay.drive.remove(path)
        target.publish(path, file_bytes(size))
    finally:
        target.close()
    return size
