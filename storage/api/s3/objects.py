"""Objects: PUT, GET, HEAD, DELETE, copies, attributes, and deleting many."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from urllib.parse import quote, unquote_to_bytes

from cloudbox.common.errors import CloudError
from storage import lifecycle, objects
from storage.api.s3 import acl_wire, checksums, headers, manifests, signing, xml
from storage.api.s3.call import Call
from storage.api.s3.errors import S3Error, code_of
from storage.api.s3.headers import quoted
from storage.directory import BucketInfo
from storage.engine import Version
from storage.errors import NoSuchObject, NoSuchVersion, PartNumberOutside
from storage.objects import Content, Range, Write
from storage.properties import Properties, unpack
from storage.server import Response, in_task

DELETE_MAX = 1000
TOGETHER = 100
SECOND = 1_000_000_000
RANGES_MAX = 100


# --- PUT


async def put_object(call: Call) -> Response:
    if "x-amz-copy-source" in call.headers:
        return await copy_object(call)
    name, bucket = call.check_key(), call.bucket
    if not name:
        raise S3Error("MethodNotAllowed")
    _may_write(call)
    _also_allowed(call)
    properties = headers.new_properties(call)
    if acl_wire.needs_resolving(properties):
        properties.acl = await acl_wire.resolve(call, properties.acl)
    # AWS refuses bodies of unknown length; Ceph takes them, and so may streaming clients here.
    incoming = signing.incoming(call.request.body, call.headers, call.claims, call.signing_key, sized=False)
    algorithm = incoming.algorithm.lower()

    def finish() -> None:
        incoming.finish()
        if algorithm:
            properties.checksums, properties.checksum_type = {algorithm: incoming.checksum}, "FULL_OBJECT"

    write = Write(
        properties,
        headers.wish(call.headers, bucket),
        finish,
        headers.write_condition(call.headers),
        key_project=bucket.owner,
        cause=call.cause("ObjectCreated:Put"),
    )
    version = await objects.put(call.plane, bucket, name, incoming.body, incoming.digests, write)
    return Response(200, written(version, properties, bucket))


def _may_write(call: Call) -> None:
    call.allow("s3:PutObject", key=call.key_text, permission="WRITE")


def _also_allowed(call: Call) -> None:
    """What some headers of a write need besides s3:PutObject."""
    given = call.headers
    if "x-amz-tagging" in given and call.judge("s3:PutObjectTagging", key=call.key_text, permission="WRITE").denied:
        raise S3Error("AccessDenied", "The bucket's policy denies tags.")
    if call.bucket.object_lock:
        if "x-amz-object-lock-mode" in given:
            call.allow("s3:PutObjectRetention", key=call.key_text, permission="WRITE")
        if "x-amz-object-lock-legal-hold" in given:
            call.allow("s3:PutObjectLegalHold", key=call.key_text, permission="WRITE")


def written(version: Version, properties: Properties, bucket: BucketInfo) -> dict[str, str]:
    """The headers that answer a write."""
    found = {"ETag": quoted(version.etag)}
    if bucket.versioning == "enabled":
        found["x-amz-version-id"] = version.id
    if properties.encryption:
        found |= headers.encryption_headers(properties.encryption)
    if properties.checksums:
        found |= headers.checksum_headers(properties)
    if bucket.lifecycle:
        found |= expiration(bucket, version, properties)
    return found


def expiration(bucket: BucketInfo, version: Version, properties: Properties) -> dict[str, str]:
    """x-amz-expiration: when the lifecycle will remove it."""
    modified = lifecycle.moment_of(version.modified_ns)
    found = lifecycle.expiry(bucket.lifecycle, lifecycle.Seen(version.name, modified, version.size, properties.tags))
    if found is None:
        return {}
    due, rule = found
    ends, name = headers.http_date(int(due.timestamp())), quote(rule, safe="")
    return {"x-amz-expiration": f'expiry-date="{ends}", rule-id="{name}"'}


# --- copy


async def source_of(call: Call) -> tuple[BucketInfo, Version, Properties, bytes]:
    """The object that x-amz-copy-source names, with its data key, if it may be read and its conditions hold."""
    text = call.headers["x-amz-copy-source"]
    path, _, query = text.partition("?")
    version_id = None
    if query:
        name, _, value = query.partition("=")
        if name != "versionId":
            raise S3Error("InvalidArgument", "Copy Source must mention the source bucket and key: sourcebucket/sourcekey")
        version_id = value or None
    bucket_name, slash, key = unquote_to_bytes(path.lstrip("/")).partition(b"/")
    if not slash or not key or not bucket_name:
        raise S3Error("InvalidArgument", "Copy Source must mention the source bucket and key: sourcebucket/sourcekey")
    info = await call.bucket_of(bucket_name.decode("utf-8", "replace"))
    key_text = key.decode("utf-8", "surrogateescape")
    action = "s3:GetObject" if version_id is None else "s3:GetObjectVersion"
    try:
        version = objects.find(call.plane, info, key, version_id)
    except (NoSuchObject, NoSuchVersion):
        if not call.judge("s3:ListBucket", permission="READ", bucket=info):
            raise S3Error("AccessDenied") from None
        raise
    properties = unpack(version.meta)
    if not call.judge(action, key=key_text, permission="READ", bucket=info, version=version, properties=properties):
        raise S3Error("AccessDenied", "You may not read the source of the copy.")
    version = manifests.shown(version, properties)
    headers.check_read(call.headers, version, "x-amz-copy-source-")
    data_key = await objects.open_key(call.plane, properties, headers.customer_key(call.headers, source=True))
    return info, version, properties, data_key


async def copy_object(call: Call) -> Response:
    name, bucket = call.check_key(), call.bucket
    given = call.headers
    _may_write(call)
    _also_allowed(call)
    source_bucket, source, old, old_key = await source_of(call)
    if source.size > objects.PUT_MAX_BYTES:
        raise S3Error("InvalidRequest", "The specified copy source is larger than the maximum allowable size for a copy source: 5368709120")
    directive = given.get("x-amz-metadata-directive", "COPY")
    tagging = given.get("x-amz-tagging-directive", "COPY")
    for word, of in ((directive, "x-amz-metadata-directive"), (tagging, "x-amz-tagging-directive")):
        if word not in ("COPY", "REPLACE"):
            raise S3Error("InvalidArgument", "Unknown metadata directive.", ArgumentName=of, ArgumentValue=word)
    described = headers.described(given)
    properties = described
    if directive == "COPY":
        properties = Properties(content_type=old.content_type, headers=dict(old.headers), user=dict(old.user))
        properties.storage_class, properties.redirect = described.storage_class, described.redirect
    headers.dress(call, properties)
    if tagging == "COPY":
        properties.tags = dict(old.tags)
    if acl_wire.needs_resolving(properties):
        properties.acl = await acl_wire.resolve(call, properties.acl)
    wish = headers.wish(given, bucket)
    itself = source_bucket.id == bucket.id and source.name == name and source.latest
    if (
        itself
        and directive == "COPY"
        and not wish
        and not described.storage_class
        and not described.redirect
        and bucket.versioning != "enabled"
    ):
        raise S3Error(
            "InvalidRequest",
            "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, "
            "storage class, website redirect location or encryption attributes.",
        )
    wanted = (given.get("x-amz-checksum-algorithm") or "").lower()
    if wanted and wanted.upper() not in checksums.ALGORITHMS:
        raise S3Error("InvalidRequest", "Checksum algorithm provided is unsupported.")
    algorithm = wanted or (next(iter(old.checksums), "") if old.checksum_type != "COMPOSITE" else "")
    digests = checksums.Digests(["MD5", *([algorithm.upper()] if algorithm else [])])

    def finish() -> None:
        if algorithm:
            properties.checksums, properties.checksum_type = {algorithm: digests.base64(algorithm.upper())}, "FULL_OBJECT"

    cause = call.cause("ObjectCreated:Copy")
    write = Write(properties, wish, finish, headers.write_condition(given), key_project=bucket.owner, cause=cause)
    body = await manifests.source(call, source_bucket, source, old, old_key)
    version = await objects.put(call.plane, bucket, name, body, digests, write)
    found = written(version, properties, bucket)
    etag = found.pop("ETag")
    if source_bucket.versioning != "off":
        found["x-amz-copy-source-version-id"] = source.id
    content = xml.element("LastModified", xml.iso(version.modified_ns)) + f"<ETag>{xml.escape(etag)}</ETag>"
    content += checksum_elements(properties)
    return Response(200, found | {"Content-Type": "application/xml"}, xml.document("CopyObjectResult", content))


def checksum_elements(properties: Properties) -> str:
    out = "".join(xml.element(f"Checksum{name.upper()}", value) for name, value in properties.checksums.items())
    return out + xml.element("ChecksumType", properties.checksum_type or None)


# --- GET and HEAD


def find(call: Call, action: str, version_action: str, permission: str = "READ") -> tuple[Version, Properties]:
    """The object of the call, if it may be touched so. Who may not list the bucket is not told what is missing."""
    version_id = call.version_id
    try:
        version = objects.find(call.plane, call.bucket, call.check_key(), version_id)
    except CloudError:
        if not call.judge("s3:ListBucket", permission="READ", more={"s3:prefix": [call.key_text]}):
            raise S3Error("AccessDenied") from None
        raise
    properties = unpack(version.meta)
    call.allow_object(action if version_id is None else version_action, permission, properties, version=version)
    return version, properties


async def get_object(call: Call) -> Response:
    version, properties = find(call, "s3:GetObject", "s3:GetObjectVersion")
    version = manifests.shown(version, properties)
    given = call.headers
    headers.check_read(given, version)
    headers.refuse_encryption_on_read(given)
    head = call.request.method == "HEAD"
    found = headers.of_version(version, properties, call.bucket)
    if properties.checksums and given.get("x-amz-checksum-mode", "").upper() == "ENABLED" and "range" not in given:
        found |= headers.checksum_headers(properties)  # Of the whole: of a range it would be wrong.
    wanted = await _wanted(call, version, properties, found)
    key = b""
    customer = headers.customer_key(given) if "x-amz-server-side-encryption-customer-algorithm" in given or properties.encryption else None
    if properties.encryption or customer is not None:
        key = await objects.open_key(call.plane, properties, customer)
    if call.query:
        found |= headers.overrides(call)
    if call.bucket.lifecycle:
        found |= expiration(call.bucket, version, properties)
    if wanted is None:
        if head:
            return Response(200, found, length=version.size)
        return Response(200, found, await _body(call, version, properties, key, 0, version.size), length=version.size)
    if len(wanted) == 1:
        one = wanted[0]
        found["Content-Range"] = f"bytes {one.start}-{one.start + one.length - 1}/{version.size}"
        if version.size == 0:
            del found["Content-Range"]
        if head:
            return Response(206, found, length=one.length)
        return Response(206, found, await _body(call, version, properties, key, one.start, one.length), length=one.length)
    return _multipart(call, version, properties, key, wanted, found, head)


async def _body(call: Call, version: Version, properties: Properties, key: bytes, start: int, length: int) -> Content:
    got = await manifests.content(call, call.bucket, version, properties, key, start, length)
    if not isinstance(got, bytes | Sequence):
        await in_task()
    return got


async def _wanted(call: Call, version: Version, properties: Properties, found: dict[str, str]) -> list[Range] | None:
    """The ranges to send, by Range or partNumber; None for the whole."""
    number = call.query.get("partNumber")
    header = call.header("range")
    if number is not None:
        if header is not None:
            raise S3Error("InvalidRequest", "Cannot specify both Range header and partNumber query parameter")
        if not number.isascii() or not number.isdecimal() or not 1 <= int(number) <= 10_000:
            raise S3Error("InvalidArgument", "Part number must be an integer between 1 and 10000, inclusive", ArgumentName="partNumber")
        return [await _part(call, version, properties, int(number), found)]
    if header is None:
        return None
    if_range = call.header("if-range")
    if if_range is not None:
        date = headers.date_of(if_range) if not if_range.startswith(('"', "W/")) else None
        fresh = if_range.strip('"') == version.etag if date is None else version.modified_ns // SECOND <= date
        if not fresh:
            return None
    ranges = objects.ranges(header, version.size)
    return None if ranges is not None and len(ranges) > RANGES_MAX else ranges


async def _part(call: Call, version: Version, properties: Properties, number: int, found: dict[str, str]) -> Range:
    if not version.manifest:
        if number != 1:
            raise PartNumberOutside("The requested partnumber is not satisfiable")
        return Range(0, version.size)
    parts = await call.plane.store.parts(version)
    found["x-amz-mp-parts-count"] = str(len(parts))
    start = 0
    for position, part in enumerate(parts, 1):
        if position == number:
            _part_checksum(properties, part.facts, found)
            return Range(start, part.size)
        start += part.size
    raise PartNumberOutside("The requested partnumber is not satisfiable")


def _part_checksum(properties: Properties, facts: bytes, found: dict[str, str]) -> None:
    """With partNumber the checksum told is the part's."""
    digest = objects.part_facts(facts).checksum
    for name in properties.checksums:
        header = f"x-amz-checksum-{name}"
        if header in found and digest:
            found[header] = checksums.encoded(digest)


def _multipart(
    call: Call, version: Version, properties: Properties, key: bytes, wanted: list[Range], found: dict[str, str], head: bool
) -> Response:
    """Several ranges in one answer: multipart/byteranges."""
    boundary = secrets.token_hex(16)
    kind = found["Content-Type"]
    found["Content-Type"] = f"multipart/byteranges; boundary={boundary}"

    def intro(one: Range) -> bytes:
        place = f"Content-Range: bytes {one.start}-{one.start + one.length - 1}/{version.size}"
        return f"\r\n--{boundary}\r\nContent-Type: {kind}\r\n{place}\r\n\r\n".encode("latin-1")

    end = f"\r\n--{boundary}--\r\n".encode()
    length = sum(len(intro(one)) + one.length for one in wanted) + len(end)
    if head:
        return Response(206, found, length=length)

    async def pieces() -> AsyncIterator[bytes]:
        for one in wanted:
            yield intro(one)
            got = await manifests.content(call, call.bucket, version, properties, key, one.start, one.length)
            if isinstance(got, bytes):
                yield got
            elif isinstance(got, Sequence):
                for view in got:
                    assert not isinstance(view, int)
                    view.close()
                async for piece in call.plane.store.stream(version, one.start, one.length):
                    yield piece
            else:
                async for piece in got:
                    yield piece
        yield end

    return Response(206, found, pieces(), length=length)


async def get_attributes(call: Call) -> Response:
    """GetObjectAttributes: only what is asked for."""
    version, properties = find(call, "s3:GetObjectAttributes", "s3:GetObjectVersionAttributes")
    call.allow_object("s3:GetObject" if call.version_id is None else "s3:GetObjectVersion", "READ", properties, version=version)
    asked = {word.strip() for word in (call.header("x-amz-object-attributes") or "").split(",") if word.strip()}
    known = {"ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"}
    if not asked or asked - known:
        raise S3Error("InvalidArgument", "Invalid attribute name specified.", ArgumentName="x-amz-object-attributes")
    await objects.open_key(call.plane, properties, headers.customer_key(call.headers))
    found = {"Last-Modified": headers.http_date(version.modified_ns // SECOND), "Content-Type": "application/xml"}
    if call.bucket.versioning != "off":
        found["x-amz-version-id"] = version.id
    out = ""
    if "ETag" in asked:
        out += xml.element("ETag", version.etag)
    if "Checksum" in asked and properties.checksums:
        out += f"<Checksum>{checksum_elements(properties)}</Checksum>"
    if "ObjectParts" in asked and version.manifest:
        out += await _object_parts(call, version, properties)
    if "StorageClass" in asked:
        out += xml.element("StorageClass", properties.storage_class or "STANDARD")
    if "ObjectSize" in asked:
        out += xml.element("ObjectSize", version.size)
    return Response(200, found, xml.document("GetObjectAttributesResponse", out))


async def _object_parts(call: Call, version: Version, properties: Properties) -> str:
    limit = _number(call.header("x-amz-max-parts"), "x-amz-max-parts", 1000)
    after = _number(call.header("x-amz-part-number-marker"), "x-amz-part-number-marker", 0)
    parts = await call.plane.store.parts(version)
    page = [(position, part) for position, part in enumerate(parts, 1) if position > after][: min(limit, 1000)]
    algorithm = next(iter(properties.checksums), "")
    rows = []
    for position, part in page:
        digest = objects.part_facts(part.facts).checksum
        checksum = xml.element(f"Checksum{algorithm.upper()}", checksums.encoded(digest)) if digest and algorithm else ""
        rows.append(f"<Part>{checksum}{xml.element('PartNumber', position)}{xml.element('Size', part.size)}</Part>")
    last = page[-1][0] if page else after
    return (
        f"<ObjectParts>{xml.element('IsTruncated', last < len(parts))}{xml.element('MaxParts', limit)}"
        f"{xml.element('NextPartNumberMarker', last)}{xml.element('PartNumberMarker', after)}{''.join(rows)}"
        f"{xml.element('PartsCount', len(parts))}</ObjectParts>"
    )


def _number(text: str | None, name: str, default: int) -> int:
    if text is None or text == "":
        return default
    if not text.isascii() or not text.isdecimal() or len(text) > 9:
        raise S3Error("InvalidArgument", f"Provided {name} not an integer or within integer range", ArgumentName=name, ArgumentValue=text)
    return int(text)


async def no_torrent(call: Call) -> Response:
    """There are no torrents, of no object."""
    find(call, "s3:GetObjectTorrent", "s3:GetObjectVersionTorrent")
    raise S3Error("NoSuchKey", "There is no torrent of this object.")


# --- DELETE


async def delete_object(call: Call) -> Response:
    version_id = call.version_id
    call.allow("s3:DeleteObject" if version_id is None else "s3:DeleteObjectVersion", key=call.key_text, permission="WRITE")
    condition = headers.delete_condition(
        call.header("if-match"), call.header("x-amz-if-match-size"), call.header("x-amz-if-match-last-modified-time")
    )
    gone = await objects.delete(
        call.plane,
        call.bucket,
        call.check_key(),
        version_id,
        bypass=_bypass(call, call.key_text),
        condition=condition,
        cause=call.cause("ObjectRemoved"),
    )
    return Response(204, _deleted_headers(gone))


def _deleted_headers(gone: objects.Deleted) -> dict[str, str]:
    found = {"x-amz-delete-marker": "true"} if gone.marker else {}
    if gone.version_id:
        found["x-amz-version-id"] = gone.version_id
    return found


def _bypass(call: Call, key: str) -> bool:
    """Does the request ask to bypass a GOVERNANCE retention, and may it?"""
    if (call.header("x-amz-bypass-governance-retention") or "").lower() != "true":
        return False
    return call.judge("s3:BypassGovernanceRetention", key=key).allowed


async def delete_objects(call: Call) -> Response:
    """Up to 1,000 at once; each has its own outcome."""
    document = await call.xml("Delete")
    wanted = document.all("Object")
    if not 1 <= len(wanted) <= DELETE_MAX:
        raise S3Error("MalformedXML")
    quiet = (document.get("Quiet") or "").lower() == "true"
    await in_task()
    out: list[str] = []
    for first in range(0, len(wanted), TOGETHER):
        # Together, so that they share a few commits; a name that comes twice keeps its order well enough: both are deletions.
        out += await asyncio.gather(*(_delete_one(call, one, quiet) for one in wanted[first : first + TOGETHER]))
    return Response(200, {"Content-Type": "application/xml"}, xml.document("DeleteResult", *out))


async def _delete_one(call: Call, wanted: xml.Element, quiet: bool) -> str:
    key = wanted.find("Key")
    if key is None:
        raise S3Error("MalformedXML")
    name, version_id = key.text, wanted.get("VersionId") or None
    about = xml.element("Key", name)
    try:
        action = "s3:DeleteObject" if version_id is None else "s3:DeleteObjectVersion"
        call.allow(action, key=name, permission="WRITE")
        raw = name.encode("utf-8", "surrogateescape")
        if not 1 <= len(raw) <= 1024:
            raise S3Error("KeyTooLongError" if raw else "UserKeyMustBeSpecified", "Your key is too long or empty")
        condition = headers.delete_condition(wanted.get("ETag"), wanted.get("Size"), wanted.get("LastModifiedTime"))
        bypass, cause = _bypass(call, name), call.cause("ObjectRemoved")
        gone = await objects.delete(call.plane, call.bucket, raw, version_id, bypass=bypass, condition=condition, cause=cause)
    except CloudError as error:
        code = code_of(error)
        shown = about + xml.element("VersionId", version_id)
        return f"<Error>{shown}{xml.element('Code', code)}{xml.element('Message', error.message)}</Error>"
    if quiet:
        return ""
    if version_id is not None:
        about += xml.element("VersionId", version_id)
    if gone.marker:
        about += "<DeleteMarker>true</DeleteMarker>" + xml.element("DeleteMarkerVersionId", gone.version_id)
    return f"<Deleted>{about}</Deleted>"
