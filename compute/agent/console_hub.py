"""The consoles of all machines, for any number of viewers. Pure asyncio; the worker runs it.

QEMU's serial socket takes one client: the hub is that client for each machine that runs, and fans out. Whoever connects sees the
end of the console log first, then what comes. VNC takes many clients by itself, so the hub only passes bytes through. The hub is
the one door: the sockets behind it belong to root.

Protocol on the hub's unix socket: one JSON line in, `{"instance": "<uuid>", "kind": "serial"|"vnc"|"log"|"watchers", "write": true}`;
one JSON line back, `{"ok": true, "history": <bytes that follow from the log>}` or `{"ok": false, "error": "<sentence>"}`; then raw
bytes both ways. For `log` the machine may be off; `bytes` says how much of its end is wanted, and the connection ends after it. For
`watchers` follow lines `{"watchers": <number>}`, now and at each change: how many consoles of the machine are open, serial and VNC
together.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from compute.agent.unix_sockets import HELLO_BYTES_MAX, answer, listen

log = logging.getLogger(__name__)

HISTORY_BYTES = 64 * 1024
CHUNK_BYTES = 32 * 1024
# A viewer that is this far behind is dropped: it must not slow the others, nor fill the memory.
BEHIND_BYTES_MAX = 1024 * 1024
VIEWERS_MAX = 32
LOG_BYTES_MAX = 1024 * 1024
HELLO_SECONDS = 10
RECONNECT_SECONDS = 0.5


@dataclass(eq=False)
class _Viewer:
    writer: asyncio.StreamWriter
    write: bool


@dataclass(eq=False)
class _Machine:
    """One watched machine: its sockets, its viewers, and the task that holds the serial line."""

    id: UUID
    serial: Path
    vnc: Path
    log: Path
    viewers: set[_Viewer] = field(default_factory=set)
    screens: int = 0  # open by VNC
    told: set[asyncio.StreamWriter] = field(default_factory=set)  # who wants to know how many watch
    line: asyncio.StreamWriter | None = None
    task: asyncio.Task[None] | None = None


class ConsoleHub:
    def __init__(self, socket: Path, *, log_of: Callable[[UUID], Path], owner: tuple[int, int] | None = None) -> None:
        """`log_of` names the log of a machine that may be off; `owner`: user and group that may connect besides root."""
        self._log_of = log_of
        self._socket = socket
        self._owner = owner
        self._machines: dict[UUID, _Machine] = {}
        self._server: asyncio.AbstractServer | None = None
        self._guests: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._server = await listen(self._socket, self._serve, owner=self._owner)

    async def watch(self, id: UUID, *, serial: Path, vnc: Path, log: Path) -> None:
        """Hold the console of a machine that runs; again with the same id changes nothing."""
        machine = self._machines.get(id)
        if machine is None:
            machine = self._machines[id] = _Machine(id=id, serial=serial, vnc=vnc, log=log)
        if machine.task is None or machine.task.done():
            machine.task = asyncio.create_task(self._hold(machine))

    async def unwatch(self, id: UUID) -> None:
        """The machine is off: let go of its line and end its viewers."""
        machine = self._machines.pop(id, None)
        if machine is None:
            return
        if machine.task is not None:
            machine.task.cancel()
            await asyncio.gather(machine.task, return_exceptions=True)
        for viewer in [*machine.viewers]:
            viewer.writer.close()
        for writer in [*machine.told]:
            writer.close()

    async def mark(self, id: UUID, text: str) -> None:
        """Write a line of our own between two boots, to the log and to whoever watches."""
        machine = self._machines.get(id)
        if machine is None:
            return
        line = f"\r\n\x1b[2m--- {text} ---\x1b[0m\r\n".encode()
        await asyncio.to_thread(_append, machine.log, line)
        self._fan_out(machine, line)

    def watchers(self, id: UUID) -> int:
        """How many consoles of the machine are open, serial and VNC together."""
        machine = self._machines.get(id)
        return len(machine.viewers) + machine.screens if machine else 0

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for id in [*self._machines]:
            await self.unwatch(id)
        for task in self._guests:
            task.cancel()
        await asyncio.gather(*self._guests, return_exceptions=True)
        with contextlib.suppress(FileNotFoundError):
            self._socket.unlink()

    async def _hold(self, machine: _Machine) -> None:
        """Be the serial line's client for as long as the machine is watched; the line may come late, or go and come again."""
        while True:
            try:
                reader, machine.line = await asyncio.open_unix_connection(str(machine.serial))
                while data := await reader.read(CHUNK_BYTES):
                    self._fan_out(machine, data)
            except OSError:
                pass  # not there yet, or gone: the machine is starting or restarting
            finally:
                if machine.line is not None:
                    machine.line.close()
                    machine.line = None
            await asyncio.sleep(RECONNECT_SECONDS)

    def _fan_out(self, machine: _Machine, data: bytes) -> None:
        for viewer in [*machine.viewers]:
            if viewer.writer.transport.get_write_buffer_size() > BEHIND_BYTES_MAX:
                log.info("a viewer of %s reads too slowly and is let go", machine.id)
                self._leave(machine, viewer)
                viewer.writer.transport.abort()
            else:
                viewer.writer.write(data)

    def _leave(self, machine: _Machine, viewer: _Viewer) -> None:
        if viewer in machine.viewers:
            machine.viewers.discard(viewer)
            self._tell(machine)

    def _tell(self, machine: _Machine) -> None:
        """The number of watchers has changed. Who does not even read numbers is let go."""
        for writer in [*machine.told]:
            if writer.transport.get_write_buffer_size() > HELLO_BYTES_MAX:
                machine.told.discard(writer)
                writer.transport.abort()
            else:
                answer(writer, {"watchers": len(machine.viewers) + machine.screens})

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of a web process."""
        task = asyncio.current_task()
        assert task is not None
        self._guests.add(task)
        try:
            await self._talk(reader, writer)
        except (OSError, TimeoutError, ValueError, KeyError, TypeError, asyncio.IncompleteReadError) as error:
            log.debug("a console connection ended: %r", error)
        finally:
            self._guests.discard(task)
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ask = json.loads(await asyncio.wait_for(reader.readline(), HELLO_SECONDS))
        id = UUID(str(ask["instance"]))
        machine = self._machines.get(id)
        if ask["kind"] == "log":
            data = await asyncio.to_thread(_tail, self._log_of(id), min(int(ask.get("bytes", HISTORY_BYTES)), LOG_BYTES_MAX))
            answer(writer, {"ok": True, "history": len(data)})
            writer.write(data)
            await writer.drain()
        elif machine is None:
            answer(writer, {"ok": False, "error": "The machine is off. Start it to open its console."})
        elif ask["kind"] == "vnc":
            await self._pass_through(machine, reader, writer)
        elif ask["kind"] == "serial":
            await self._view(machine, reader, writer, write=bool(ask.get("write")))
        elif ask["kind"] == "watchers":
            await self._count(machine, reader, writer)
        else:
            answer(writer, {"ok": False, "error": "A console is serial or vnc."})

    async def _count(self, machine: _Machine, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Tell this one how many watch, until it goes."""
        if len(machine.told) >= VIEWERS_MAX:
            answer(writer, {"ok": False, "error": "Too many count this console's watchers already."})
            return
        answer(writer, {"ok": True})
        answer(writer, {"watchers": len(machine.viewers) + machine.screens})
        machine.told.add(writer)
        try:
            while await reader.read(CHUNK_BYTES):
                pass  # it has nothing to say; its end is what is waited for
        finally:
            machine.told.discard(writer)

    async def _view(self, machine: _Machine, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, write: bool) -> None:
        if len(machine.viewers) >= VIEWERS_MAX:
            answer(writer, {"ok": False, "error": f"{VIEWERS_MAX} people watch this console already."})
            return
        # Joining and reading the log happen without a pause between, so that no byte is missed. The machine writes the log itself:
        # a byte that it wrote just now may show twice, which a reader forgives; one that is missing, not.
        history = _tail(machine.log, HISTORY_BYTES)
        answer(writer, {"ok": True, "history": len(history)})
        writer.write(history)
        viewer = _Viewer(writer, write)
        machine.viewers.add(viewer)
        self._tell(machine)
        try:
            while data := await reader.read(CHUNK_BYTES):
                if viewer.write and machine.line is not None:
                    machine.line.write(data)
                    with contextlib.suppress(OSError):
                        await machine.line.drain()
        finally:
            self._leave(machine, viewer)

    async def _pass_through(self, machine: _Machine, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            screen_reader, screen_writer = await asyncio.open_unix_connection(str(machine.vnc))
        except OSError:
            answer(writer, {"ok": False, "error": "The machine's screen is not there yet. Try again in a few seconds."})
            return
        answer(writer, {"ok": True, "history": 0})
        machine.screens += 1
        self._tell(machine)
        pumps = [asyncio.create_task(_pump(screen_reader, writer)), asyncio.create_task(_pump(reader, screen_writer))]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            machine.screens -= 1
            self._tell(machine)
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            screen_writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Bytes one way, at the pace of the slower side."""
    with contextlib.suppress(OSError):
        while data := await reader.read(CHUNK_BYTES):
            writer.write(data)
            await writer.drain()


def _tail(path: Path, length: int) -> bytes:
    """The end of a file, from the start of a line if it was cut; nothing if there is none."""
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - length))
            data = stream.read()
    except FileNotFoundError:
        return b""
    return data[data.find(b"\n") + 1 :] if size > length else data


def _append(path: Path, data: bytes) -> None:
    """To the end of a log that another process appends to as well. It is there already: a machine that runs has made it."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
    except FileNotFoundError:
        return
    try:
        os.write(descriptor, data)
    finally:
        os.close(descriptor)
