"""Large objects, read: static ones, whose manifest lists segments, and dynamic ones, which are all that begins with a prefix."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from typing import Any

import orjson

from cloudbox.common.errors import Conflict
from storage import expirations, manifests
from storage.api.swift import headers, symlinks
from storage.api.swift.call import Call
from storage.api.swift.errors import SwiftError
from storage.api.swift.found import Found, at_object, look
from storage.directory import BucketInfo
from storage.engine import Version
from storage.errors import NoSuchObject
from storage.manifests import Find, Piece
from storage.objects import Content
from storage.properties import Properties, unpack

DYNAMIC_SEGMENTS_MAX = 100_000


async def static(call: Call, bucket: BucketInfo, version: Version, properties: Properties, more: dict[str, str]) -> Found:
    """What a manifest lists. Its segments lie in its own account, whichever account a link to it was read in."""
    facts = properties.extra["slo"]
    rows = await manifests.rows_of(call.plane, version, properties)

    async def content(start: int, length: int) -> Content:
        try:
            return await manifests.content(call.plane, version, properties, _finder(call, bucket.owner), start, length)
        except Conflict as error:
            raise SwiftError(409) from error  # In Swift's own words, which say less.

    sizes = [manifests.length_of(row) for row in rows]
    return Found(bucket, version, properties, facts["size"], f'"{facts["etag"]}"', content, more, sizes)


def _finder(call: Call, project: str) -> Find:
    async def find(container: str, name: str) -> tuple[Version, Properties] | None:
        at = at_object(call, project, container, name)
        await at.load()
        try:
            if at.info is None:
                return None
            version, properties = look(at, at.info, at.key, None)
            at.allow_read(properties)
            if "symlink" in properties.extra:
                _, version, properties, _ = await symlinks.follow(at, properties)
        except (NoSuchObject, SwiftError):
            # Whoever may read the manifest is told that it does not hold, not which segment is closed to them.
            return None
        return version, properties

    return find


async def pieces_of(call: Call, found: Any, start: int, length: int) -> AsyncIterator[bytes]:
    """Bytes of a found object as pieces."""
    if not length:
        return
    got = await found.content(start, length)
    if isinstance(got, bytes):
        yield got
    else:
        async for chunk in got:
            yield chunk


async def manifest(call: Call, bucket: BucketInfo, version: Version, properties: Properties, more: dict[str, str]) -> Any:
    """?multipart-manifest=get: the list itself, as it is kept, or (format=raw) as it was sent."""
    rows = await manifests.rows_of(call.plane, version, properties)
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
        return manifests.through(call.plane, manifests.cut(pieces, start, length))

    etag = f'"{digest.hexdigest()}"'
    return Found(bucket, version, properties, sum(piece.size for piece in pieces), etag, content, more)


async def _segment(call: Call, bucket: BucketInfo, version: Version, properties: Properties) -> list[Piece]:
    if "slo" in properties.extra:
        rows = await manifests.rows_of(call.plane, version, properties)
        return await manifests.pieces(call.plane, rows, _finder(call, bucket.owner))
    if "symlink" in properties.extra:
        bucket, version, properties, _ = await symlinks.follow(call, properties)
    return [Piece(version.size, version=version, properties=properties)] if version.size else []
