"""What lies on the disk of a backup, read from its bucket. Nothing is restored for it, and nothing mounted."""

from __future__ import annotations

from collections import OrderedDict
from uuid import UUID

from cloudbox.common import events
from cloudbox.common.errors import Conflict, NotFound
from compute import backups, disk_files
from compute.backup_lifecycle import open_vault
from compute.backup_store.format import CHUNK_BYTES, HOLE, Table
from compute.backup_store.repository import Repository
from compute.disk_files import File, Look
from compute.models import Backup
from identity.context import Context

CHUNKS_HELD = 6  # of one look, in memory


def look(ctx: Context, id: UUID, *, part: int | None = None, path: str = "/") -> Look:
    """A folder of a backup; see `disk_files.look`. Asks the object store."""
    return disk_files.look(_disk(ctx, id), part=part, path=path)


def read(ctx: Context, id: UUID, *, part: int | None, path: str) -> File:
    """One file, as it was; see `disk_files.read`. Told in the audit log."""
    ctx.require("backups.browse")
    part = disk_files.chosen(part)
    found = disk_files.read(_disk(ctx, id), part=part, path=path)
    events.publish(ctx.actor, "read-file", "backup", backups.get(ctx, id), detail=f"{path[:200]} of part {part}")
    return found


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
