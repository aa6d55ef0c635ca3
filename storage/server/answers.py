"""The head of an answer to bytes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from email.utils import formatdate
from http import HTTPStatus

_REASONS = {status.value: status.phrase for status in HTTPStatus}
_LINES: dict[int, str] = {}
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Unsendable(ValueError):
    """A header that would break the answer apart: somebody let foreign text into it unchecked."""


class Clock:
    """The lines that are the same for a whole second. `tick` is called by the worker's sweep."""

    __slots__ = ("common", "wall")

    def __init__(self) -> None:
        self.wall = 0
        self.common = ""
        self.tick()

    def tick(self) -> None:
        now = int(time.time())
        if now != self.wall:
            self.wall = now
            self.common = f"Server: Cloudbox\r\nDate: {formatdate(now, usegmt=True)}\r\nX-Request-Id: "


def status_line(status: int) -> str:
    line = _LINES.get(status)
    if line is None:
        line = _LINES[status] = f"HTTP/1.1 {status} {_REASONS.get(status, 'Unknown')}\r\n"
    return line


def head(status: int, headers: Mapping[str, str], *, common: str, id: str, framing: str) -> bytes:
    """The bytes before the body. `framing` is the server's own lines: length or coding, connection. Raises Unsendable."""
    lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
    text = f"{status_line(status)}{common}{id}\r\n{''.join(lines)}{framing}\r\n"
    # One look at the whole is cheaper than one at each value: what would add a line shows in the count.
    if text.count("\n") != len(lines) + 5 + framing.count("\n") or text.count("\r") != text.count("\n") or "\0" in text:
        raise Unsendable("a header of the answer contains a line break or a NUL")
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError as error:
        raise Unsendable("a header of the answer is not ISO 8859-1") from error
