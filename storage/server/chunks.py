"""The chunked transfer coding (RFC 9112 section 7.1), decoded as it comes, strictly."""

from __future__ import annotations

import re

LINE_MAX_BYTES = 4096  # a chunk's size and its extensions
TRAILER_MAX_BYTES = 16 << 10
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(;[\t\x20-\x7e\x80-\xff]*)?")
_FIELD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*")


class ChunkError(Exception):
    """The grammar is broken."""


class ChunkDecoder:
    """Feed it what comes; it gives the body's pieces, and in the end what follows the body."""

    __slots__ = ("_line", "_state", "_trailer", "ended", "left")

    def __init__(self) -> None:
        self.ended = False
        self.left = 0  # bytes until the end of the present chunk
        self._state = "size"
        self._line = b""  # the beginning of a line that has not come whole
        self._trailer = 0

    def feed(self, data: bytes) -> tuple[list[bytes], bytes]:
        """Pieces of the body, and the bytes after its end. Raises ChunkError."""
        pieces: list[bytes] = []
        at, size = 0, len(data)
        while at < size and not self.ended:
            if self._state == "data":
                piece = data[at : at + self.left]
                at += len(piece)
                self.left -= len(piece)
                pieces.append(piece)
                if self.left == 0:
                    self._state = "after"
                continue
            end = data.find(b"\n", at)
            if end < 0:
                self._line += data[at:]
                at = size
                if len(self._line) > LINE_MAX_BYTES:
                    raise ChunkError("a line of the chunked body is too long")
                # A line can be seen to be wrong before it ends; waiting for the end would only hide it.
                if self._state == "after" and self._line not in (b"", b"\r"):
                    raise ChunkError("a chunk does not end where its size says")
                break
            line, at = self._line + data[at : end + 1], end + 1
            self._line = b""
            if not line.endswith(b"\r\n") or len(line) > LINE_MAX_BYTES:
                raise ChunkError("a line of the chunked body does not end with CR LF, or is too long")
            self._take(line[:-2])
        return pieces, data[at:]

    def _take(self, line: bytes) -> None:
        if self._state == "size":
            match = _SIZE.fullmatch(line)
            if not match:
                raise ChunkError("a chunk's size is not a hexadecimal number")
            self.left = int(match[1], 16)
            self._state = "data" if self.left else "trailer"
        elif self._state == "after":
            if line:
                raise ChunkError("a chunk does not end where its size says")
            self._state = "size"
        elif line:  # Trailers are read over: nothing here takes a meaning from them.
            self._trailer += len(line)
            if self._trailer > TRAILER_MAX_BYTES or not _FIELD.fullmatch(line):
                raise ChunkError("the trailer of the chunked body is no list of headers")
        else:
            self.ended = True
