"""Unix sockets of the worker that web processes connect to: one JSON line in, one back, then whatever the two have to do."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

HELLO_BYTES_MAX = 1024

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def listen(socket: Path, serve: Serve, *, owner: tuple[int, int] | None) -> asyncio.AbstractServer:
    """A socket that a predecessor left is replaced. `owner`: user and group that may connect besides root."""
    _make_way(socket)
    server = await asyncio.start_unix_server(serve, path=str(socket), limit=HELLO_BYTES_MAX)
    _let_in(socket, owner)
    return server


def _make_way(socket: Path) -> None:
    socket.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(socket.stat().st_mode):
            socket.unlink()


def _let_in(socket: Path, owner: tuple[int, int] | None) -> None:
    if owner is not None:
        os.chown(socket, *owner)
    socket.chmod(0o660)


def answer(writer: asyncio.StreamWriter, what: dict[str, object]) -> None:
    writer.write(json.dumps(what).encode() + b"\n")
