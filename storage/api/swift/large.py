"""Large objects, read: static ones, whose manifest lists segments, and dynamic ones, which are all that begins with a prefix."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import orjson

from storage import expirations, objects
from storage.api.swift import headers, symlinks
from storage.api.swift.call import Call
from storage.api.swift.errors import SwiftError
from storage.api.swift.found import Found, at_object, look, open_key
from storage.directory import BucketInfo
from storage.engine import Version
from storage.errors import NoSuchObject
from storage.objects import Content
from storage.properties import Properties, unpack

DEPTH_MAX = 10
DYNAMIC_SEGMENTS_MAX = 100_000


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a large object: bytes of a segment, or bytes that the manifest holds itself."""

    size: int
    data: bytes = b""
    bucket: BucketInfo | None = None
    version: Version | None = None
    properties: Properties | None = None
    start: int = 0
    wrong: bool = False  # The segment is gone, or another than it was.


async def static(call: Call, bucket: BucketInfo, version: Version, properties: Properties, more: dict[str, str]) -> Any:
    facts = properties.extra["slo"]
    rows = orjson.loads(await whole(call, version, properties))

    async def content(start: int, length: int) -> Content:
        pieces = await _pieces(call, rows, 1)
        return await _read(call, pieces, start, length, static=True)

    sizes = [len(base64.b64decode(row["data"])) if "data" in row else (row.get("range") or [0, row["bytes"]])[1] for row in rows]
    return Found(bucket, version, properties, facts["size"], f'"{facts["etag"]}"', content, more, sizes)


async def whole(call: Call, version: Version, properties: Properties) -> bytes:
    got = await objects.content(call.plane, version, properties, await open_key(call, properties), 0, version.size)
    if isinstance(got, bytes):
        return got
    source = objects.VersionSource(call.plane, version, properties, await open_key(call, properties))
    return await source.read_all(version.size)


async def _pieces(call: Call, rows: list[dict[str, Any]], depth: int) -> list[Piece]:
    """The manifest's rows as stretches of plain objects; manifests in it are opened."""
    found: list[Piece] = []
    for row in rows:
        if "data" in row:
            data = base64.b64decode(row["data"])
            found.append(Piece(len(data), data=data))
            continue
        container, _, name = row["name"].lstrip("/").partition("/")
        start, length = row.get("range") or (0, row["bytes"])
        at = at_object(call, call.project, container, name)
        await at.load()
        try:
            if at.info is None:
                raise NoSuchObject
            version, properties = look(at, at.info, at.key, None)
        except NoSuchObject:
            found.append(Piece(length, wrong=True))
            continue
        try:
            at.allow_read(properties)
            if "symlink" in properties.extra:
                at.info, version, properties, _ = await symlinks.follow(at, properties)
        except SwiftError:
            # Whoever may read the manifest is told that it does not hold, not which segment is closed to them.
            found.append(Piece(length, wrong=True))
            continue
        slo = properties.extra.get("slo")
        etag, size = (slo["etag"], slo["size"]) if slo else (version.etag, version.size)
        if etag != row["hash"] or size != row["bytes"]:
            found.append(Piece(length, wrong=True))
        elif slo and depth < DEPTH_MAX:
            inner = await _pieces(call, orjson.loads(await whole(call, version, properties)), depth + 1)
            found += _cut(inner, start, length)
        elif slo:
            raise SwiftError(409)  # Manifests within manifests, too deep.
        else:
            found.append(Piece(length, bucket=at.info, version=version, properties=properties, start=start))
    return found


def _cut(pieces: list[Piece], start: int, length: int) -> list[Piece]:
    """Those stretches that cover a range."""
    found, at, end = [], 0, start + length
    for piece in pieces:
        low, high = max(start, at), min(end, at + piece.size)
        if low < high:
            skip = low - at
            found.append(
                Piece(
                    high - low,
                    piece.data[skip : skip + high - low],
                    piece.bucket,
                    piece.version,
                    piece.properties,
                    piece.start + skip,
                    piece.wrong,
                )
            )
        at += piece.size
    return found


async def _read(call: Call, pieces: list[Piece], start: int, length: int, *, static: bool = False) -> Content:
    wanted = _cut(pieces, start, length)
    if not wanted:
        return b""
    if static and wanted[0].wrong:
        raise SwiftError(409)
    return _through(call, wanted)


async def _through(call: Call, pieces: list[Piece]) -> AsyncIterator[bytes]:
    for piece in pieces:
        if piece.wrong:
            return  # The client sees that bytes are missing: the connection is cut.
        if piece.version is None or piece.properties is None:
            yield piece.data
            continue
        key = await open_key(call, piece.properties)
        source = objects.VersionSource(call.plane, piece.version, piece.properties, key, piece.start, piece.size)
        while chunk := await source.read():
            yield chunk


async def pieces_of(call: Call, found: Any, start: int, length: int) -> AsyncIterator[bytes]:
    """Bytes of a found object as pieces."""
    if not length:
        return
    got = await found.content(start, length)
    if isinstance(got, bytes):
        yield got
    elif isinstance(got, AsyncIterator):
        async for chunk in got:
            yield chunk
    else:
        # Views for sendfile do not fit between other bytes.
        for view in got:
            view.close()
        key = await open_key(call, found.properties)
        source = objects.VersionSource(call.plane, found.version, found.properties, key, start, length)
        while chunk := await source.read():
            yield chunk


async def manifest(call: Call, bucket: BucketInfo, version: Version, properties: Properties, more: dict[str, str]) -> Any:
    """?multipart-manifest=get: the list itself, as it is kept, or (format=raw) as it was sent."""
    rows = orjson.loads(await whole(call, version, properties))
    if call.query.get("format") == "raw":
        body = orjson.dumps([_raw(row) for row in rows])
        etag = hashlib.md5(body, usedforsecurity=False).hexdigest()
    else:
        body, etag = orjson.dumps([_shown(row) for row in rows]), version.etag
        more = more | {"Content-Type": "application/json; charset=utf-8"}

    async def content(start: int, length: int) -> Content:
        return body[start : start + length]

    return Found(bucket, version, properties, len(body), etag, content, more)


def _raw(row: dict[str, Any]) -> dict[str, Any]:
    if "data" in row:
        return {"data": row["data"]}
    found = {"path": row["name"], "etag": row["hash"], "size_bytes": row["bytes"]}
    if row.get("range"):
        start, length = row["range"]
        found["range"] = f"{start}-{start + length - 1}"
    return found


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    found = {key: value for key, value in row.items() if key != "range"}
    if row.get("range"):
        start, length = row["range"]
        found["range"] = f"{start}-{start + length - 1}"
    return found


async def dynamic(call: Call, bucket: BucketInfo, version: Version, properties: Properties, more: dict[str, str]) -> Any:
    """All objects of a container that begin with a prefix, one after the other."""
    container, _, prefix = headers.unquote(headers.utf8(properties.headers["x-object-manifest"])).lstrip("/").partition("/")
    source = await call.container_of(container, bucket.owner)
    if source is None:
        raise SwiftError(404)
    call.allow("s3:ListBucket", bucket=source, permission="READ", acl="read")
    pieces: list[Piece] = []
    digest, after = hashlib.md5(usedforsecurity=False), b""
    while True:
        page = call.plane.store.list(source.id, prefix=prefix.encode(), after=after, limit=1000)
        for one in page.versions:
            kept = unpack(one.meta)
            if expirations.is_over(kept) or (source.id == bucket.id and one.name == version.name):
                continue
            inner = await _segment(call, source, one, kept)
            digest.update((kept.extra["slo"]["etag"] if "slo" in kept.extra else one.etag).encode())
            pieces += inner
        if page.next is None or len(pieces) > DYNAMIC_SEGMENTS_MAX:
            break
        after = page.next[0]

    async def content(start: int, length: int) -> Content:
        return await _read(call, pieces, start, length)

    etag = f'"{digest.hexdigest()}"'
    return Found(bucket, version, properties, sum(piece.size for piece in pieces), etag, content, more)


async def _segment(call: Call, bucket: BucketInfo, version: Version, properties: Properties) -> list[Piece]:
    if "slo" in properties.extra:
        return await _pieces(call, orjson.loads(await whole(call, version, properties)), 1)
    if "symlink" in properties.extra:
        bucket, version, properties, _ = await symlinks.follow(call, properties)
    return [Piece(version.size, bucket=bucket, version=version, properties=properties)] if version.size else []
