"""The nursery of workers for the tests of workers.py: they answer with its number and process, and end, hang or fail on demand."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from storage.server import Request, Response, workers
from storage.server.access_log import AccessLog
from storage.server.admin import app as admin_app
from storage.server.nursery import nurse
from storage.server.worker import Listener, run


async def app(request: Request) -> Response:
    if request.path == b"/die":
        os.kill(os.getpid(), signal.SIGKILL)
    if request.path == b"/slow":
        await asyncio.sleep(0.5)
    body = await request.body.read_all(1 << 20)
    return Response(200, {"Worker": str(workers.slot()), "Process": str(os.getpid())}, body or b"here\n")


async def opening() -> tuple[list[Listener], object]:
    if Path(sys.argv[1], "broken").exists():  # noqa: ASYNC240  nothing else runs yet
        sys.exit(3)
    sockets = workers.inherited()
    listeners = [Listener(sockets["http"], app), Listener(sockets["admin"], admin_app(Path(sys.argv[1], "metrics")), quiet=True)]

    async def close() -> None:
        with Path(sys.argv[1], "closed").open("a") as file:  # noqa: ASYNC230  nothing else runs any more
            file.write(f"{os.getpid()}\n")

    return listeners, close


def work() -> None:
    run(opening, metrics=workers.own_metrics(), access_log=AccessLog(Path(sys.argv[1], "access.log")))  # type: ignore[arg-type]


if __name__ == "__main__":
    if Path(sys.argv[1], "unimportable").exists():
        raise ImportError("This release cannot be imported.")
    nurse(work)
