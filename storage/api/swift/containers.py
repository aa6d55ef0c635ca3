"""Containers: made, listed, configured, deleted."""

from __future__ import annotations

from typing import Any

from cloudbox.common.errors import CloudError, Conflict
from identity.context import Context
from storage import buckets
from storage.api.swift import acls, formpost, headers, history, listings, staticweb
from storage.api.swift.acls import WRITES, AclInvalid
from storage.api.swift.call import CONTAINER_LENGTH_MAX, Call, swift_of
from storage.api.swift.errors import SwiftError
from storage.api.swift.listings import Row, object_row
from storage.directory import BucketInfo
from storage.engine import STORAGE_CLASSES, Version
from storage.errors import BucketAlreadyYours
from storage.models import Bucket
from storage.server import Response

TRUE = ("true", "1", "yes", "on", "t", "y")
SECRET = ("temp-url-key", "temp-url-key-2")


def facts(call: Call, bucket: BucketInfo) -> dict[str, str]:
    """What every answer about a container tells."""
    usage = call.plane.store.usage(bucket.id)
    kept = swift_of(bucket)
    meta = {name: value for name, value in kept.get("meta", {}).items() if call.is_owner or name not in SECRET}
    found = {
        "X-Container-Object-Count": str(usage.objects),
        "X-Container-Bytes-Used": str(usage.bytes),
        "X-Timestamp": headers.timestamp(int(bucket.created * 1_000_000) * 1000),
        "Last-Modified": headers.http_date(int(-(-max(bucket.created, kept.get("changed", 0)) // 1))),
        "X-Storage-Policy": bucket.storage_class.name,
        "Accept-Ranges": "bytes",
        **headers.shown("Container", meta),
    }
    if call.is_owner:
        for header, name in (("X-Container-Read", "read"), ("X-Container-Write", "write"), ("X-Container-Sync-Key", "sync_key")):
            if kept.get(name):
                found[header] = headers.wire(kept[name])
    if bucket.versioning != "off":
        found["X-Versions-Enabled"] = str(bucket.versioning == "enabled")
    if kept.get("versions"):
        found["X-Versions-Location" if kept.get("versions_mode") == "stack" else "X-History-Location"] = headers.quoted_path(
            kept["versions"]
        )
    return found


async def get(call: Call) -> Response:
    """GET and HEAD."""
    bucket = call.bucket_or_refuse()
    if call.signed_for:
        # A signature opens the pages of a site, never the listing itself.
        web = await staticweb.container(call, may_list=call.signed_prefix == "")
        if web is None:
            raise SwiftError(401)
        return web
    if call.flag("versions"):
        call.allow("s3:ListBucketVersions", bucket=bucket, permission="READ")
    elif not call.judge("s3:ListBucket", bucket=bucket, permission="READ", acl="read"):
        web = await staticweb.container(call, may_list=False)
        if web is not None:
            return web
        raise call.refuse()
    if call.method == "HEAD":
        kind = listings.kind_of(call)[1]
        return Response(204, facts(call, bucket) | {"Content-Type": f"{kind}; charset=utf-8"})
    web = await staticweb.container(call, may_list=True)
    if web is not None:
        return web
    limit = listings.limit_of(call)
    rows = history.rows(call, bucket, limit) if call.flag("versions") else rows_of(call, bucket, limit)
    return listings.answer(call, rows, facts(call, bucket), root="container", name=call.container, element="object")


def rows_of(call: Call, bucket: BucketInfo, limit: int) -> list[Row]:
    """The page of the listing that the query asks for."""
    query = call.query
    prefix, delimiter = query.get("prefix", "").encode(), query.get("delimiter", "").encode()
    if "path" in query:
        path = query["path"].encode()
        prefix, delimiter = path.rstrip(b"/") + b"/" if path else b"", b"/"
    marker, end = query.get("marker", "").encode(), query.get("end_marker", "").encode()
    reverse = listings.reverse_of(call)
    listing = _backward if reverse else _forward
    found: list[Row] = listing(call, bucket, prefix, delimiter, marker, end, limit)
    if "path" in query:
        found = [row for row in found if "subdir" not in row and row["name"].encode() != prefix]
    return found


def _forward(call: Call, bucket: BucketInfo, prefix: bytes, delimiter: bytes, marker: bytes, end: bytes, limit: int) -> list[Row]:
    rows: list[Row] = []
    after = marker
    while len(rows) < limit:
        page = call.plane.store.list(bucket.id, prefix=prefix, delimiter=delimiter, after=after, limit=min(1000, limit - len(rows)))
        merged = sorted([(one.name, one) for one in page.versions] + [(one, None) for one in page.prefixes], key=lambda pair: pair[0])
        for name, version in merged:
            if end and name >= end:
                return rows
            rows.append({"subdir": name.decode("utf-8", "replace")} if version is None else _row(call, bucket, version))
        if page.next is None:
            break
        after = page.next[0]
    return rows


def _row(call: Call, bucket: BucketInfo, version: Version) -> Row:
    """With versioning, an object is a link to its latest version."""
    found = object_row(version)
    if bucket.versioning != "off" and not version.null and "symlink_path" not in found:
        path = headers.quoted_path(call.account_name, bucket.name, found["name"])
        found |= {"symlink_path": f"/v1/{path}?version-id={history.public_id(version)}", "version_symlink": True}
    return found


def _backward(call: Call, bucket: BucketInfo, prefix: bytes, delimiter: bytes, marker: bytes, end: bytes, limit: int) -> list[Row]:
    """From the end to the beginning. The index is walked forward and the last rows are kept, so its cost is that of the whole container."""
    kept: list[Row] = []
    after = end
    while True:
        page = call.plane.store.list(bucket.id, prefix=prefix, delimiter=delimiter, after=after, limit=1000)
        merged = sorted([(one.name, one) for one in page.versions] + [(one, None) for one in page.prefixes], key=lambda pair: pair[0])
        for name, version in merged:
            if marker and name >= marker:
                return kept[::-1]
            kept.append({"subdir": name.decode("utf-8", "replace")} if version is None else object_row(version))
        kept = kept[-limit:] if limit else []
        if page.next is None or not limit:
            return kept[::-1]
        after = page.next[0]


# --- changing


async def put(call: Call) -> Response:
    if call.flag("extract-archive"):
        from storage.api.swift import bulk

        return await bulk.extract(call)
    call.allow_account(WRITES)
    if len(call.container.encode()) > CONTAINER_LENGTH_MAX:
        raise SwiftError(400, f"Container name length of {len(call.container.encode())} longer than {CONTAINER_LENGTH_MAX}")
    policy = call.header("x-storage-policy")
    if policy and policy.lower() not in STORAGE_CLASSES:
        raise SwiftError(400, f"Invalid X-Storage-Policy '{policy}'")
    change = changes(call)
    if call.info is not None:
        if policy and policy.lower() != call.info.storage_class.name:
            raise SwiftError(409, "The container has another storage policy.")
        if change:
            await call.verb(_configure, call.info.id, change)
        return Response(202, {"Content-Type": "text/html; charset=UTF-8"})
    try:
        storage_class = (policy or call.plane.storage_class).lower()
        await call.verb(_create, call.container, storage_class, change)
    except BucketAlreadyYours:
        return Response(202, {"Content-Type": "text/html; charset=UTF-8"})
    return Response(201, {"Content-Type": "text/html; charset=UTF-8"})


def _create(ctx: Context, name: str, storage_class: str, change: dict[str, Any]) -> None:
    row = buckets.create(ctx, name=name, storage_class=storage_class, shared_name=False)
    if change:
        _configure(ctx, row.id, change)


async def post(call: Call) -> Response:
    if (call.header("content-type") or "").startswith("multipart/form-data"):
        return await formpost.post(call)
    call.allow_account(WRITES)
    if call.info is None:
        raise SwiftError(404)
    change = changes(call)
    if change:
        await call.verb(_configure, call.info.id, change)
    return Response(204, {"Content-Type": "text/html; charset=UTF-8"})


def changes(call: Call) -> dict[str, Any]:
    """What a PUT or POST sets, checked. Empty if nothing."""
    given = call.headers if call.is_owner else {name: value for name, value in call.headers.items() if not _is_private(name)}
    change: dict[str, Any] = {}
    if any(name.startswith(("x-container-meta-", "x-remove-container-meta-")) for name in given):
        known = swift_of(call.info).get("meta", {}) if call.info else {}
        headers.metadata(given, "container", known=known)
        change["meta"] = {name: value for name, value in given.items() if "container-meta-" in name}
    for kind in ("read", "write"):
        header = f"x-container-{kind}"
        if given.get(f"x-remove-container-{kind}"):
            change[kind] = ""
        elif header in given:
            try:
                change[kind] = acls.clean(header, headers.utf8(given[header]))
            except AclInvalid as error:
                raise SwiftError(400, f"ACL: {error}") from error
    if given.get("x-container-sync-to"):
        raise SwiftError(400, "Containers are not kept in step with those of other clusters here. Leave X-Container-Sync-To out.")
    if "x-container-sync-key" in given:
        change["sync_key"] = given["x-container-sync-key"]
    if "x-container-rfc-compliant-etags" in given:
        change["rfc_etags"] = headers.flag_of(given["x-container-rfc-compliant-etags"])
    for header, name in (("x-container-meta-quota-bytes", "quota_bytes"), ("x-container-meta-quota-count", "quota_objects")):
        if header in given:
            if given[header] and (not given[header].isdecimal() or len(given[header]) > 18):
                raise SwiftError(400, "Invalid bytes quota." if name == "quota_bytes" else "Invalid count quota.")
            change[name] = int(given[header]) if given[header] else None
        elif header.replace("x-", "x-remove-", 1) in given:
            change[name] = None
    change |= _versioning(call)
    return change


def _is_private(header: str) -> bool:
    """What only the account's owners set. From others it is passed over, as Swift does."""
    name = header.removeprefix("x-").removeprefix("remove-").removeprefix("container-")
    return name in ("read", "write", "sync-to", "sync-key", *(f"meta-{one}" for one in SECRET))


def _versioning(call: Call) -> dict[str, Any]:
    given = call.headers
    change: dict[str, Any] = {}
    if "x-versions-enabled" in given:
        enabled = given["x-versions-enabled"].lower() in TRUE
        if enabled and call.info is not None and swift_of(call.info).get("versions"):
            raise SwiftError(400, "Cannot enable object versioning on a container that has versioned writes")
        change["versioning"] = enabled
    location, history = given.get("x-versions-location"), given.get("x-history-location")
    if location and history:
        raise SwiftError(400, "Only one of X-Versions-Location or X-History-Location may be specified")
    for value, mode in ((location, "stack"), (history, "history")):
        if value:
            name = headers.unquote(headers.utf8(value))
            if "/" in name:
                raise SwiftError(412, "X-Versions-Location header must name a container")
            if "x-versions-enabled" in given or (call.info is not None and call.info.versioning != "off"):
                raise SwiftError(400, "Cannot use versioned writes on a container with object versioning")
            change |= {"versions": name, "versions_mode": mode}
    removed = any(given.get(f"x-remove-{one}-location") for one in ("versions", "history"))
    if "versions" not in change and (removed or location == "" or history == ""):
        change |= {"versions": "", "versions_mode": ""}
    return change


def _configure(ctx: Context, id: Any, change: dict[str, Any]) -> None:
    row = Bucket.objects.select_related("project").get(id=id)
    buckets.change(ctx, row, lambda bucket: _edit(bucket, change))


def _edit(bucket: Bucket, change: dict[str, Any]) -> str:
    kept = dict(bucket.documents.get("swift") or {})
    if "meta" in change:
        kept["meta"] = headers.metadata(change["meta"], "container", known=kept.get("meta", {}))
    for name in ("read", "write", "sync_key", "versions", "versions_mode", "rfc_etags"):
        if name in change:
            kept[name] = change[name]
    kept["changed"] = headers.now()
    bucket.documents = {**bucket.documents, "swift": {name: value for name, value in kept.items() if value not in ("", None)}}
    for name in ("quota_bytes", "quota_objects"):
        if name in change:
            setattr(bucket, name, change[name])
    if "versioning" in change and (change["versioning"] or bucket.versioning != Bucket.Versioning.OFF):
        buckets.versioning(change["versioning"])(bucket)
    return "set " + ", ".join(sorted(change))


async def delete(call: Call) -> Response:
    call.allow_account(WRITES)
    if call.info is None:
        raise SwiftError(404)
    if call.plane.store.usage(call.info.id).versions and not await _only_hidden(call, call.info):
        raise SwiftError(409)
    try:
        await call.plane.store.drop_bucket(call.info.id)
    except Conflict as error:
        raise SwiftError(409) from error
    except CloudError:
        raise
    await call.verb(_forget, call.info.id)
    return Response(204, {"Content-Type": "text/html; charset=UTF-8"})


async def _only_hidden(call: Call, bucket: BucketInfo) -> bool:
    """If nothing is left but markers that Swift does not show, take them away."""
    after, after_version = b"", ""
    found: list[Version] = []
    while True:
        page = call.plane.store.list_versions(bucket.id, after=after, after_version=after_version, limit=1000)
        if any(not history.is_hidden(call, one) for one in page.versions):
            return False
        found += page.versions
        if page.next is None:
            break
        after, after_version = page.next
    for one in found:
        await call.plane.store.delete(bucket.id, one.name, one.id)
    return True


def _forget(ctx: Context, id: Any) -> None:
    row = Bucket.objects.select_related("project").filter(id=id).first()
    if row is not None:
        buckets.forget(ctx, row)
