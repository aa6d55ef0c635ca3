"""Objects: PUT, GET, HEAD, POST, DELETE, COPY."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

from cloudbox.common import clock
from storage import encryption, locks, objects
from storage.api.swift import headers, large, symlinks, versions
from storage.api.swift.call import OBJECT_LENGTH_MAX, Call, swift_of
from storage.api.swift.containers import engine_id, public_id
from storage.api.swift.errors import SwiftError
from storage.api.swift.info import FILE_BYTES_MAX
from storage.directory import BucketInfo
from storage.engine import Version
from storage.errors import MarkerRead, NoSuchObject, NoSuchVersion
from storage.objects import Content, Range, Source, VersionSource, Write
from storage.properties import Properties, unpack
from storage.server import Response, in_task

HTML = {"Content-Type": "text/html; charset=UTF-8"}
RANGES_MAX = 50
# SSE-C objects of S3 need their key with every request, which Swift has no header for.
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


# --- finding


@dataclass(frozen=True, slots=True)
class Found:
    """An object as it is to be read: by itself, or as what its manifest or link stands for."""

    bucket: BucketInfo
    version: Version
    properties: Properties
    size: int
    etag: str  # As the header shows it.
    content: Callable[[int, int], Awaitable[Content]]
    more: dict[str, str] = field(default_factory=dict)  # Headers besides the object's own.
    parts: Sequence[int] = ()  # Sizes of the segments of a static large object.


def look(call: Call, bucket: BucketInfo, key: bytes, version_id: str | None) -> tuple[Version, Properties]:
    """The version and what is kept with it; raises NoSuchObject for what is not there, deleted or expired."""
    version = objects.find(call.plane, bucket, key, version_id)
    properties = unpack(version.meta)
    # Old versions do not expire: their time was that of the object.
    if version_id is None and headers.expired(properties):
        raise NoSuchObject
    return version, properties


def version_id_of(call: Call) -> str | None:
    text = call.query.get("version-id")
    if text is None:
        return None
    if call.info is not None and call.info.versioning == "off":
        if text == "null":
            return None
        engine_id(text)
        raise SwiftError(400, "version-aware operations require that the container is versioned")
    return engine_id(text)


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
        told = {"X-Object-Version-Id": call.query["version-id"], "Content-Type": versions.MARK}
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


def versions_headers(bucket: BucketInfo, version: Version) -> dict[str, str]:
    return {"X-Object-Version-Id": public_id(version)} if bucket.versioning != "off" and not version.null else {}


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


async def open_key(call: Call, properties: Properties) -> bytes:
    if not properties.encryption:
        return b""
    if properties.encryption.get("a") == encryption.CUSTOMER:
        raise SwiftError(403, "This object is encrypted with a key of a customer's, which only S3's requests can carry.")
    return await objects.open_key(call.plane, properties, None)


# --- GET and HEAD


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
        wanted: list[Range] | None = [_part(call, found, answer)]
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


def _part(call: Call, found: Found, answer: dict[str, str]) -> Range:
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


class FoundSource:
    """What a found object stands for, as the source of a new one."""

    def __init__(self, call: Call, found: Found, start: int, length: int) -> None:
        self.length: int | None = length
        self._pieces = large.pieces_of(call, found, start, length)

    async def read(self, limit: int = objects.PIECE_BYTES) -> bytes:
        return await anext(self._pieces, b"")

    async def read_all(self, limit: int) -> bytes:
        return b"".join([piece async for piece in self._pieces])


# --- PUT


async def put(call: Call) -> Response:
    if "x-copy-from" in call.headers:
        return await copy(call)
    bucket = call.bucket_or_refuse() if call.info is None and not call.signed_for else call.bucket
    call.allow_write()
    check_name(call.key)
    given = call.headers
    if call.query.get("multipart-manifest") == "put":
        if call.signed_for:
            # It could name segments that its maker could not read.
            raise SwiftError(400, "A manifest is not made by a TempURL.")
        return await large.put_manifest(call)
    length = announced(call)
    if length is not None and length > FILE_BYTES_MAX:
        raise SwiftError(413)
    properties = headers.described(call)
    dress(bucket, properties)
    if "x-symlink-target" in given:
        return await symlinks.put(call, properties)
    check_manifest(call, properties)
    digests = Md5()
    etag = (given.get("etag") or "").strip().strip('"').lower()

    def finish() -> None:
        if etag and digests.hex("MD5") != etag:
            raise SwiftError(422)

    condition = headers.write_condition(call)
    await check_quotas(call, bucket, length)
    await versions.keep(call, bucket, call.key)
    write = Write(properties, encryption.wish_of(bucket.documents), finish, condition, FILE_BYTES_MAX, key_project=bucket.owner)
    version = await objects.put(call.plane, bucket, call.key, call.request.body, digests, write)
    return written(bucket, version, properties)


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
    """The account's own quota. The container's and the project's are checked by the verb."""
    account = await call.plane.directory.find_account(bucket.owner)
    if account is None or (call.bearer is not None and call.bearer.everywhere):
        return
    bytes_max, objects_max = account.documents.get("quota_bytes"), account.documents.get("quota_objects")
    if bytes_max is None and objects_max is None:
        return
    usages = [call.plane.store.usage(id) for id in account.buckets]
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


# --- COPY


async def copy(call: Call) -> Response:
    """COPY with Destination, and PUT with X-Copy-From: the same, seen from either side."""
    given = call.headers
    if call.method == "COPY":
        if "destination" not in given:
            raise SwiftError(412, "Destination header required")
        source_project, source = call.project, (call.container, call.object)
        target_project = _project(call, "destination-account")
        target = headers.path_of(given["destination"], "Destination")
    else:
        if announced(call) not in (0, None):
            raise SwiftError(400, "Copy requests require a zero byte body")
        source_project = _project(call, "x-copy-from-account")
        source = headers.path_of(given["x-copy-from"].partition("?")[0], "X-Copy-From")
        target_project, target = call.project, (call.container, call.object)
        query = given["x-copy-from"].partition("?")[2]
        call.query |= {name: value for name, _, value in (item.partition("=") for item in query.split("&") if item)}
    into = await call.container_of(target[0], target_project)
    if into is None:
        if target_project == call.project:
            call.allow_account()
        raise SwiftError(404) if call.bearer is not None and call.who.project == target_project else call.refuse()
    target_key = target[1].encode()
    check_name(target_key)
    origin = _at(call, source_project, *source)
    await origin.load()
    origin.query = dict(call.query)
    raw = call.query.get("multipart-manifest") == "get"
    found = await resolve(origin)
    call.allow_write(bucket=into, key=target[1])
    properties = _copied(call, found, raw=raw)
    dress(into, properties)
    headers.check_read(call, found.etag.strip('"'), headers.changed_ns(found.version, found.properties))
    if found.size > FILE_BYTES_MAX:
        raise SwiftError(413)
    await check_quotas(call, into, found.size)
    if "symlink" in properties.extra:
        properties.extra = {"symlink": properties.extra["symlink"]}
    if raw and "slo" in found.properties.extra:
        properties.extra["slo"] = found.properties.extra["slo"]
        await large.check_segments(call, found.version, found.properties, target_project, into, target)
    await versions.keep(call, into, target_key)
    digests = Md5()
    write = Write(properties, encryption.wish_of(into.documents), None, None, FILE_BYTES_MAX, key_project=into.owner)
    ranged = objects.ranges(given["range"], found.size) if given.get("range") else None
    if found.parts and "part-number" in call.query:
        ranged = [_part(call, found, {})]
    start, size = (ranged[0].start, ranged[0].length) if ranged else (0, found.size)
    source_bytes: Source
    if ranged:
        source_bytes = FoundSource(call, found, start, size)
    elif (found.version.size == found.size and "slo" not in found.properties.extra) or raw:
        source_bytes = VersionSource(call.plane, found.version, found.properties, await open_key(call, found.properties))
    else:
        source_bytes = FoundSource(call, found, start, size)
    version = await objects.put(call.plane, into, target_key, source_bytes, digests, write)
    more = {
        "X-Copied-From": headers.quoted_path(*source),
        "X-Copied-From-Account": headers.quoted_path(f"AUTH_{source_project}"),
        "X-Copied-From-Last-Modified": headers.http_date(-(-headers.changed_ns(found.version, found.properties) // SECOND)),
        **headers.shown("Object", properties.user),
    }
    if "X-Object-Version-Id" in found.more:
        more["X-Copied-From-Version-Id"] = found.more["X-Object-Version-Id"]
    answer = written(into, version, properties)
    answer.headers = {**answer.headers, **more}
    return answer


def _project(call: Call, header: str) -> str:
    text = call.header(header)
    if text is None:
        return call.project
    name = headers.unquote(headers.utf8(text))
    if "/" in name or not name:
        raise SwiftError(412, f"{header.title()} is not an account")
    prefix, _, project = name.partition("_")
    if prefix != "AUTH" or len(project) != 32:
        raise SwiftError(403) if call.bearer is not None else SwiftError(401)
    return project


def _at(call: Call, project: str, container: str, name: str) -> Call:
    """The same call, about another object."""
    other = object.__new__(Call)
    other.__dict__.update(call.__dict__)
    other.project, other.container, other.object, other.key = project, container, name, name.encode()
    other.account_name, other.info = f"AUTH_{project}", None
    return other


def _copied(call: Call, found: Found, *, raw: bool) -> Properties:
    """The properties of a copy: the source's, with what the request says on top, or (X-Fresh-Metadata) instead."""
    given, old = call.headers, found.properties
    meta = headers.object_meta(given)
    fresh = (given.get("x-fresh-metadata") or "").lower() in ("true", "1", "yes", "on", "t", "y")
    properties = Properties(content_type=old.content_type)
    if not fresh:
        properties.headers = {name: value for name, value in old.headers.items() if raw or name != "x-object-manifest"}
        properties.user, properties.expires_ns, properties.tags = dict(old.user), old.expires_ns, dict(old.tags)
    properties.user |= meta
    for name in headers.KEPT:
        if given.get(name):
            properties.headers[name] = given[name]
    if given.get("content-type"):
        properties.content_type = given["content-type"]
    if given.get("x-delete-at") or given.get("x-delete-after"):
        properties.expires_ns = headers.expiry(given)
    if "symlink" in old.extra and call.query.get("symlink") == "get":
        properties.extra["symlink"] = old.extra["symlink"]
    return properties


# --- POST


async def post(call: Call) -> Response:
    """New metadata in place of the old; type and bytes stay."""
    bucket = call.bucket_or_refuse()
    version_id = version_id_of(call)
    call.allow_write()
    if version_id is not None:
        raise SwiftError(400, "Versions of objects are not changed. Change the object itself.")
    try:
        version, properties = look(call, bucket, call.key, version_id)
    except (NoSuchObject, NoSuchVersion) as error:
        raise SwiftError(404) from error
    if "symlink" in properties.extra and call.query.get("symlink") != "get" and "x-symlink-target" not in call.headers:
        link = properties.extra["symlink"]
        location = f"/v1/{headers.quoted_path(link['account'], link['container'], link['object'])}"
        shown = symlinks.shown(properties, call.account_name)
        text = "The requested POST was applied to a symlink. POST directly to the target to apply requested metadata."
        await objects.change(call.plane, version, lambda kept: _posted(call, kept))
        raise SwiftError(307, text, {"Location": location, **shown})
    if "x-symlink-target" in call.headers:
        raise SwiftError(400, "A PUT request is required to set a symlink target")
    check_manifest(call, headers.described(call))
    await objects.change(call.plane, version, lambda kept: _posted(call, kept))
    return Response(202, {**HTML, **versions_headers(bucket, version)})


def _posted(call: Call, kept: Properties) -> None:
    given = call.headers
    new = headers.described(call)
    kept.user, kept.headers, kept.expires_ns = new.user, new.headers, new.expires_ns
    if given.get("content-type"):
        kept.content_type = given["content-type"]
    kept.extra = {**kept.extra, "posted_ns": int(headers.now() * 100_000) * 10_000}


# --- DELETE


async def delete(call: Call) -> Response:
    if call.query.get("multipart-manifest") == "delete":
        return await large.delete(call)
    bucket = call.bucket_or_refuse()
    version_id = version_id_of(call)
    if version_id is not None:
        call.allow("s3:DeleteObjectVersion", bucket=bucket, key=call.object, permission="WRITE", acl="write")
        return await _delete_version(call, bucket, version_id)
    call.allow_delete()
    return await delete_one(call, bucket, call.key)


async def delete_one(call: Call, bucket: BucketInfo, key: bytes) -> Response:
    """The object, by whichever kind of versioning the container has."""
    if swift_of(bucket).get("versions"):
        answered = await versions.on_delete(call, bucket, key)
        if answered is not None:
            return answered
    headers.check_expiry(call.headers, Properties(expires_ns=-1))
    seen = call.plane.store.get(bucket.id, key)
    there = seen is not None and not seen.delete_marker
    if not there and bucket.versioning != "enabled":
        raise SwiftError(404)
    properties = unpack(seen.meta) if seen is not None and there else None
    headers.check_expiry(call.headers, properties)
    if bucket.versioning == "off" and properties is not None:
        locks.check_deletable(properties, now_ns=locks.ns_of(clock.now()), bypass=False)
    if bucket.versioning == "suspended":
        gone = await _delete_unversioned(call, bucket, key)
    else:
        gone = await objects.delete(call.plane, bucket, key)
    # What has expired is gone to the client, and now to everybody.
    if properties is None or headers.expired(properties):
        raise SwiftError(404, headers={"X-Object-Version-Id": _public(gone.version_id)} if gone.version_id else None)
    return Response(204, HTML | ({"X-Object-Version-Id": _public(gone.version_id)} if gone.version_id else {}))


async def _delete_unversioned(call: Call, bucket: BucketInfo, key: bytes) -> objects.Deleted:
    """While versioning is off again: the object goes without a mark in the history, and what was before it does not come back."""
    seen = call.plane.store.get(bucket.id, key, "null")
    if seen is not None:
        await objects.delete(call.plane, bucket, key, "null")
    await hide(call, bucket, key)
    return objects.Deleted()


async def hide(call: Call, bucket: BucketInfo, key: bytes) -> None:
    """Keep older versions from becoming the object again, as S3 would have it: by a marker that Swift's history leaves out."""
    current = call.plane.store.get(bucket.id, key)
    if current is not None and not current.delete_marker:
        await call.plane.store.add_delete_marker(bucket.id, key, meta=Properties(extra={"hidden": True}).pack())


async def _delete_version(call: Call, bucket: BucketInfo, version_id: str) -> Response:
    gone = call.plane.store.get(bucket.id, call.key, version_id)
    if gone is None and version_id == "null":
        # The object, as opposed to its versions.
        await hide(call, bucket, call.key)
        return Response(204, HTML | {"X-Object-Version-Id": "null"})
    if gone is None:
        raise SwiftError(404, headers={"X-Object-Version-Id": call.query["version-id"]})
    if gone.latest and not gone.delete_marker:
        # First the marker, so that no older version shows in between.
        await _hide_before(call, bucket, gone)
    await objects.delete(call.plane, bucket, call.key, version_id)
    current = call.plane.store.get(bucket.id, call.key)
    more = {"X-Object-Version-Id": call.query["version-id"]}
    if current is not None and not current.delete_marker:
        more["X-Object-Current-Version-Id"] = public_id(current)
    return Response(204, HTML | more)


async def _hide_before(call: Call, bucket: BucketInfo, gone: Version) -> None:
    page = call.plane.store.list_versions(bucket.id, prefix=gone.name, limit=2)
    if sum(one.name == gone.name for one in page.versions) > 1:
        await hide(call, bucket, gone.name)


def _public(id: str) -> str:
    if id == "null":
        return id
    stamp = int(id, 16)
    return f"{stamp // SECOND:010d}.{stamp % SECOND:09d}"


# --- PUT ?version-id: an older version becomes the latest again


async def restore(call: Call) -> Response:
    bucket = call.bucket_or_refuse()
    call.allow_write()
    version_id = version_id_of(call)
    if version_id in ("null", None):
        raise SwiftError(400, "Only a version with an id of its own can become the object again.")
    if announced(call):
        raise SwiftError(400, "Version-aware PUT requests require a zero byte body")
    try:
        version, properties = look(call, bucket, call.key, version_id)
    except (NoSuchObject, NoSuchVersion) as error:
        raise SwiftError(404) from error
    source = VersionSource(call.plane, version, properties, await open_key(call, properties))
    kept = replace(properties, encryption={}, retention=[], legal_hold=False)
    dress(bucket, kept)
    write = Write(kept, encryption.wish_of(bucket.documents), None, None, FILE_BYTES_MAX, key_project=bucket.owner)
    fresh = await objects.put(call.plane, bucket, call.key, source, Md5(), write)
    return written(bucket, fresh, kept)
