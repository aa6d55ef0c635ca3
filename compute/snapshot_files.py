"""What lies on a volume's snapshot, read where it is. The worker reads: web processes have no right to the files of disks."""

from __future__ import annotations

import json
import socket
import struct
from collections import OrderedDict
from collections.abc import Iterator
from uuid import UUID

from django.conf import settings

from cloudbox.common import events
from cloudbox.common.errors import Conflict, Unavailable
from compute import disk_files, snapshots
from compute.disk_files import File, Look
from compute.models import Snapshot
from identity.context import Context

ANSWER_SECONDS = 30.0
PIECE_BYTES = 64 * 1024  # A file system reads little at a time, and comes back to the same places.
PIECES_HELD = 128
LOOK_AGAIN_BYTES = 64 * 2**20


def look(ctx: Context, id: UUID, *, part: int | None = None, path: str = "/") -> Look:
    """A folder of a snapshot; see `disk_files.look`. Asks the worker."""
    with _opened(ctx, id) as disk:
        found = disk_files.look(disk, part=part, path=path)
    _demand(id)
    return found


def read(ctx: Context, id: UUID, *, part: int | None, path: str) -> File:
    """One file, as it was; see `disk_files.read`. Told in the audit log. It breaks off when the snapshot is deleted meanwhile."""
    ctx.require("snapshots.browse")
    part = disk_files.chosen(part)
    disk = _opened(ctx, id)
    try:
        found = disk_files.read(disk, part=part, path=path)
        _demand(id)
    except BaseException:
        disk.close()
        raise
    events.publish(ctx.actor, "read-file", "snapshot", snapshots.get(ctx, id), detail=f"{path[:200]} of part {part}")
    return File(found.name, found.size_bytes, _checked(id, disk, found.body))


def _checked(id: UUID, disk: _Disk, body: Iterator[bytes]) -> Iterator[bytes]:
    sent = 0
    with disk:
        for piece in body:
            sent += len(piece)
            if sent >= LOOK_AGAIN_BYTES:
                _demand(id)
                sent = 0
            yield piece
        _demand(id)


def _demand(id: UUID) -> None:
    """What was read counts only if the snapshot is there still: the room of one that is deleted is written anew."""
    if not Snapshot.objects.filter(id=id, status=Snapshot.Status.READY).exists():
        raise Conflict("The snapshot is being deleted.", resource=str(id))


def _opened(ctx: Context, id: UUID) -> _Disk:
    ctx.require("snapshots.browse")
    row = snapshots.get(ctx, id)
    if reason := snapshots.why_not(ctx, row, "browse"):
        raise Conflict(reason, resource=str(id))
    return _Disk(row.volume_id, row.id)


class _Disk:
    """The disk of a snapshot by place; see compute/agent/disk_server.py. Not to be shared by threads."""

    def __init__(self, disk_id: UUID, snapshot_id: UUID) -> None:
        self._held: OrderedDict[int, bytes] = OrderedDict()
        self._wire = socket.socket(socket.AF_UNIX)
        self._wire.settimeout(ANSWER_SECONDS)
        try:
            self._wire.connect(str(settings.RUN_DIR / "disks.sock"))
            self._wire.sendall(json.dumps({"disk": str(disk_id), "snapshot": str(snapshot_id)}).encode() + b"\n")
            self._stream = self._wire.makefile("rb")
            answer = json.loads(self._stream.readline())
        except (OSError, ValueError) as error:
            self._wire.close()
            raise Unavailable("The compute worker does not answer, and only it can read disks. Try again in a minute.") from error
        if not answer["ok"]:
            self.close()
            raise Unavailable(answer["error"])
        self.size_bytes = int(answer["size"])

    def __enter__(self) -> _Disk:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._stream.close()
        self._wire.close()

    def read(self, offset: int, length: int) -> bytes:
        found, end = bytearray(), offset + length
        while offset < end:
            number, start = divmod(offset, PIECE_BYTES)
            piece = self._piece(number)[start : start + end - offset]
            found += piece
            offset += len(piece)
        return bytes(found)

    def _piece(self, number: int) -> bytes:
        if number not in self._held:
            length = min(PIECE_BYTES, self.size_bytes - number * PIECE_BYTES)
            try:
                self._wire.sendall(struct.pack(">QI", number * PIECE_BYTES, length))
                piece = self._stream.read(length)
            except OSError as error:
                raise Unavailable("The compute worker stopped reading in the middle. Try again.") from error
            if len(piece) != length:
                raise Unavailable("The compute worker stopped reading in the middle. Try again.")
            self._held[number] = piece
            if len(self._held) > PIECES_HELD:
                self._held.popitem(last=False)
        self._held.move_to_end(number)
        return self._held[number]
