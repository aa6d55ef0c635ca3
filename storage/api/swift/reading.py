"""GET and HEAD of objects: through links and manifests, whole, in ranges, in several ranges."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator

from storage import objects
from storage.api.swift import headers, large, symlinks
from storage.api.swift.call import Call
from storage.api.swift.errors import SwiftError
from storage.api.swift.found import Found, look, open_key
from storage.api.swift.history import public_id, version_id_of, versions_headers
from storage.api.swift.listings import DELETED
from storage.directory import BucketInfo
from storage.engine import Version
from storage.errors import MarkerRead, NoSuchObject, NoSuchVersion
from storage.manifests import Assembled
from storage.objects import Content, Range
from storage.properties import Properties
from storage.server import Response, in_task

RANGES_MAX = 50


async def resolve(call: Call) -> Found:
    """The object of the address, through links and manifests, if it may be read."""
    bucket = call.info
    if bucket is None:
        call.allow_account()
        raise SwiftError(404)
    version_id = version_id_of(call)
    if version_id is not None:
        # Not by the container's ACL: that speaks of what is there now.
        call.allow("s3:GetObjectVersion", bucket=bucket, key=call.object, permission="READ")
    try:
        version, properties = look(call, bucket, call.key, version_id)
    except MarkerRead:
        told = {"X-Object-Version-Id": call.query["version-id"], "Content-Type": DELETED}
        raise SwiftError(404, headers=told) from None
    except (NoSuchObject, NoSuchVersion):
        call.allow_read()
        raise SwiftError(404, headers={"X-Object-Version-Id": call.query["version-id"]} if version_id else None) from None
    call.allow_read(properties)
    more = versions_headers(bucket, version)
    if version_id is not None:
        more["X-Object-Version-Id"] = call.query["version-id"]
    elif more:
        more["Content-Location"] = (
            f"/v1/{headers.quoted_path(call.account_name, call.container, call.object)}?version-id={public_id(version)}"
        )
    if "symlink" in properties.extra and call.query.get("symlink") != "get":
        bucket, version, properties, linked = await symlinks.follow(call, properties)
        more |= linked
    elif "symlink" in properties.extra:
        more |= symlinks.shown(properties, call.account_name)
    return await opened(call, bucket, version, properties, more)


async def opened(call: Call, bucket: BucketInfo, version: Version, properties: Properties, more: dict[str, str]) -> Found:
    """The content of an object: its own bytes, or what its manifest lists."""
    manifest = call.query.get("multipart-manifest")
    if "slo" in properties.extra:
        more = more | {"X-Static-Large-Object": "True", "X-Manifest-Etag": version.etag}
        if manifest == "get":
            return await large.manifest(call, bucket, version, properties, more)
        more["X-Slo-Etag"] = f'"{properties.extra["slo"]["etag"]}"'
        return await large.static(call, bucket, version, properties, more)
    if "x-object-manifest" in properties.headers and manifest != "get":
        return await large.dynamic(call, bucket, version, properties, more)
    return await plain(call, bucket, version, properties, more)


async def plain(call: Call, bucket: BucketInfo, version: Version, properties: Properties, more: dict[str, str]) -> Found:
    key = await open_key(call, properties)

    async def content(start: int, length: int) -> Content:
        return await objects.content(call.plane, version, properties, key, start, length)

    return Found(bucket, version, properties, version.size, version.etag, content, more)


async def get(call: Call) -> Response:
    found = await resolve(call)
    changed = headers.changed_ns(found.version, found.properties)
    others = (found.version.etag,) if "X-Static-Large-Object" in found.more else ()
    answer = headers.of_object(found.version, found.properties) | {"Etag": found.etag} | found.more
    try:
        headers.check_read(call, found.etag.strip('"'), changed, others)
    except SwiftError as error:
        error.headers |= {
            name: answer[name] for name in ("Etag", "Last-Modified", "X-Timestamp", "Accept-Ranges", "Content-Location") if name in answer
        }
        raise
    return await send(call, found, answer)


async def send(call: Call, found: Found, answer: dict[str, str]) -> Response:
    """200, or 206 with the ranges asked for."""
    head = call.method == "HEAD"
    if found.parts and "part-number" in call.query:
        wanted: list[Range] | None = [part_range(call, found, answer)]
    else:
        wanted = None if head else _wanted(call, found, answer)
    if wanted is None:
        body: Content = b"" if head else await found.content(0, found.size)
        return await _response(200, answer, body, found.size)
    if len(wanted) == 1:
        one = wanted[0]
        answer["Content-Range"] = f"bytes {one.start}-{one.start + one.length - 1}/{found.size}"
        if head:
            return Response(206, answer, length=one.length)
        return await _response(206, answer, await found.content(one.start, one.length), one.length)
    return _several(call, found, wanted, answer)


async def _response(status: int, answer: dict[str, str], body: Content, length: int) -> Response:
    if not isinstance(body, bytes | list | tuple):
        await in_task()
    return Response(status, answer, body, length=length)


def _wanted(call: Call, found: Found, answer: dict[str, str]) -> list[Range] | None:
    text = call.header("range")
    if text is None:
        return None
    if_range = call.header("if-range")
    if if_range is not None:
        date = headers.date_of(if_range)
        fresh = if_range.strip().strip('"') == found.etag.strip('"') if date is None else answer["Last-Modified"] == if_range
        if not fresh:
            return None
    ranges = objects.ranges(text, found.size)
    if ranges is not None and len(ranges) > 1 and "x-object-manifest" in found.properties.headers:
        return None  # Of a dynamic large object one range at a time.
    return None if ranges is not None and len(ranges) > RANGES_MAX else ranges


def part_range(call: Call, found: Found, answer: dict[str, str]) -> Range:
    """?part-number=: the range of one segment of a static large object."""
    text = call.query["part-number"]
    if not text.isdecimal() or not text.isascii() or len(text) > 9 or int(text) < 1:
        raise SwiftError(400, "Part number must be an integer greater than 0")
    answer["X-Parts-Count"] = str(len(found.parts))
    number = int(text)
    if number > len(found.parts):
        told = {name: value for name, value in answer.items() if name not in ("Content-Type", "Content-Length")}
        told["Content-Range"] = f"bytes */{found.size}"
        raise SwiftError(416, "The requested part number is not satisfiable", told)
    return Range(sum(found.parts[: number - 1]), found.parts[number - 1])


def _several(call: Call, found: Found, wanted: list[Range], answer: dict[str, str]) -> Response:
    boundary = secrets.token_hex(16)
    kind = answer["Content-Type"]
    answer["Content-Type"] = f"multipart/byteranges; boundary={boundary}"

    def intro(one: Range, first: bool) -> bytes:
        place = f"Content-Range: bytes {one.start}-{one.start + one.length - 1}/{found.size}"
        return f"{'' if first else chr(13) + chr(10)}--{boundary}\r\nContent-Type: {kind}\r\n{place}\r\n\r\n".encode("latin-1")

    end = f"\r\n--{boundary}--".encode()
    length = sum(len(intro(one, number == 0)) + one.length for number, one in enumerate(wanted)) + len(end)

    async def pieces() -> AsyncIterator[bytes]:
        for number, one in enumerate(wanted):
            yield intro(one, number == 0)
            async for piece in large.pieces_of(call, found, one.start, one.length):
                yield piece
        yield end

    return Response(206, answer, pieces(), length=length)


class FoundSource(Assembled):
    """What a found object stands for, as the source of a new one."""

    def __init__(self, call: Call, found: Found, start: int, length: int) -> None:
        super().__init__(large.pieces_of(call, found, start, length), length)
