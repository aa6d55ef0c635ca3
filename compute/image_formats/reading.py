"""Reading headers that somebody hostile may have written: every read is bounded, and past the end is a refusal, not a surprise."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from cloudbox.common.errors import Invalid

SECTOR = 512
TIB = 1024**4
# More than any disk of ours: what claims more is broken or means harm.
VIRTUAL_BYTES_MAX = 64 * TIB


class Refused(Invalid):
    """The file must not be opened, or cannot be understood; the sentence is for whoever brought it."""


@dataclass(frozen=True, slots=True)
class Launch:
    """What a machine's description says that it wants; 0 and () where it says nothing."""

    vcpus: int = 0
    memory_mib: int = 0
    nics: int = 0
    disks: tuple[str, ...] = ()
    firmware: str = ""


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a file is. `format` is ours, `driver` the name that QEMU is to open it by; `virtual_bytes` the disk's size as its guest sees it.

    `offset` and `length`: where in the file the disk lies (an OVA holds several files); the whole of it otherwise.
    """

    format: str
    driver: str
    virtual_bytes: int
    facts: Mapping[str, str] = field(default_factory=dict)
    offset: int = 0
    length: int = 0
    launch: Launch | None = None


class Reader:
    """A window on a file: `offset` to `offset + length` of it, and nothing else."""

    def __init__(self, file: BinaryIO, length: int, *, offset: int = 0) -> None:
        self._file, self.length, self._offset = file, length, offset

    def at(self, offset: int, count: int) -> bytes:
        """Exactly `count` bytes. Raises Refused where the file has fewer."""
        if offset < 0 or count < 0 or offset + count > self.length:
            raise Refused("The file is cut off, or its header points past its end.")
        self._file.seek(self._offset + offset)
        found = self._file.read(count)
        if len(found) != count:
            raise Refused("The file is cut off, or its header points past its end.")
        return found

    def some(self, offset: int, count: int) -> bytes:
        """Up to `count` bytes; fewer at the end of the file."""
        return self.at(offset, max(0, min(count, self.length - offset))) if offset < self.length else b""

    def unpack(self, layout: str, offset: int) -> tuple[Any, ...]:
        return struct.unpack(layout, self.at(offset, struct.calcsize(layout)))

    def part(self, offset: int, length: int) -> Reader:
        self.at(offset, 0)
        if offset + length > self.length:
            raise Refused("The file is cut off, or its header points past its end.")
        return Reader(self._file, length, offset=self._offset + offset)


def sane_size(virtual_bytes: int, *, what: str) -> int:
    """Raises Refused for a disk of nothing, or of more than anybody has."""
    if virtual_bytes <= 0:
        raise Refused(f"The {what} holds a disk of no size.")
    if virtual_bytes > VIRTUAL_BYTES_MAX:
        raise Refused(f"The {what} says that its disk has {virtual_bytes // TIB} TiB; {VIRTUAL_BYTES_MAX // TIB} are the most.")
    return virtual_bytes
