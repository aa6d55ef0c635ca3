"""A drive: a folder of named files with durable operations. The interface, and the one on a file system.

What a drive promises (tests/contracts/test_drives.py holds every implementation to it):
- `create`, `publish`, `remove`, `move` and `save` are durable when they return; so is `write` with `durable=True`, for the bytes it wrote.
- Without that, bytes are durable after `sync`; until then a power loss may keep, drop or tear them by sectors of 512 bytes. Bytes that
  were durable before and lie in the same sector survive such a tear (what SQLite calls powersafe overwrite).
- Failures are OSErrors with their usual numbers.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

Buffer = bytes | bytearray | memoryview
IOV_MAX = 1024
FOLDERS = ("segments", "extents", "checkpoints", "spares")  # Everything on a drive but its identity.


class File(Protocol):
    """An open file. Thread-safe as pread and pwrite are."""

    def read(self, offset: int, length: int) -> bytes:
        """Fewer bytes at the end of the file."""

    def read_cached(self, offset: int, length: int) -> bytes | None:
        """The same without waiting for the device; None if that is not possible."""

    def write(self, buffers: Sequence[Buffer], offset: int, *, durable: bool = False) -> None: ...

    def sync(self) -> None: ...

    def size(self) -> int: ...

    def close(self) -> None: ...


class Unnamed(File, Protocol):
    """A file that vanishes with a crash or with `close`, until it is published."""

    def publish(self, name: str, size: int) -> None:
        """Cut it to this size, sync it and give it a name. FileExistsError if that is taken."""


class Drive(Protocol):
    """Names are relative paths with forward slashes, such as `segments/0123456789abcdef`."""

    def names(self, folder: str) -> list[str]:
        """The files under a folder, however deep, as names; empty if there is no such folder. Raises OSError if the drive is gone."""

    def open(self, name: str, *, write: bool = False) -> File: ...

    def create(self, name: str, size: int = 0) -> File:
        """A file for writing, of that many zeros whose room is taken now: ENOSPC comes here, not later. FileExistsError if there is one."""

    def create_unnamed(self, size: int = 0) -> Unnamed:
        """With room reserved if `size` is given: ENOSPC comes now, not later. Its writes are whole pages from page-aligned buffers."""

    def remove(self, name: str) -> None:
        """No error if it is not there."""

    def move(self, name: str, new: str) -> None:
        """Give a file another name. FileNotFoundError if there is none; what has the new name must not be there (FileExistsError)."""

    def load(self, name: str) -> bytes | None:
        """The whole of a small file."""

    def save(self, name: str, data: bytes) -> None:
        """Replace a small file at once: afterwards there is the old or the new content, never a mixture."""

    def space(self) -> tuple[int, int]:
        """Free and total bytes."""


class _File:
    """A descriptor."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def read(self, offset: int, length: int) -> bytes:
        data = os.pread(self._fd, length, offset)
        if len(data) == length or not data:
            return data
        pieces = [data]
        got = len(data)
        while got < length and (data := os.pread(self._fd, length - got, offset + got)):
            pieces.append(data)
            got += len(data)
        return b"".join(pieces)

    def read_cached(self, offset: int, length: int) -> bytes | None:
        buffer = bytearray(length)
        try:
            return bytes(buffer) if os.preadv(self._fd, [buffer], offset, os.RWF_NOWAIT) == length else None
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EOPNOTSUPP):
                return None
            raise

    def write(self, buffers: Sequence[Buffer], offset: int, *, durable: bool = False) -> None:
        flags = os.RWF_DSYNC if durable else 0
        for start in range(0, len(buffers), IOV_MAX):
            batch: Sequence[Buffer] = buffers[start : start + IOV_MAX]
            left = sum(len(b) for b in batch)
            while True:
                written = os.pwritev(self._fd, batch, offset, flags)
                offset += written
                left -= written
                if not left:
                    break
                if not written:
                    raise OSError(errno.EIO, "the drive took no more bytes")
                batch = _rest(batch, written)

    def sync(self) -> None:
        os.fdatasync(self._fd)

    def size(self) -> int:
        return os.fstat(self._fd).st_size

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        with contextlib.suppress(OSError):
            self.close()


def _rest(buffers: Sequence[Buffer], written: int) -> list[Buffer]:
    """What is left of the buffers after a short write."""
    left: list[Buffer] = []
    for buffer in buffers:
        if written >= len(buffer):
            written -= len(buffer)
        else:
            left.append(memoryview(buffer)[written:] if written else buffer)
            written = 0
    return left


class _Unnamed(_File):
    """Made with O_TMPFILE, so nothing is left of it after a crash. O_DIRECT where the file system has it: large bodies written once
    would only push others out of the page cache."""

    def __init__(self, drive: FilesystemDrive, size: int) -> None:
        flags = os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC
        folder = drive.path / "extents"
        try:
            fd = os.open(folder, flags | os.O_DIRECT, 0o600)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            fd = os.open(folder, flags, 0o600)
        super().__init__(fd)
        self._drive = drive
        try:
            drive.reserve(fd, size)
        except OSError:
            self.close()
            raise

    def publish(self, name: str, size: int) -> None:
        if os.fstat(self._fd).st_size != size:
            os.ftruncate(self._fd, size)
        os.fdatasync(self._fd)
        target = self._drive.path / name
        self._drive.make_folder(target.parent)
        folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # With dst_dir_fd, since without it CPython calls link(2), which does not follow the magic link of /proc.
            os.link(f"/proc/self/fd/{self._fd}", target.name, dst_dir_fd=folder, follow_symlinks=True)
            os.fsync(folder)
        finally:
            os.close(folder)


class FilesystemDrive:
    """A folder of a local file system that honours fsync. The folder itself must exist: a missing mount point is a missing drive."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        for name in FOLDERS:
            self.make_folder(self.path / name)

    def make_folder(self, folder: Path) -> None:
        if folder.is_dir():
            return
        folder.mkdir(mode=0o700, exist_ok=True)
        sync_folder(folder.parent)

    def names(self, folder: str) -> list[str]:
        os.stat(self.path)
        base = self.path / folder
        found = [Path(root, name).relative_to(self.path).as_posix() for root, _, files in os.walk(base) for name in files]
        return [name for name in found if not name.endswith(".new")]

    def open(self, name: str, *, write: bool = False) -> File:
        return _File(os.open(self.path / name, (os.O_RDWR if write else os.O_RDONLY) | os.O_CLOEXEC))

    def create(self, name: str, size: int = 0) -> File:
        path = self.path / name
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            self.reserve(fd, size)
        except OSError:
            os.close(fd)
            path.unlink()
            raise
        sync_folder(path.parent)
        return _File(fd)

    def reserve(self, fd: int, size: int) -> None:
        """Take room for a file, if there is any: asking for more than there is would first take all of it from everybody."""
        if not size:
            return
        if size > self.space()[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
        try:
            os.posix_fallocate(fd, 0, size)
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP:
                raise

    def create_unnamed(self, size: int = 0) -> Unnamed:
        return _Unnamed(self, size)

    def remove(self, name: str) -> None:
        path = self.path / name
        try:
            path.unlink()
        except FileNotFoundError:
            os.stat(self.path)
            return
        sync_folder(path.parent)

    def move(self, name: str, new: str) -> None:
        source, target = self.path / name, self.path / new
        if target.exists():  # Names are not given twice, so nobody makes it in between.
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
        os.rename(source, target)
        sync_folder(target.parent)
        sync_folder(source.parent)

    def load(self, name: str) -> bytes | None:
        try:
            return (self.path / name).read_bytes()
        except FileNotFoundError:
            os.stat(self.path)
            return None

    def save(self, name: str, data: bytes) -> None:
        path = self.path / name
        new = path.with_name(f"{path.name}.{secrets.token_hex(4)}.new")
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
            os.fsync(fd)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(new)
            raise
        finally:
            os.close(fd)
        os.rename(new, path)
        sync_folder(path.parent)

    def space(self) -> tuple[int, int]:
        stat = os.statvfs(self.path)
        return stat.f_bavail * stat.f_frsize, stat.f_blocks * stat.f_frsize


def sync_folder(folder: Path) -> None:
    """Make its names durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
