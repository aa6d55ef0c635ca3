"""Checkpoints: a compact copy of the index on two drives, so that a power loss costs the reading of a tail, not of everything.

A checkpoint is the copy, padded to a page, and a trailer page: magic, length and CRC-32C of the copy. It is published only when it is
whole and synced. It is a snapshot of one transaction, and so agrees with itself about how far each segment is in it.
"""

from __future__ import annotations

import contextlib
import logging
import mmap
import os
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path

from awscrt.checksums import crc32c

from storage.engine.index import Index
from storage.engine.members import Bay, Members
from storage.engine.rounds import Wait, at_once

log = logging.getLogger(__name__)

COPIES = 2
LEAST_BYTES = 256 << 20  # So much log is soon read again; less is not worth a copy of the index.
_DONE = b"checkpoint"
_TRAILER = struct.Struct("<8sQI")
_MAGIC = b"CbxChkp1"
_CHUNK = 4 << 20
_PAGE = 4096


def due(index: Index, *, least: int = LEAST_BYTES) -> bool:
    """Whether the log has grown by so much, and by as much as the index is large: the cost stays in proportion to what is written."""
    raw = index.note(_DONE)
    last = int.from_bytes(raw, "little") if raw else 0
    grown = sum(row.end for row in index.all_segments() if row.id > last)
    return grown > max(least, index.env.info()["last_pgno"] * _PAGE if least else 0)


def write(index: Index, members: Members, stamp: int, *, wait: Wait = at_once) -> int:
    """Make one, on two drives if there are two, and remove those that it replaces. Returns its bytes; 0 if no drive took it.

    `wait(bytes)` is called after each piece, to throttle: of many objects it is as large as a good many segments.
    """
    bays = members.choose(COPIES)
    if not bays:
        return 0
    with tempfile.TemporaryFile(dir=index.path) as file:
        index.env.copyfd(file.fileno(), compact=True)
        size = file.seek(0, 2)
        done = []
        for bay in bays:
            try:
                _copy(lambda offset, length: _pread(file.fileno(), offset, length), size, bay, f"checkpoints/{stamp:016x}", wait)
                done.append(bay)
            except OSError as error:
                bay.failed(error)
                log.warning("drive %s took no checkpoint: %s", bay.label, error)
    if len(done) == len(bays):
        for bay in members.bays.values():
            with contextlib.suppress(OSError):
                for name in bay.drive.names("checkpoints"):
                    if name.rsplit("/", 1)[1] < f"{stamp:016x}":
                        bay.drive.remove(name)
    if done:
        index.set_note(_DONE, stamp.to_bytes(8, "little"))
    return size if done else 0


def _pread(fd: int, offset: int, length: int) -> bytes:
    return os.pread(fd, length, offset)


def _copy(read: Callable[[int, int], bytes], size: int, bay: Bay, name: str, wait: Wait) -> None:
    buffer = mmap.mmap(-1, _CHUNK)
    target = bay.drive.create_unnamed(-(-size // _PAGE) * _PAGE + _PAGE)
    try:
        crc = offset = 0
        while offset < size:
            chunk = read(offset, min(_CHUNK, size - offset))
            crc = crc32c(chunk, crc)
            padded = -(-len(chunk) // _PAGE) * _PAGE
            buffer[: len(chunk)] = chunk
            buffer[len(chunk) : padded] = bytes(padded - len(chunk))
            target.write([memoryview(buffer)[:padded]], offset)
            offset += len(chunk)
            wait(len(chunk))
        end = -(-size // _PAGE) * _PAGE
        buffer[:_PAGE] = _TRAILER.pack(_MAGIC, size, crc).rjust(_PAGE, b"\0")
        target.write([memoryview(buffer)[:_PAGE]], end)
        target.publish(name, end + _PAGE)
    finally:
        target.close()


def restore(members: Members, folder: Path) -> bool:
    """Lay the newest sound checkpoint where the index belongs; False if there is none."""
    found: list[tuple[str, Bay]] = []
    for bay in members.bays.values():
        with contextlib.suppress(OSError):
            found += [(name, bay) for name in bay.drive.names("checkpoints")]
    for name, bay in sorted(found, key=lambda f: f[0], reverse=True):
        try:
            if _restore(bay, name, folder):
                return True
        except OSError as error:
            bay.failed(error)
        log.warning("the checkpoint %s on drive %s is damaged; trying an older one", name, bay.label)
    return False


def _restore(bay: Bay, name: str, folder: Path) -> bool:
    file = bay.drive.open(name)
    whole = file.size()
    trailer = file.read(whole - _TRAILER.size, _TRAILER.size)
    if len(trailer) < _TRAILER.size:
        return False
    magic, size, crc = _TRAILER.unpack(trailer)
    if magic != _MAGIC or size > whole:
        return False
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / "data.mdb"
    got = offset = 0
    with target.open("wb") as out:
        while offset < size:
            chunk = file.read(offset, min(_CHUNK, size - offset))
            if not chunk:
                break
            got = crc32c(chunk, got)
            out.write(chunk)
            offset += len(chunk)
    if offset == size and got == crc:
        return True
    target.unlink()
    return False
