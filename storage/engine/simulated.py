"""Drives that live in memory and fail on demand: for tests of what must survive, and for boxes that need no disk.

A `Platter` is what a power loss leaves; a `MemoryDrive` is a drive plugged onto it. Faults are asked for on the platter
(`platter.fail(...)`, `platter.power.cut_after(n)`) and take effect at the drive's next operations.
"""

from __future__ import annotations

import errno
import os
import random
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from storage.engine.drives import Buffer, File, Unnamed

SECTOR_BYTES = 512


@dataclass
class _Content:
    """One file: what is on the platter, what the system sees, and which writes lie between."""

    durable: bytearray = field(default_factory=bytearray)
    seen: bytearray = field(default_factory=bytearray)
    unsynced: list[tuple[int, bytes]] = field(default_factory=list)


def _put(target: bytearray, offset: int, data: Buffer) -> None:
    if len(target) < offset:
        target.extend(bytes(offset - len(target)))
    target[offset : offset + len(data)] = data


def _over(at: int, old: bytes, offset: int, data: bytes) -> bytes:
    """What an earlier write, not yet synced, still has to bring where a later one has gone over it."""
    low, high = max(at, offset), min(at + len(old), offset + len(data))
    return old if low >= high else old[: low - at] + data[low - offset : high - offset] + old[high - at :]


class Power:
    """What drives are plugged into; one for several drives lets them lose it at the same moment."""

    def __init__(self) -> None:
        self.off = False
        self.operations = 0
        self.cut_at: int | None = None
        self.lock = threading.Lock()

    def cut_after(self, operations: int) -> None:
        """It goes during the n-th operation that changes something, counted from now."""
        self.cut_at = self.operations + operations

    def count(self) -> bool:
        """One more such operation; True if it is the one."""
        with self.lock:
            self.operations += 1
            if self.cut_at is not None and self.operations >= self.cut_at:
                self.off = True
            return self.off

    def restore(self) -> None:
        self.off, self.cut_at = False, None


class Platter:
    """The state of a drive apart from its power. `capacity` bounds the sum of its files."""

    def __init__(self, capacity: int = 1 << 40, *, seed: int = 0, power: Power | None = None) -> None:
        self.power = power or Power()
        self.files: dict[str, _Content] = {}
        self.capacity = capacity
        self.random = random.Random(seed)
        self.lock = threading.RLock()
        self._faults: dict[str, tuple[int, int]] = {}

    def fail(self, operation: str, number: int = errno.EIO, *, times: int = 1 << 60) -> None:
        """Let the next `times` operations of that kind (read, write, sync, create, publish, remove, move, list, any) raise this errno."""
        self._faults[operation] = (number, times)

    def heal(self) -> None:
        self._faults.clear()

    def flip(self, name: str, offset: int, mask: int = 0x01) -> None:
        """One byte goes bad, silently."""
        content = self.files[name]
        content.durable[offset] ^= mask
        content.seen[offset] ^= mask

    def power_loss(self) -> None:
        """Of what was not synced, each sector may or may not have made it. Afterwards the power is on again."""
        with self.lock:
            for content in self.files.values():
                for offset, data in content.unsynced:
                    self._tear(content, offset, data)
                content.unsynced.clear()
                content.seen = bytearray(content.durable)
            self.power.restore()

    def snapshot(self) -> dict[str, bytes]:
        """For `restore`: a drive that returns stale."""
        with self.lock:
            return {name: bytes(content.seen) for name, content in self.files.items()}

    def restore(self, snapshot: dict[str, bytes]) -> None:
        with self.lock:
            self.files = {name: _Content(bytearray(data), bytearray(data)) for name, data in snapshot.items()}

    def used(self) -> int:
        # Files come and go in other threads meanwhile.
        return sum(len(content.seen) for content in [*self.files.values()])

    # --- what drives and files call

    def check(self, operation: str, *, changes: bool = False) -> bool:
        """Count an operation and raise what was asked for; True if the power goes during this one."""
        if self.power.off:
            raise OSError(errno.ENODEV, "the drive has no power")
        for kind in (operation, "any"):
            if kind in self._faults:
                number, times = self._faults[kind]
                if times <= 1:
                    del self._faults[kind]
                else:
                    self._faults[kind] = (number, times - 1)
                raise OSError(number, os.strerror(number))
        return changes and self.power.count()

    def write(self, content: _Content, data: bytes, offset: int, *, durable: bool) -> None:
        with self.lock:
            cut = self.check("write", changes=True)
            if cut:
                content.unsynced.append((offset, data))
                raise OSError(errno.ENODEV, "the power went")
            grown = max(0, offset + len(data) - len(content.seen))
            if grown and self.used() + grown > self.capacity:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            _put(content.seen, offset, data)
            if durable:
                _put(content.durable, offset, data)
                content.unsynced = [(at, _over(at, old, offset, data)) for at, old in content.unsynced]
            else:
                content.unsynced.append((offset, data))

    def sync(self, content: _Content) -> None:
        with self.lock:
            if self.check("sync", changes=True):
                raise OSError(errno.ENODEV, "the power went")
            for offset, data in content.unsynced:
                _put(content.durable, offset, data)
            content.unsynced.clear()

    def _tear(self, content: _Content, offset: int, data: bytes) -> None:
        at = 0
        while at < len(data):
            step = min(len(data) - at, SECTOR_BYTES - (offset + at) % SECTOR_BYTES)
            if self.random.random() < 0.5:
                _put(content.durable, offset + at, data[at : at + step])
            at += step


class _MemoryFile:
    def __init__(self, platter: Platter, content: _Content) -> None:
        self._platter, self._content = platter, content

    def read(self, offset: int, length: int) -> bytes:
        self._platter.check("read")
        return bytes(memoryview(self._content.seen)[offset : offset + length])

    def read_cached(self, offset: int, length: int) -> bytes | None:
        data = self.read(offset, length)
        return data if len(data) == length else None

    def write(self, buffers: Sequence[Buffer], offset: int, *, durable: bool = False) -> None:
        self._platter.write(self._content, b"".join(buffers), offset, durable=durable)

    def sync(self) -> None:
        self._platter.sync(self._content)

    def size(self) -> int:
        return len(self._content.seen)

    def close(self) -> None:
        pass


class _MemoryUnnamed(_MemoryFile):
    def publish(self, name: str, size: int) -> None:
        self.sync()
        del self._content.seen[size:], self._content.durable[size:]
        with self._platter.lock:
            if name in self._platter.files:
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)
            if self._platter.check("publish", changes=True):
                raise OSError(errno.ENODEV, "the power went")
            self._platter.files[name] = self._content


class MemoryDrive:
    """A drive on a platter."""

    def __init__(self, platter: Platter | None = None) -> None:
        self.platter = platter or Platter()

    def names(self, folder: str) -> list[str]:
        self.platter.check("list")
        with self.platter.lock:
            return [name for name in self.platter.files if name.startswith(folder + "/")]

    def _find(self, name: str) -> _Content:
        try:
            return self.platter.files[name]
        except KeyError:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name) from None

    def open(self, name: str, *, write: bool = False) -> File:
        self.platter.check("open")
        return _MemoryFile(self.platter, self._find(name))

    def create(self, name: str, size: int = 0) -> File:
        with self.platter.lock:
            if size and self.platter.used() + size > self.platter.capacity:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if name in self.platter.files:
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)
            if self.platter.check("create", changes=True):
                raise OSError(errno.ENODEV, "the power went")
            content = self.platter.files[name] = _Content(bytearray(size), bytearray(size))
        return _MemoryFile(self.platter, content)

    def create_unnamed(self, size: int = 0) -> Unnamed:
        self.platter.check("create")
        if size and self.platter.used() + size > self.platter.capacity:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return _MemoryUnnamed(self.platter, _Content())

    def remove(self, name: str) -> None:
        with self.platter.lock:
            if self.platter.check("remove", changes=True):
                raise OSError(errno.ENODEV, "the power went")
            self.platter.files.pop(name, None)

    def move(self, name: str, new: str) -> None:
        with self.platter.lock:
            self._find(name)
            if new in self.platter.files:
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), new)
            cut = self.platter.check("move", changes=True)
            if not cut or self.platter.random.random() < 0.5:
                self.platter.files[new] = self.platter.files.pop(name)
            if cut:
                raise OSError(errno.ENODEV, "the power went")

    def load(self, name: str) -> bytes | None:
        self.platter.check("read")
        content = self.platter.files.get(name)
        return None if content is None else bytes(content.seen)

    def save(self, name: str, data: bytes) -> None:
        with self.platter.lock:
            if self.platter.check("write", changes=True):
                raise OSError(errno.ENODEV, "the power went")
            self.platter.files[name] = _Content(bytearray(data), bytearray(data))

    def space(self) -> tuple[int, int]:
        self.platter.check("space")
        return max(0, self.platter.capacity - self.platter.used()), self.platter.capacity
