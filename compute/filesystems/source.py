"""Bytes of a disk by place, counted: who reads a stranger's disk must come to an end."""

from __future__ import annotations

import time
from typing import Protocol

from cloudbox.common.errors import Conflict

READS_MAX = 50_000
BYTES_MAX = 512 * 2**20
SECONDS_MAX = 20.0


class Unreadable(Conflict):
    """A disk, a part of it or a file cannot be read; the sentence says why."""


class Bytes(Protocol):
    """A disk, or a part of one."""

    size_bytes: int

    def read(self, offset: int, length: int) -> bytes:
        """`length` bytes at `offset`, both within the disk."""


class Source:
    """A window of `disk` with limits that all windows of it share; `Unreadable` beyond them, and outside the window."""

    def __init__(self, disk: Bytes, *, reads: int = READS_MAX, total: int = BYTES_MAX, seconds: float = SECONDS_MAX) -> None:
        self._disk, self._start, self.size_bytes = disk, 0, disk.size_bytes
        self._left = _Left(reads, total, time.monotonic() + seconds)

    def window(self, start: int, length: int) -> Source:
        """A part of it. What reaches beyond the end is cut off: a table of partitions may say anything."""
        found = object.__new__(Source)
        start = min(start, self.size_bytes)
        found._disk, found._left, found._start = self._disk, self._left, self._start + start
        found.size_bytes = min(length, self.size_bytes - start)
        return found

    def read(self, offset: int, length: int) -> bytes:
        if offset < 0 or length < 0 or offset + length > self.size_bytes:
            raise Unreadable("What lies there points behind the end of the disk: it is damaged, or was cut off.")
        self._left.take(length)
        return self._disk.read(self._start + offset, length)

    def has(self, offset: int, wanted: bytes) -> bool:
        """Whether these bytes stand there; not, where the disk ends before."""
        return offset + len(wanted) <= self.size_bytes and self.read(offset, len(wanted)) == wanted


class _Left:
    def __init__(self, reads: int, total: int, until: float) -> None:
        self.reads, self.total, self.until = reads, total, until

    def take(self, length: int) -> None:
        self.reads -= 1
        self.total -= length
        if self.reads < 0 or self.total < 0 or time.monotonic() > self.until:
            raise Unreadable("This is too much to look through here. Restore it as a volume and attach that to an instance.")
