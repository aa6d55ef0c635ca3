"""COPY with Destination, and PUT with X-Copy-From: the same, seen from either side."""

from __future__ import annotations

from dataclasses import replace

from storage import encryption, objects
from storage.api.swift import headers, manifests, symlinks, versions
from storage.api.swift.call import Call
from storage.api.swift.errors import SwiftError
from storage.api.swift.found import Found, at_object, look, open_key
from storage.api.swift.history import version_id_of
from storage.api.swift.info import FILE_BYTES_MAX
from storage.api.swift.reading import FoundSource, part_range, resolve
from storage.api.swift.writing import SECOND, Md5, announced, check_name, check_quotas, dress, written
from storage.errors import NoSuchObject, NoSuchVersion
from storage.objects import Source, VersionSource, Write
from storage.properties import Properties
from storage.server import Response


async def copy(call: Call) -> Response:
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
    origin = at_object(call, source_project, *source)
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
        properties.extra = {"symlink": symlinks.moved(properties.extra["symlink"], call, f"AUTH_{target_project}")}
    if raw and "slo" in found.properties.extra:
        properties.extra["slo"] = found.properties.extra["slo"]
        await manifests.check_segments(call, found.version, found.properties, target_project, into, target)
    await versions.keep(call, into, target_key)
    digests = Md5()
    wish, cause = encryption.wish_of(into.documents), call.cause("ObjectCreated:Copy")
    write = Write(properties, wish, None, None, FILE_BYTES_MAX, key_project=into.owner, cause=cause)
    ranged = objects.ranges(given["range"], found.size) if given.get("range") else None
    if found.parts and "part-number" in call.query:
        ranged = [part_range(call, found, {})]
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


# --- PUT ?version-id: an older version becomes the object again


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
    kept = replace(properties, encryption={}, retention=[], legal_hold=False, extra={**properties.extra, "restored": version.id})
    dress(bucket, kept)
    wish, cause = encryption.wish_of(bucket.documents), call.cause("ObjectCreated:Copy")
    write = Write(kept, wish, None, None, FILE_BYTES_MAX, key_project=bucket.owner, cause=cause)
    fresh = await objects.put(call.plane, bucket, call.key, source, Md5(), write)
    return written(bucket, fresh, kept)
