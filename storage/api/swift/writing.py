"""What every write of an object is made of: its bytes and their digest, the checks before it, the answer after it."""

from __future__ import annotations

import hashlib

from cloudbox.common import clock
from storage import locks, objects
from storage.api.swift import headers
from storage.api.swift.call import OBJECT_LENGTH_MAX, Call
from storage.api.swift.errors import SwiftError
from storage.api.swift.history import versions_headers
from storage.directory import BucketInfo
from storage.engine import Version
from storage.properties import Properties
from storage.server import Response

HTML = {"Content-Type": "text/html; charset=UTF-8"}
SECOND = 1_000_000_000


class Md5:
    """The one digest that Swift knows."""

    def __init__(self) -> None:
        self._running = hashlib.md5(usedforsecurity=False)
        self.size = 0

    def update(self, data: bytes | memoryview) -> None:
        self.size += len(data)
        self._running.update(data)

    def hex(self, name: str) -> str:
        return self._running.hexdigest()


class Bytes:
    """Bytes as a source."""

    def __init__(self, body: bytes) -> None:
        self.length: int | None = len(body)
        self._body = body

    async def read(self, limit: int = objects.PIECE_BYTES) -> bytes:
        body, self._body = self._body, b""
        return body

    async def read_all(self, limit: int) -> bytes:
        return await self.read()


def announced(call: Call) -> int | None:
    """The length of the body, None for chunked ones; 411 where neither is said."""
    given = call.headers
    if "content-length" not in given and "transfer-encoding" not in given:
        raise SwiftError(411)
    return call.request.body.length


def check_name(key: bytes) -> None:
    if len(key) > OBJECT_LENGTH_MAX:
        raise SwiftError(400, f"Object name length of {len(key)} longer than {OBJECT_LENGTH_MAX}")


def check_manifest(call: Call, properties: Properties) -> None:
    """X-Object-Manifest is container/prefix, percent-encoded."""
    text = properties.headers.get("x-object-manifest")
    if text is None:
        return
    container, slash, prefix = headers.unquote(headers.utf8(text)).lstrip("/").partition("/")
    if not slash or not container or not prefix or "?" in text or "&" in text or prefix.startswith("/"):
        raise SwiftError(400, "X-Object-Manifest must be in the format container/prefix")
    properties.headers["x-object-manifest"] = text.lstrip("/")


def dress(bucket: BucketInfo, properties: Properties) -> None:
    """What the bucket wants of every new object: its default retention."""
    if bucket.object_lock:
        properties.retention = locks.default_retention(bucket.documents, clock.now())


async def check_quotas(call: Call, bucket: BucketInfo, length: int | None) -> None:
    """The account's own quotas, of all it has and of what it has under this policy. The others are checked by the verb."""
    account = await call.plane.directory.find_account(bucket.owner)
    if account is None or (call.bearer is not None and call.bearer.everywhere):
        return
    for suffix, policy in (("", ""), (f" {bucket.storage_class.name}", bucket.storage_class.name)):
        bytes_max, objects_max = account.documents.get(f"quota_bytes{suffix}"), account.documents.get(f"quota_objects{suffix}")
        if bytes_max is None and objects_max is None:
            continue
        held = [id for id, kind in zip(account.buckets, account.classes, strict=True) if not policy or kind == policy]
        usages = [call.plane.store.usage(id) for id in held]
        if bytes_max is not None and sum(usage.bytes for usage in usages) + (length or 0) > bytes_max:
            raise SwiftError(413, "Upload exceeds quota.")
        if objects_max is not None and sum(usage.objects for usage in usages) + 1 > objects_max:
            raise SwiftError(413, "Upload exceeds quota.")


def written(bucket: BucketInfo, version: Version, properties: Properties, **more: str) -> Response:
    """The answer to a write."""
    found = {
        **HTML,
        "Etag": version.etag,
        "Last-Modified": headers.http_date(-(-version.modified_ns // SECOND)),
        **versions_headers(bucket, version),
        **more,
    }
    return Response(201, found)
