"""The disks of snapshots, to be read by web processes: they may look into what a tenant keeps, and have no right to its files.

Protocol on the unix socket: one JSON line in, `{"disk": "<uuid>", "snapshot": "<uuid>"}`; one JSON line back,
`{"ok": true, "size": <bytes>}` or `{"ok": false, "error": "<sentence>"}`; then, as often as wanted, twelve bytes in (place and length,
big-endian, 8 and 4 bytes) and as many bytes back. Who may look at what is the asker's business: only web processes can connect.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import struct
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from uuid import UUID

from cloudbox.common.errors import CloudError
from compute.agent.unix_sockets import answer, listen
from compute.drivers.base import DiskBytes

log = logging.getLogger(__name__)

OPEN_MAX = 4  # Each costs a process that reads.
IDLE_SECONDS = 60.0
LIFE_SECONDS = 3600.0
READ_BYTES_MAX = 1024 * 1024
_ASK = struct.Struct(">QI")

Opener = Callable[[UUID, UUID], AbstractContextManager[DiskBytes]]


class DiskServer:
    def __init__(self, socket: Path, *, opener: Opener, owner: tuple[int, int] | None = None) -> None:
        """`opener(disk, snapshot)` opens one read-only; `owner`: user and group that may connect besides root."""
        self._socket, self._opener, self._owner = socket, opener, owner
        self._server: asyncio.AbstractServer | None = None
        self._guests: set[asyncio.Task[None]] = set()
        self._open = 0

    async def start(self) -> None:
        self._server = await listen(self._socket, self._serve, owner=self._owner)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in [*self._guests]:
            task.cancel()
        await asyncio.gather(*self._guests, return_exceptions=True)
        with contextlib.suppress(FileNotFoundError):
            self._socket.unlink()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._guests.add(task)
        try:
            async with asyncio.timeout(LIFE_SECONDS):
                await self._talk(reader, writer)
        except (OSError, TimeoutError, ValueError, KeyError, TypeError, asyncio.IncompleteReadError) as error:
            log.debug("a reader of a disk ended: %r", error)
        except CloudError as error:
            log.warning("a disk could not be read on: %s", error.message)
        finally:
            self._guests.discard(task)
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ask = json.loads(await asyncio.wait_for(reader.readline(), IDLE_SECONDS))
        disk_id, snapshot_id = UUID(str(ask["disk"])), UUID(str(ask["snapshot"]))
        if self._open >= OPEN_MAX:
            answer(writer, {"ok": False, "error": f"{OPEN_MAX} disks are being looked through already. Try again in a minute."})
            return
        self._open += 1
        stack = contextlib.ExitStack()
        try:
            try:
                disk = await asyncio.to_thread(stack.enter_context, self._opener(disk_id, snapshot_id))
            except CloudError as error:
                answer(writer, {"ok": False, "error": error.message})
                return
            answer(writer, {"ok": True, "size": disk.size_bytes})
            while True:
                offset, length = _ASK.unpack(await asyncio.wait_for(reader.readexactly(_ASK.size), IDLE_SECONDS))
                if length > READ_BYTES_MAX or offset + length > disk.size_bytes:
                    raise ValueError("asked for what is not there")
                writer.write(await asyncio.to_thread(disk.read, offset, length))
                await asyncio.wait_for(writer.drain(), IDLE_SECONDS)
        finally:
            self._open -= 1
            # Also when this task is cancelled: a process must not stay behind.
            await asyncio.shield(asyncio.to_thread(stack.close))
