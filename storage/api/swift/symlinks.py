"""Links: objects that stand for another one (X-Symlink-Target)."""

from __future__ import annotations

from typing import Any

from storage import encryption, objects
from storage.api.swift import headers, versions
from storage.api.swift.acls import READS
from storage.api.swift.call import Call
from storage.api.swift.errors import SwiftError
from storage.api.swift.found import at_object, look
from storage.api.swift.history import versions_headers
from storage.api.swift.info import FILE_BYTES_MAX, SYMLINKS_MAX
from storage.api.swift.writing import Md5, announced, written
from storage.directory import BucketInfo
from storage.engine import Version
from storage.errors import NoSuchObject, NoSuchVersion
from storage.objects import Write
from storage.properties import Properties
from storage.server import Response


async def put(call: Call, properties: Properties) -> Response:
    """A link has no bytes. With X-Symlink-Target-Etag it is static: the target must be, and stay, what it was."""
    given = call.headers
    bucket = call.bucket
    if announced(call) not in (0, None):
        raise SwiftError(400, "Symlink requests require a zero byte body")
    if "x-object-manifest" in properties.headers or call.query.get("multipart-manifest") == "put":
        raise SwiftError(400, "A symlink cannot be a manifest")
    link = _target(call)
    if not given.get("content-type"):
        properties.content_type = "application/symlink"
    text = given.get("x-symlink-target-etag", "").strip().strip('"')
    if text:
        link |= await _static(call, link, text, properties)
    properties.extra["symlink"] = link
    await versions.keep(call, bucket, call.key)
    condition, cause = headers.write_condition(call), call.cause("ObjectCreated:Put")
    write = Write(properties, encryption.PLAIN, None, condition, FILE_BYTES_MAX, key_project=bucket.owner, cause=cause)
    version = await objects.put(call.plane, bucket, call.key, call.request.body, Md5(), write)
    answer = written(bucket, version, properties)
    if link.get("etag"):
        answer.headers = {
            **answer.headers,
            "Content-Location": f"/v1/{headers.quoted_path(link['account'], link['container'], link['object'])}",
        }
    return answer


def _target(call: Call) -> dict[str, Any]:
    given = call.headers
    text = headers.unquote(headers.utf8(given["x-symlink-target"]))
    container, slash, name = text.lstrip("/").partition("/") if not text.startswith("//") else ("", "", "")
    if not slash or not container or not name:
        raise SwiftError(412, "X-Symlink-Target header must be of the form <container name>/<object name>")
    account = headers.unquote(headers.utf8(given.get("x-symlink-target-account", ""))) or call.account_name
    if "/" in account:
        raise SwiftError(412, "Account name cannot contain slashes")
    if (account, container, name) == (call.account_name, call.container, call.object):
        raise SwiftError(400, "Symlink cannot target itself")
    link = {"account": account, "container": container, "object": name}
    # Without an account of its own the link means that of where it lies, also once it has been copied elsewhere.
    return link if "x-symlink-target-account" in given else link | {"here": True}


def moved(link: dict[str, Any], call: Call, account: str) -> dict[str, Any]:
    """A link as it is copied into an account."""
    given = call.header("x-symlink-target-account")
    if given:
        return {name: value for name, value in link.items() if name != "here"} | {"account": headers.unquote(headers.utf8(given))}
    return link | {"account": account} if link.get("here") else link


async def _static(call: Call, link: dict[str, Any], etag: str, properties: Properties) -> dict[str, Any]:
    """The facts of a static link's target; 409 if it is not what the client says."""
    at = at_object(call, link["account"].partition("_")[2], link["container"], link["object"])
    await at.load()
    if at.info is None:
        raise SwiftError(409, "X-Symlink-Target does not exist")
    try:
        version, kept = look(at, at.info, at.key, None)
    except NoSuchObject as error:
        raise SwiftError(409, "X-Symlink-Target does not exist") from error
    at.allow_read(kept)
    if etag not in _etags(version, kept):
        shown = _etags(version, kept)[0]
        raise SwiftError(409, f"Object Etag {shown!r} does not match X-Symlink-Target-Etag header {etag!r}")
    size = (
        kept.extra["slo"]["size"]
        if "slo" in kept.extra
        else kept.extra["symlink"].get("bytes", 0)
        if "symlink" in kept.extra
        else version.size
    )
    # A link of no type of its own has its target's.
    if not call.header("content-type"):
        properties.content_type = kept.content_type
    facts = {"etag": etag, "bytes": size}
    return facts | ({"slo_etag": kept.extra["slo"]["etag"]} if "slo" in kept.extra else {})


def _etags(version: Version, properties: Properties) -> list[str]:
    """What a static link calls its target: of a static link that link's own word, of a manifest the manifest's digest."""
    if "symlink" in properties.extra:
        return [properties.extra["symlink"].get("etag") or version.etag]
    return [version.etag]


async def follow(call: Call, properties: Properties) -> tuple[BucketInfo, Version, Properties, dict[str, str]]:
    """What the chain of links ends at, which must be readable, and the headers that tell so."""
    hops = 0
    while True:
        link = properties.extra["symlink"]
        hops += 1
        if hops > SYMLINKS_MAX:
            raise SwiftError(409, f"Too many levels of symbolic links, maximum allowed is {SYMLINKS_MAX}")
        location = {"Content-Location": f"/v1/{headers.quoted_path(link['account'], link['container'], link['object'])}"}
        at = at_object(call, link["account"].partition("_")[2], link["container"], link["object"])
        await at.load()
        if at.info is None:
            if at.level() < READS and not (call.signed_for and at.project == call.signed_project):
                raise at.refuse()
            raise SwiftError(404, headers=location)
        try:
            version, properties = look(at, at.info, at.key, None)
        except (NoSuchObject, NoSuchVersion):
            at.allow_read()
            raise SwiftError(404, headers=location) from None
        try:
            at.allow_read(properties)
        except SwiftError as refused:
            refused.headers |= location
            raise
        if link.get("etag") and link["etag"] not in _etags(version, properties):
            text = f"Object Etag {version.etag!r} does not match X-Symlink-Target-Etag header {link['etag']!r}"
            raise SwiftError(409, text, location)
        if "symlink" not in properties.extra:
            return at.info, version, properties, location | versions_headers(at.info, version)


def shown(properties: Properties, account: str) -> dict[str, str]:
    """The headers of a link itself (?symlink=get)."""
    link = properties.extra["symlink"]
    found = {"X-Symlink-Target": headers.quoted_path(link["container"], link["object"])}
    if link["account"] != account:
        found["X-Symlink-Target-Account"] = headers.quoted_path(link["account"])
    if link.get("etag"):
        found |= {"X-Symlink-Target-Etag": link["etag"], "X-Symlink-Target-Bytes": str(link["bytes"])}
    return found
