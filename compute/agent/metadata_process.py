"""The process that reads what guests send to the metadata service: `python -m compute.agent.metadata_process DESCRIPTOR`.

The worker starts it under an account that owns nothing; it gives up what is left here, before the first byte of a guest. It has
the listening sockets that it is handed and one line to the worker, whom it asks what to answer: no database, no secrets, no files.
"""

from __future__ import annotations

import asyncio
import ctypes
import itertools
import logging
import resource
import socket
import sys
from typing import Any
from uuid import UUID

from compute.agent import metadata_wire as wire
from compute.agent.metadata_server import MetadataServer
from compute.metadata_tree import InstanceMetadata

FILES_MAX = 16384
MEMORY_BYTES_MAX = 512 * 1024**2
PR_SET_NO_NEW_PRIVS = 38  # <linux/prctl.h>

log = logging.getLogger(__name__)


def give_up_rights() -> None:
    """No set-uid program gives it rights, it can start no process, and it cannot eat the host's memory."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "new privileges could not be ruled out")
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(FILES_MAX, files),) * 2)


class Process:
    """The two ends: guests by the server, the worker by its line."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._server = MetadataServer(self._ask, self._keep)
        self._numbers = itertools.count()
        self._asked: dict[int, asyncio.Future[Any]] = {}
        # Orders in their order, one after the other; None: the worker is gone.
        self._orders: asyncio.Queue[tuple[UUID, socket.socket | None] | None] = asyncio.Queue()

    async def run(self) -> None:
        """Until the worker closes the line."""
        self._line.setblocking(False)
        asyncio.get_running_loop().add_reader(self._line, self._read)
        while order := await self._orders.get():
            network, sock = order
            if sock is None:
                await self._server.shut(network)
            else:
                await self._server.listen(network, sock)
        await self._server.close()

    def _read(self) -> None:
        """All that has come in."""
        while True:
            try:
                received = wire.receive(self._line, bytes_max=wire.MESSAGE_BYTES_MAX)
            except BlockingIOError:
                return
            except OSError:
                received = None
            if received is None:
                asyncio.get_running_loop().remove_reader(self._line)
                self._orders.put_nowait(None)
                return
            self._take(*received)

    def _take(self, message: dict[str, Any], descriptor: int | None) -> None:
        match message:
            case {"listen": network} if descriptor is not None:
                self._orders.put_nowait((UUID(network), socket.socket(fileno=descriptor)))
            case {"shut": network}:
                self._orders.put_nowait((UUID(network), None))
            case {"answer": number} if (future := self._asked.get(number)) and not future.done():
                if message.get("error"):
                    future.set_exception(ConnectionError("The worker could not say."))
                elif "kept" in message:
                    future.set_result(bool(message["kept"]))
                else:
                    instance = message["instance"]
                    future.set_result(wire.instance_from_wire(instance) if instance else None)

    async def _ask(self, network: UUID, ip: str) -> InstanceMetadata | None:
        found: InstanceMetadata | None = await self._say({"network": str(network), "ip": ip})
        return found

    async def _keep(self, network: UUID, ip: str, password: str) -> bool:
        kept: bool = await self._say({"network": str(network), "ip": ip, "password": password})
        return kept

    async def _say(self, message: dict[str, Any]) -> Any:
        number = next(self._numbers)
        future = self._asked[number] = asyncio.get_running_loop().create_future()
        try:
            self._line.send(wire.pack({"ask": number} | message))
            return await future
        finally:
            del self._asked[number]


def main() -> None:
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s %(message)s", level=logging.INFO)
    line = socket.socket(fileno=int(sys.argv[1]))
    give_up_rights()
    asyncio.run(Process(line).run())


if __name__ == "__main__":
    main()
