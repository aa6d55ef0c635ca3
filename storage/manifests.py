"""Static large objects, for both dialects: an object whose bytes are a list of segments, read as if it were those segments.

Swift's clients make them (api/swift/manifests.py). The list is JSON: {"name": "/container/object", "bytes", "hash", "range": [start,
length], "sub_slo": true}, or {"data": Base64}. What the whole is lies in the manifest's properties: extra["slo"] = {"etag", "size",
"segments"}.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from cloudbox.common.errors import Conflict
from storage import objects
from storage.engine import Version
from storage.plane import Plane
from storage.properties import Properties, unpack

DEPTH_MAX = 10  # Of manifests that list manifests.
Row = dict[str, Any]
# A segment by container and name, if it is there and may be read; links are followed.
Find = Callable[[str, str], Awaitable[tuple[Version, Properties] | None]]


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a large object: bytes of a segment, or bytes that the manifest holds itself."""

    size: int
    data: bytes = b""
    version: Version | None = None
    properties: Properties | None = None
    start: int = 0
    wrong: bool = False  # The segment is gone, or another than it was, or not for who asks.


def is_manifest(properties: Properties) -> bool:
    return "slo" in properties.extra


def shown(version: Version, properties: Properties) -> Version:
    """A manifest as an object of the size that it stands for. Its ETag is no digest of the bytes and looks like none: <digest>-<count>."""
    facts = properties.extra["slo"]
    return version._replace(size=facts["size"], etag=f"{facts['etag']}-{facts['segments']}")


def told(size: int, etag: str, meta: bytes) -> tuple[int, str]:
    """Size and ETag for a listing, at the cost of a glance for all that are no manifests."""
    facts = unpack(meta).extra.get("slo") if b'"slo":' in meta else None
    return (facts["size"], f"{facts['etag']}-{facts['segments']}") if facts else (size, etag)


async def rows_of(plane: Plane, version: Version, properties: Properties) -> list[Row]:
    """What a manifest lists."""
    source = objects.VersionSource(plane, version, properties, await objects.open_key(plane, properties, None))
    found: list[Row] = orjson.loads(await source.read_all(version.size))
    return found


def length_of(row: Row) -> int:
    return len(base64.b64decode(row["data"])) if "data" in row else (row.get("range") or [0, row["bytes"]])[1]


async def pieces(plane: Plane, rows: Sequence[Row], find: Find, depth: int = 1) -> list[Piece]:
    """The rows as stretches of plain objects; manifests among them are opened. Raises Conflict if they go too deep."""
    found: list[Piece] = []
    for row in rows:
        if "data" in row:
            data = base64.b64decode(row["data"])
            found.append(Piece(len(data), data=data))
            continue
        container, _, name = row["name"].lstrip("/").partition("/")
        start, length = row.get("range") or (0, row["bytes"])
        got = await find(container, name)
        if got is None:
            found.append(Piece(length, wrong=True))
            continue
        version, properties = got
        slo = properties.extra.get("slo")
        etag, size = (slo["etag"], slo["size"]) if slo else (version.etag, version.size)
        if etag != row["hash"] or size != row["bytes"]:
            found.append(Piece(length, wrong=True))
        elif slo and depth >= DEPTH_MAX:
            raise Conflict(f"Manifests list manifests more than {DEPTH_MAX} deep.")
        elif slo:
            found += cut(await pieces(plane, await rows_of(plane, version, properties), find, depth + 1), start, length)
        else:
            found.append(Piece(length, version=version, properties=properties, start=start))
    return found


def cut(whole: Sequence[Piece], start: int, length: int) -> list[Piece]:
    """Those stretches that cover a range."""
    found, at, end = [], 0, start + length
    for piece in whole:
        low, high = max(start, at), min(end, at + piece.size)
        if low < high:
            skip = low - at
            found.append(replace(piece, size=high - low, data=piece.data[skip : skip + high - low], start=piece.start + skip))
        at += piece.size
    return found


async def through(plane: Plane, wanted: Sequence[Piece]) -> AsyncIterator[bytes]:
    """Their bytes. Ends at a piece that is wrong: who receives it sees that bytes are missing, since the connection is cut."""
    for piece in wanted:
        if piece.wrong:
            return
        if piece.version is None or piece.properties is None:
            yield piece.data
            continue
        key = await objects.open_key(plane, piece.properties, None)
        source = objects.VersionSource(plane, piece.version, piece.properties, key, piece.start, piece.size)
        while chunk := await source.read():
            yield chunk


async def content(plane: Plane, version: Version, properties: Properties, find: Find, start: int, length: int) -> AsyncIterator[bytes]:
    """A range of what a manifest stands for. Raises Conflict if already its first piece is wrong."""
    wanted = cut(await pieces(plane, await rows_of(plane, version, properties), find), start, length)
    if wanted and wanted[0].wrong:
        raise Conflict("A segment of this large object is gone, or is not what it was when its manifest was written.")
    return through(plane, wanted)


class Assembled:
    """What a manifest stands for, as the source of another object; one that ends early makes that object fail, not short."""

    def __init__(self, pieces_of: AsyncIterator[bytes], length: int) -> None:
        self.length: int | None = length
        self._pieces, self._left = pieces_of, length

    async def read(self, limit: int = objects.PIECE_BYTES) -> bytes:
        piece = await anext(self._pieces, b"")
        if not piece and self._left:
            raise Conflict("A segment of this large object is gone, or is not what it was when its manifest was written.")
        self._left -= len(piece)
        return piece

    async def read_all(self, limit: int) -> bytes:
        found = []
        while piece := await self.read():
            found.append(piece)
        return b"".join(found)
