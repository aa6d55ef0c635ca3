"""One line of JSON per request. Lines are gathered and written once a second, or when they are many.

The file is opened for appending: whoever rotates logs may empty it, or rename it and have the worker open it anew. What signs a
presigned address is a key to the object for whoever reads the log, so it is left out.
"""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import orjson

from storage.server.messages import Request

FLUSH_BYTES = 64 << 10
KEPT_MAX_BYTES = 4 << 20  # what is kept when the disk takes nothing; then lines are dropped and counted
_SECRET = re.compile(
    rb"((?:^|&)(?:x-amz-signature|signature|x-amz-security-token|temp_url_sig|token|x-amz-credential)=)[^&]*", re.IGNORECASE
)


class AccessLog:
    """Appends to `path`; "-" is standard output."""

    def __init__(self, path: str | Path) -> None:
        self._path = str(path)
        self._fd = self._open()
        self._lines: list[bytes] = []
        self._size = 0
        self.dropped = 0

    def _open(self) -> int:
        return 1 if self._path == "-" else os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)

    def add(self, request: Request, status: int, sent: int, seconds: float) -> None:
        query = request.query
        if query:
            query = _SECRET.sub(rb"\1-", query)
        row: dict[str, object] = {
            "time": time.time(),
            "id": request.id,
            "peer": request.peer,
            "method": request.method,
            "path": request.path.decode("latin-1"),
            "query": query.decode("latin-1"),
            "status": status,
            "received": request.body.length,
            "sent": sent,
            "seconds": round(seconds, 6),
            "agent": request.headers.get("user-agent", ""),
        }
        if request.note:
            row |= request.note
        self._add(row)

    def refused(self, id: str, peer: str, status: int, reason: str) -> None:
        """A request whose head could not be served."""
        self._add({"time": time.time(), "id": id, "peer": peer, "status": status, "reason": reason})

    def _add(self, row: dict[str, object]) -> None:
        line = orjson.dumps(row, default=str, option=orjson.OPT_APPEND_NEWLINE)
        if self._size > KEPT_MAX_BYTES:
            self.dropped += 1
            return
        self._lines.append(line)
        self._size += len(line)
        if self._size > FLUSH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what was gathered. A disk that is full must not stop the service: then it is tried again later."""
        if not self._lines:
            return
        data = b"".join(self._lines)
        try:
            written = os.write(self._fd, data)
        except OSError:
            return
        self._lines = [data[written:]] if written < len(data) else []
        self._size = len(data) - written

    def reopen(self) -> None:
        self.flush()
        if self._fd > 2:
            os.close(self._fd)
            self._fd = self._open()

    def close(self) -> None:
        self.flush()
        if self._fd > 2:
            os.close(self._fd)
