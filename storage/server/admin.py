"""What operators ask the front: the metrics of all workers, and whether it lives. Meant for a listener of its own, on 127.0.0.1."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from storage.server import metrics
from storage.server.messages import App, Request, Response


def app(folder: Path, *, help: Mapping[str, str] = {}) -> App:
    """GET /metrics in Prometheus' text format, summed over the workers; GET /healthz."""
    words = {**metrics.HELP, **help}

    async def admin(request: Request) -> Response:
        if request.method not in ("GET", "HEAD"):
            return Response(405, {"Allow": "GET, HEAD", "Content-Type": "text/plain"}, b"Only GET and HEAD are answered here.\n")
        if request.path == b"/metrics":
            sums = await asyncio.get_running_loop().run_in_executor(None, metrics.totals, folder)
            return Response(200, {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}, metrics.text(sums, words).encode())
        if request.path == b"/healthz":
            return Response(200, {"Content-Type": "text/plain"}, b"ok\n")
        return Response(404, {"Content-Type": "text/plain"}, b"There are /metrics and /healthz here.\n")

    return admin
