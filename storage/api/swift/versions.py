"""Versioning the older way: X-Versions-Location (a stack: DELETE brings the last one back) and X-History-Location (DELETE leaves a mark).

Old objects lie in another container as <three hex digits: length of the name in bytes><name>/<time>.
"""

from __future__ import annotations

import time

from storage import encryption, objects
from storage.api.swift import headers
from storage.api.swift.call import Call, swift_of
from storage.api.swift.errors import SwiftError
from storage.api.swift.found import open_key
from storage.api.swift.info import FILE_BYTES_MAX
from storage.api.swift.listings import DELETED
from storage.api.swift.writing import Bytes, Md5
from storage.directory import BucketInfo
from storage.engine import Version
from storage.errors import NoSuchObject
from storage.objects import VersionSource, Write
from storage.properties import Properties, unpack
from storage.server import Response


def _prefix(key: bytes) -> bytes:
    return b"%03x%s/" % (len(key), key)


async def _archive(call: Call, bucket: BucketInfo) -> BucketInfo:
    archive = await call.container_of(swift_of(bucket)["versions"], bucket.owner)
    if archive is None:
        raise SwiftError(412, "The container of X-Versions-Location does not exist.")
    return archive


async def keep(call: Call, bucket: BucketInfo, key: bytes) -> None:
    """Before an object is replaced: put what is there away."""
    if not swift_of(bucket).get("versions"):
        return
    try:
        version = objects.find(call.plane, bucket, key)
    except NoSuchObject:
        return
    archive = await _archive(call, bucket)
    await _copy(call, version, unpack(version.meta), archive, _prefix(key) + headers.timestamp(version.modified_ns).encode())


async def _copy(call: Call, version: Version, properties: Properties, into: BucketInfo, key: bytes) -> None:
    data_key = await open_key(call, properties)
    properties = unpack(version.meta)
    properties.encryption, properties.retention, properties.legal_hold = {}, [], False
    wish, cause = encryption.wish_of(into.documents), call.cause("ObjectCreated:Copy")
    write = Write(properties, wish, None, None, FILE_BYTES_MAX, key_project=into.owner, cause=cause)
    source = VersionSource(call.plane, version, unpack(version.meta), data_key)
    await objects.put(call.plane, into, key, source, Md5(), write)


async def on_delete(call: Call, bucket: BucketInfo, key: bytes) -> Response | None:
    """What DELETE does; None to go on and delete the object as usual."""
    archive = await call.container_of(swift_of(bucket)["versions"], bucket.owner)
    if archive is None:
        return None
    if swift_of(bucket).get("versions_mode") == "history":
        # Also of what is not there (any more): each DELETE is a fact of the history.
        await keep(call, bucket, key)
        mark = _prefix(key) + headers.timestamp(time.time_ns()).encode()
        await put_empty(call, archive, mark, DELETED)
        return None
    return await _pop(call, bucket, key, archive)


async def put_empty(call: Call, into: BucketInfo, key: bytes, content_type: str) -> None:
    await objects.put(call.plane, into, key, Bytes(b""), Md5(), Write(Properties(content_type=content_type)))


async def _pop(call: Call, bucket: BucketInfo, key: bytes, archive: BucketInfo) -> Response | None:
    """The newest of the stack takes the place of the deleted object. A mark on top goes alone if another lies under it."""
    kept = _all(call, archive, key)
    if not kept:
        return None
    last = kept.pop()
    if _is_mark(last):
        try:
            objects.find(call.plane, bucket, key)
        except NoSuchObject:
            await objects.delete(call.plane, archive, last.name)
        else:
            return None
        if not kept or _is_mark(kept[-1]):
            return Response(204, {"Content-Type": "text/html; charset=UTF-8"})
        last = kept.pop()
    await _copy(call, last, unpack(last.meta), bucket, key)
    await objects.delete(call.plane, archive, last.name)
    return Response(204, {"Content-Type": "text/html; charset=UTF-8"})


def _is_mark(version: Version) -> bool:
    return unpack(version.meta).content_type == DELETED


def _all(call: Call, archive: BucketInfo, key: bytes) -> list[Version]:
    found: list[Version] = []
    after = b""
    while True:
        page = call.plane.store.list(archive.id, prefix=_prefix(key), after=after, limit=1000)
        found += page.versions
        if page.next is None:
            return found
        after = page.next[0]
