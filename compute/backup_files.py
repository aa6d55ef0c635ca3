"""What lies on the disk of a backup: look through its folders, take one file out of it. Nothing is restored for it, and nothing mounted."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from cloudbox.common import events
from cloudbox.common.errors import Conflict, Invalid, NotFound, TooLarge
from compute import backups
from compute.backup_lifecycle import open_vault
from compute.backup_store.format import CHUNK_BYTES, HOLE, Table
from compute.backup_store.repository import Repository
from compute.filesystems import nodes, partitions
from compute.filesystems.nodes import FileSystem, Node
from compute.filesystems.partitions import Part
from compute.filesystems.source import READS_MAX, Source
from compute.models import Backup
from identity.context import Context

ENTRIES_MAX = 2000  # of one folder, shown
FILE_BYTES_MAX = 4 * 2**30
DOWNLOAD_SECONDS = 3600.0
CHUNKS_HELD = 6  # of one look, in memory
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


def look(ctx: Context, id: UUID, *, part: int | None = None, path: str = "/") -> Look:
    """A folder of a backup. Without `part` the only one that can be read is taken. Asks the object store."""
    disk = Source(_disk(ctx, id))
    found = partitions.parts(disk)
    if part is None:
        readable = [each for each in found if not each.why_not]
        if len(readable) != 1:
            return Look(parts=found)
        part = readable[0].number
    chosen = _part(found, part)
    system = partitions.open_part(disk, chosen)
    folder = nodes.find(system, path)
    if folder.kind != "folder":
        raise Conflict(f"{folder.name} is no folder. Take it out, or look at the folder that it is in.")
    entries: list[Node] = []
    for entry in system.entries(folder):
        if len(entries) == ENTRIES_MAX:
            return _look(found, chosen, path, entries, system, is_cut=True)
        entries.append(entry)
    return _look(found, chosen, path, entries, system, is_cut=False)


def read(ctx: Context, id: UUID, *, part: int | None, path: str) -> File:
    """One file, as it was. Its first bytes have been read when this returns, so that what is wrong is said before anything is sent."""
    ctx.require("backups.browse")
    if part is None:
        raise Invalid("Of which part of the disk? Its files say which there are.", field="part")
    disk = _disk(ctx, id)
    system, node = _node(Source(disk), part, path)
    if node.kind != "file":
        raise Conflict(f"{node.name or 'The root'} is no file. Only files can be taken out, one at a time.")
    if node.size_bytes > FILE_BYTES_MAX:
        raise TooLarge(f"{node.name} is larger than {FILE_BYTES_MAX // 2**30} GiB. Restore the backup as a volume, and attach that.")
    # What it may cost follows from its size; a slow reader has an hour.
    blocks = node.size_bytes // _SMALLEST_BLOCK
    source = Source(disk, reads=READS_MAX + 2 * blocks, total=3 * node.size_bytes + 64 * 2**20, seconds=DOWNLOAD_SECONDS)
    system, node = _node(source, part, path)
    body = system.read(node)
    first = next(body, b"")
    row = backups.get(ctx, id)
    events.publish(ctx.actor, "read-file", "backup", row, detail=f"{path[:200]} of part {part}")
    return File(node.name, node.size_bytes, _whole(first, body))


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


def _disk(ctx: Context, id: UUID) -> _Chunks:
    ctx.require("backups.browse")
    row = backups.get(ctx, id)
    if reason := backups.why_not(ctx, row, "browse"):
        raise Conflict(reason, resource=str(id))
    vault = open_vault(row.vault)
    try:
        return _Chunks(row, vault, vault.table(vault.manifest(row.disk_id, row.id)))
    except NotFound as error:
        raise NotFound(f"{row.name} is not in the bucket {row.vault.bucket} any more.", resource=str(id)) from error


class _Chunks:
    """The disk of a backup by place. The chunks last read are kept: a file system comes back to the same ones again and again."""

    def __init__(self, row: Backup, vault: Repository, table: Table) -> None:
        self.size_bytes, self._disk_id, self._vault, self._table = table.size_bytes, row.disk_id, vault, table
        self._held: OrderedDict[bytes, bytes] = OrderedDict()

    def read(self, offset: int, length: int) -> bytes:
        found, end = bytearray(), offset + length
        while offset < end:
            index, start = divmod(offset, CHUNK_BYTES)
            count = min(end - offset, CHUNK_BYTES - start)
            found += self._part(index, start, count)
            offset += count
        return bytes(found)

    def _part(self, index: int, start: int, count: int) -> bytes:
        digest = self._table.digest(index)
        if digest == HOLE:
            return bytes(count)
        if digest not in self._held:
            self._held[digest] = self._vault.chunk(self._disk_id, digest, length=self._table.length(index))
            if len(self._held) > CHUNKS_HELD:
                self._held.popitem(last=False)
        self._held.move_to_end(digest)
        return self._held[digest][start : start + count]
