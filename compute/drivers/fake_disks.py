"""Disks of the fakes: tiny files with a size, a text that stands for what a guest wrote, and snapshots of both."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from cloudbox.common.errors import NotFound
from compute.drivers import paths

MAGIC = b"QFI\xfb"


def read(path: Path) -> tuple[int, dict[str, Any]]:
    """The size in GiB, and the rest: `text` and `snapshots`."""
    data = path.read_bytes()
    try:
        rest = json.loads(data[8:])
    except ValueError:
        rest = {}
    return int.from_bytes(data[4:8]), {"text": "", "snapshots": {}} | rest


def write(path: Path, size_gib: int, rest: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(MAGIC + size_gib.to_bytes(4) + json.dumps(rest).encode())


def grow(path: Path, size_gib: int) -> None:
    size, rest = read(path)
    write(path, max(size, size_gib), rest)


def scribble(path: Path, text: str) -> None:
    """What a guest does."""
    size, rest = read(path)
    write(path, size, rest | {"text": text})


def text(path: Path) -> str:
    return str(read(path)[1]["text"])


def take(path: Path, snapshot_id: UUID) -> None:
    size, rest = read(path)
    rest["snapshots"].setdefault(str(snapshot_id), [size, rest["text"]])
    write(path, size, rest)


def drop(path: Path, snapshot_id: UUID) -> None:
    size, rest = read(path)
    rest["snapshots"].pop(str(snapshot_id), None)
    write(path, size, rest)


def of(path: Path, snapshot_id: UUID) -> tuple[int, str]:
    """The size and the text at a snapshot."""
    found = read(path)[1]["snapshots"].get(str(snapshot_id))
    if found is None:
        raise NotFound("The disk no longer holds this snapshot.", resource=str(snapshot_id))
    return found[0], found[1]


@dataclass
class FakeBytes:
    """A fake disk, open: its text lies at its beginning."""

    size_bytes: int
    content: bytearray
    served: int = 0  # bytes that were read, for tests of what is read

    def read(self, offset: int, length: int) -> bytes:
        self.served += length
        return bytes(self.content[offset : offset + length]).ljust(length, b"\0")

    def is_zero(self, offset: int, length: int) -> bool:
        return not any(self.content[offset : offset + length])

    def write(self, offset: int, data: bytes) -> None:
        there = data.rstrip(b"\0")
        if there or offset < len(self.content):
            self.content[offset : offset + len(data)] = b"\0" * max(0, offset - len(self.content)) + there

    def text(self) -> str:
        return self.content.rstrip(b"\0").decode()


class FakeSnapshots:
    """Mixed into FakeVolumes."""

    home: Path

    def _may_fail(self, method: str) -> None:
        raise NotImplementedError

    def disk_path(self, id: UUID) -> Path:
        for path in (paths.volume(self.home, id), paths.root_disk(self.home, id)):
            if path.exists():
                return path
        raise NotFound("The file of this disk is not there.", resource=str(id))

    def snapshots(self, id: UUID) -> set[UUID]:
        self._may_fail("snapshots")
        return {UUID(key) for key in read(self.disk_path(id))[1]["snapshots"]}

    def snapshot(self, id: UUID, snapshot_id: UUID) -> None:
        self._may_fail("snapshot")
        take(self.disk_path(id), snapshot_id)

    def delete_snapshot(self, id: UUID, snapshot_id: UUID) -> None:
        self._may_fail("delete_snapshot")
        try:
            drop(self.disk_path(id), snapshot_id)
        except NotFound:
            return

    def restore(self, id: UUID, snapshot_id: UUID, *, size_gib: int) -> None:
        self._may_fail("restore")
        path = self.disk_path(id)
        size, was = of(path, snapshot_id)
        write(path, max(size, size_gib), read(path)[1] | {"text": was})

    @contextmanager
    def open_snapshot(self, id: UUID, snapshot_id: UUID) -> Iterator[FakeBytes]:
        self._may_fail("open_snapshot")
        size, was = of(self.disk_path(id), snapshot_id)
        yield FakeBytes(size * 2**30, bytearray(was.encode()))

    @contextmanager
    def open_disk(self, id: UUID) -> Iterator[FakeBytes]:
        self._may_fail("open_disk")
        path = self.disk_path(id)
        size, rest = read(path)
        disk = FakeBytes(size * 2**30, bytearray(rest["text"].encode()))
        try:
            yield disk
        finally:  # what was written is written, even if the block fails
            write(path, size, rest | {"text": disk.text()})

    @contextmanager
    def new_disk(self, id: UUID, *, size_gib: int, is_root: bool = False) -> Iterator[FakeBytes]:
        self._may_fail("new_disk")
        disk = FakeBytes(size_gib * 2**30, bytearray())
        yield disk
        write((paths.root_disk if is_root else paths.volume)(self.home, id), size_gib, {"text": disk.text()})

    def changed_between(self, id: UUID, before: UUID, after: UUID) -> list[tuple[int, int]] | None:
        self._may_fail("changed_between")
        try:
            (old_size, old), (new_size, new) = (of(self.disk_path(id), each) for each in (before, after))
        except NotFound:
            return None
        grown = [(old_size * 2**30, (new_size - old_size) * 2**30)] if new_size > old_size else []
        return ([(0, max(len(old), len(new)))] if old != new else []) + grown

    def create_volume_from(self, id: UUID, *, base: Path, size_gib: int) -> Path:
        self._may_fail("create_volume_from")
        if not base.exists():
            raise NotFound("The image's file is not there.", resource=base.stem)
        path = paths.volume(self.home, id)
        if not path.exists():
            write(path, size_gib, {"text": f"image {base.stem}"})
        return path

    def copy_volume(self, id: UUID, *, source: UUID, snapshot_id: UUID, size_gib: int) -> Path:
        self._may_fail("copy_volume")
        return self._copy(paths.volume(self.home, id), source, snapshot_id, size_gib)

    def copy_root(self, id: UUID, *, source: UUID, snapshot_id: UUID, size_gib: int) -> Path:
        self._may_fail("copy_root")
        return self._copy(paths.root_disk(self.home, id), source, snapshot_id, size_gib)

    def _copy(self, path: Path, source: UUID, snapshot_id: UUID, size_gib: int) -> Path:
        if not path.exists():
            size, was = of(self.disk_path(source), snapshot_id)
            write(path, max(size, size_gib), {"text": was})
        return path
