"""What lies on a disk that is kept: look through its folders, take one file out of it. Nothing is mounted for it, and nothing written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cloudbox.common.errors import Conflict, Invalid, NotFound, TooLarge
from compute.filesystems import nodes, partitions
from compute.filesystems.nodes import FileSystem, Node
from compute.filesystems.partitions import Part
from compute.filesystems.source import READS_MAX, Bytes, Source

ENTRIES_MAX = 2000  # of one folder, shown
FILE_BYTES_MAX = 4 * 2**30
DOWNLOAD_SECONDS = 3600.0
_SMALLEST_BLOCK = 512


@dataclass(frozen=True, kw_only=True)
class Look:
    """A folder: `entries` by name, folders first; `is_cut`: there are more. `part` None: the disk has several, choose one."""

    parts: Sequence[Part]
    part: Part | None = None
    path: str = "/"
    entries: Sequence[Node] = ()
    is_cut: bool = False
    note: str = ""


@dataclass(frozen=True)
class File:
    name: str
    size_bytes: int
    body: Iterator[bytes]


def look(disk: Bytes, *, part: int | None = None, path: str = "/") -> Look:
    """A folder of it. Without `part` the only one that can be read is taken. Raises Conflict for what cannot be read, and why."""
    source = Source(disk)
    found = partitions.parts(source)
    if part is None:
        readable = [each for each in found if not each.why_not]
        if len(readable) != 1:
            return Look(parts=found)
        part = readable[0].number
    chosen = _part(found, part)
    system = partitions.open_part(source, chosen)
    folder = nodes.find(system, path)
    if folder.kind != "folder":
        raise Conflict(f"{folder.name} is no folder. Take it out, or look at the folder that it is in.")
    entries: list[Node] = []
    for entry in system.entries(folder):
        if len(entries) == ENTRIES_MAX:
            return _look(found, chosen, path, entries, system, is_cut=True)
        entries.append(entry)
    return _look(found, chosen, path, entries, system, is_cut=False)


def chosen(part: int | None) -> int:
    """To be asked before the disk is opened."""
    if part is None:
        raise Invalid("Of which part of the disk? Its files say which there are.", field="part")
    return part


def read(disk: Bytes, *, part: int, path: str) -> File:
    """One file, as it was. Its first bytes have been read when this returns, so that what is wrong is said before anything is sent."""
    system, node = _node(Source(disk), part, path)
    if node.kind != "file":
        raise Conflict(f"{node.name or 'The root'} is no file. Only files can be taken out, one at a time.")
    if node.size_bytes > FILE_BYTES_MAX:
        raise TooLarge(f"{node.name} is larger than {FILE_BYTES_MAX // 2**30} GiB. Make a volume of the disk, and attach that.")
    # What it may cost follows from its size; a slow reader has an hour.
    blocks = node.size_bytes // _SMALLEST_BLOCK
    source = Source(disk, reads=READS_MAX + 2 * blocks, total=3 * node.size_bytes + 64 * 2**20, seconds=DOWNLOAD_SECONDS)
    system, node = _node(source, part, path)
    body = system.read(node)
    return File(node.name, node.size_bytes, _whole(next(body, b""), body))


def _whole(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    if first:
        yield first
    yield from rest


def _node(source: Source, part: int, path: str) -> tuple[FileSystem, Node]:
    system = partitions.open_part(source, _part(partitions.parts(source), part))
    return system, nodes.find(system, path)


def _part(found: Sequence[Part], number: int) -> Part:
    part = next((each for each in found if each.number == number), None)
    if part is None:
        raise NotFound(f"The disk has no part {number}.", field="part")
    return part


def _look(found: Sequence[Part], part: Part, path: str, entries: list[Node], system: FileSystem, *, is_cut: bool) -> Look:
    entries.sort(key=lambda node: (node.kind != "folder", node.name.lower(), node.name))
    clean = "/" + "/".join(name for name in path.split("/") if name not in ("", "."))
    return Look(parts=found, part=part, path=clean, entries=entries, is_cut=is_cut, note=system.note)
