"""A drive under glass: reads come from it, whatever is written stays in scratch files and is seen on top."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

from storage.engine.drives import Buffer, Drive, File, FilesystemDrive

PAGE = 4096


class ReadingDrive(FilesystemDrive):
    """A folder that is only read. It makes nothing, not even what a drive should have in it."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        os.stat(self.path)

    def open(self, name: str, *, write: bool = False) -> File:
        if write:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), name)
        return super().open(name)

    def reserve(self, fd: int, size: int) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(self.path))

    def create(self, name: str, size: int = 0) -> File:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), name)

    def save(self, name: str, data: bytes) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), name)

    def remove(self, name: str) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), name)

    def move(self, name: str, new: str) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), name)


class _Patches:
    """Pages that were written, in a scratch file as long as the file below. `below` is None for a file that is only above."""

    def __init__(self, scratch: Path, below: File | None) -> None:
        self._below = below
        self._fd = os.open(scratch, os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, 0o600)
        self._pages: set[int] = set()
        self._size = below.size() if below is not None else 0
        self._lock = threading.Lock()

    def size(self) -> int:
        return self._size

    def cut(self, size: int) -> None:
        with self._lock:
            self._size = size

    def read(self, offset: int, length: int) -> bytes:
        length = max(0, min(length, self._size - offset))
        if not length:
            return b""
        if self._below is None:
            return os.pread(self._fd, length, offset).ljust(length, b"\0")
        with self._lock:
            pages = [page for page in range(offset // PAGE, (offset + length - 1) // PAGE + 1) if page in self._pages]
        data = self._below.read(offset, length)
        if not pages and len(data) == length:
            return data
        found = bytearray(data.ljust(length, b"\0"))
        for page in pages:
            low, high = max(offset, page * PAGE), min(offset + length, (page + 1) * PAGE)
            found[low - offset : high - offset] = os.pread(self._fd, high - low, low).ljust(high - low, b"\0")
        return bytes(found)

    def write(self, data: bytes, offset: int) -> None:
        with self._lock:
            end = offset + len(data)
            if self._below is not None:
                for page in {offset // PAGE, (end - 1) // PAGE} - self._pages:  # Only its edges are not covered whole.
                    with contextlib.suppress(OSError):  # What cannot be read there is replaced.
                        os.pwrite(self._fd, self._below.read(page * PAGE, PAGE), page * PAGE)
            at = offset
            while at < end:
                at += os.pwrite(self._fd, memoryview(data)[at - offset :], at)
            self._pages.update(range(offset // PAGE, -(-end // PAGE)))
            self._size = max(self._size, end)

    def __del__(self) -> None:
        with contextlib.suppress(OSError, AttributeError):
            os.close(self._fd)


class _File:
    """A file seen through the glass."""

    def __init__(self, overlay: Overlay, name: str, below: File | None) -> None:
        self._overlay, self._name, self._below = overlay, name, below

    def read(self, offset: int, length: int) -> bytes:
        patches = self._overlay.patches.get(self._name)
        if patches is not None:
            return patches.read(offset, length)
        assert self._below is not None
        return self._below.read(offset, length)

    def read_cached(self, offset: int, length: int) -> bytes | None:
        return None

    def write(self, buffers: Sequence[Buffer], offset: int, *, durable: bool = False) -> None:
        data = b"".join(buffers)
        if data:
            self._overlay.patched(self._name, self._below).write(data, offset)

    def sync(self) -> None: ...

    def size(self) -> int:
        patches = self._overlay.patches.get(self._name)
        if patches is not None:
            return patches.size()
        assert self._below is not None
        return self._below.size()

    def fileno(self) -> int | None:
        return None

    def close(self) -> None: ...


class _Unnamed(_File):
    """Above only, until it is published."""

    def publish(self, name: str, size: int) -> None:
        patches = self._overlay.patches.pop(self._name)
        patches.cut(size)
        self._overlay.patches[name] = patches
        self._overlay.gone.discard(name)


class Overlay:
    """A Drive (engine/drives.py) over one that is only read. `scratch` is a folder with room for what may have to be mended."""

    def __init__(self, below: Drive, scratch: Path) -> None:
        self._below, self._scratch = below, scratch
        self.patches: dict[str, _Patches] = {}
        self.gone: set[str] = set()
        self._saved: dict[str, bytes] = {}
        self._count = 0

    def patched(self, name: str, below: File | None) -> _Patches:
        found = self.patches.get(name)
        if found is None:
            found = self.patches[name] = _Patches(self._scratch, below)
        return found

    def names(self, folder: str) -> list[str]:
        above = [name for name in self.patches if name.startswith(folder + "/")]
        return list(dict.fromkeys([name for name in self._below.names(folder) if name not in self.gone] + above))

    def open(self, name: str, *, write: bool = False) -> File:
        if name in self.gone:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        if name in self.patches:
            return _File(self, name, None)
        return _File(self, name, self._below.open(name))

    def create(self, name: str, size: int = 0) -> File:
        if name in self.names(name.rpartition("/")[0]):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)
        self.gone.discard(name)
        self.patched(name, None).cut(size)
        return _File(self, name, None)

    def create_unnamed(self, size: int = 0) -> _Unnamed:
        self._count += 1
        name = f"unnamed {self._count}"
        self.patched(name, None)
        return _Unnamed(self, name, None)

    def remove(self, name: str) -> None:
        self.patches.pop(name, None)
        self.gone.add(name)

    def move(self, name: str, new: str) -> None:
        patches = self.patches.pop(name) if name in self.patches else _Patches(self._scratch, self._below.open(name))
        self.patches[new] = patches
        self.gone.add(name)
        self.gone.discard(new)

    def load(self, name: str) -> bytes | None:
        return self._saved.get(name) or self._below.load(name)

    def save(self, name: str, data: bytes) -> None:
        self._saved[name] = data

    def space(self) -> tuple[int, int]:
        return self._below.space()


def scratch_folder(where: Path | None) -> tempfile.TemporaryDirectory[str]:
    """Removed with all that is in it when it is closed."""
    return tempfile.TemporaryDirectory(prefix=".cloudbox-store-", dir=where)
