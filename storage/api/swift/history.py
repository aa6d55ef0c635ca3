"""Versions of objects (X-Versions-Enabled): their ids, their list, one deleted for good."""

from __future__ import annotations

from storage import expirations, objects
from storage.api.swift import listings
from storage.api.swift.call import Call
from storage.api.swift.errors import SwiftError
from storage.api.swift.listings import DELETED, Row, object_row
from storage.directory import BucketInfo
from storage.engine import Mode, Version
from storage.properties import unpack
from storage.server import Response

BACKWARD_MAX = 100_000
SECOND = 1_000_000_000
HTML = {"Content-Type": "text/html; charset=UTF-8"}


# --- ids: Swift's are times; ours are times as well, in another spelling


def public_id(version: Version) -> str:
    return public_of(restored_of(version) or version.id)


def restored_of(version: Version) -> str:
    """Of a copy that made an older version the object again (copying.restore): that version's id. To Swift the two are one."""
    return str(unpack(version.meta).extra.get("restored", "")) if b'"restored"' in version.meta else ""


def public_of(id: str) -> str:
    """Swift's id of a version by the store's."""
    if id == "null":
        return id
    stamp = int(id, 16)
    return f"{stamp // SECOND:010d}.{stamp % SECOND:09d}"


def is_version_id(text: str) -> bool:
    seconds, dot, rest = text.partition(".")
    return bool(dot) and seconds.isdecimal() and rest.isdecimal() and len(seconds) <= 10 and len(rest) <= 9 and text.isascii()


def engine_id(text: str) -> str:
    """The store's id of a version by Swift's; 400 for what is none."""
    if text == "null":
        return "null"
    if not is_version_id(text):
        raise SwiftError(400, "Invalid version parameter")
    seconds, _, rest = text.partition(".")
    return f"{int(seconds) * SECOND + int(rest.ljust(9, '0')):016x}"


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


def versions_headers(bucket: BucketInfo, version: Version) -> dict[str, str]:
    return {"X-Object-Version-Id": public_id(version)} if bucket.versioning != "off" and not version.null else {}


# --- the list


def rows(call: Call, bucket: BucketInfo, limit: int) -> list[Row]:
    """All versions, newest first within a name."""
    query = call.query
    if listings.reverse_of(call):
        return _versions_backward(call, bucket, limit)
    marker, version_marker = query.get("marker", "").encode(), query.get("version_marker", "")
    if version_marker and not marker:
        raise SwiftError(400, "version_marker param requires marker")
    if version_marker and version_marker != "null" and not is_version_id(version_marker):
        raise SwiftError(400, "invalid version_marker param")
    end = query.get("end_marker", "").encode()
    prefix, delimiter = query.get("prefix", "").encode(), query.get("delimiter", "").encode()
    rows: list[Row] = []
    after, after_version = marker, engine_id(version_marker) if version_marker else ""
    if version_marker == "null" and call.plane.store.get(bucket.id, marker, "null") is None:
        # It would stand before all that have an id: so all of this name come after it.
        after_version = ""
        page = call.plane.store.list_versions(bucket.id, prefix=marker, limit=1000)
        rows += [_version_row(call, one) for one in page.versions if one.name == marker and not is_hidden(call, one)]
    while len(rows) < limit:
        page = call.plane.store.list_versions(
            bucket.id, prefix=prefix, delimiter=delimiter, after=after, after_version=after_version, limit=min(1000, limit - len(rows))
        )
        merged: list[tuple[bytes, int, Version | None]] = [(one.name, number, one) for number, one in enumerate(page.versions)]
        merged += [(one, 0, None) for one in page.prefixes]
        for name, _, version in sorted(merged, key=lambda entry: entry[:2]):
            if end and name >= end:
                return rows
            if version is None:
                rows.append({"subdir": name.decode("utf-8", "replace")})
                continue
            if not is_hidden(call, version):
                rows.append(_version_row(call, version))
        if page.next is None:
            break
        after, after_version = page.next
    return rows


def is_hidden(call: Call, version: Version) -> bool:
    """A marker that Swift's history leaves out (hide), or another copy of a version that is there (copying.restore)."""
    if version.delete_marker:
        return b"hidden" in version.meta
    original = restored_of(version)
    return bool(original) and call.plane.store.get(version.bucket, version.name, original) is not None


def _version_row(call: Call, version: Version) -> Row:
    latest = version.latest
    if not latest and not version.delete_marker:
        current = call.plane.store.get(version.bucket, version.name)
        latest = current is not None and restored_of(current) == version.id
    found = object_row(version) | {"version_id": public_id(version), "is_latest": latest}
    if version.delete_marker:
        found |= {"content_type": DELETED, "hash": "d41d8cd98f00b204e9800998ecf8427e"}
    return found


def _versions_backward(call: Call, bucket: BucketInfo, limit: int) -> list[Row]:
    """From the last name to the first, oldest version first: the forward listing, turned around."""
    query = dict(call.query)
    marker, end, version_marker = query.pop("marker", ""), query.pop("end_marker", ""), query.pop("version_marker", "")
    try:
        call.query = {name: value for name, value in query.items() if name != "reverse"} | ({"marker": end} if end else {})
        found = rows(call, bucket, BACKWARD_MAX)[::-1]
    finally:
        call.query = query | {"marker": marker, "end_marker": end, "version_marker": version_marker}
    if marker:
        raw = marker.encode()
        found = [one for one in found if _comes_after(one, raw, version_marker)]
    return found[:limit]


def _comes_after(row: Row, marker: bytes, version_marker: str) -> bool:
    name = str(row.get("name", row.get("subdir", ""))).encode()
    if name == marker and version_marker and "version_id" in row:
        return row["version_id"] != "null" and row["version_id"] > version_marker
    return name < marker


# --- deleting


async def delete(call: Call, bucket: BucketInfo, version_id: str) -> Response:
    """One version for good, and the copies that made it the object again."""
    gone = call.plane.store.get(bucket.id, call.key, version_id)
    if gone is None and version_id == "null":
        # The object, as opposed to its versions.
        await hide(call, bucket, call.key)
        return Response(204, HTML | {"X-Object-Version-Id": "null"})
    if gone is None:
        raise SwiftError(404, headers={"X-Object-Version-Id": call.query["version-id"]})
    there = _all(call, bucket, call.key)
    same = [one for one in there if version_id in (one.id, restored_of(one))]
    if len(same) < len(there) and any(one.latest and not one.delete_marker for one in same):
        # First the marker, so that no older version shows in between.
        await hide(call, bucket, call.key)
    for one in same:
        await objects.delete(call.plane, bucket, call.key, one.id, cause=call.cause("ObjectRemoved"))
    current = call.plane.store.get(bucket.id, call.key)
    more = {"X-Object-Version-Id": call.query["version-id"]}
    if current is not None and not current.delete_marker:
        more["X-Object-Current-Version-Id"] = public_id(current)
    return Response(204, HTML | more)


def _all(call: Call, bucket: BucketInfo, key: bytes) -> list[Version]:
    found: list[Version] = []
    after, after_version = b"", ""
    while True:
        page = call.plane.store.list_versions(bucket.id, prefix=key, after=after, after_version=after_version, limit=1000)
        found += [one for one in page.versions if one.name == key]
        if page.next is None or page.next[0] != key:
            return found
        after, after_version = page.next


async def hide(call: Call, bucket: BucketInfo, key: bytes) -> None:
    """Keep older versions from becoming the object again, as S3 would have it: by a marker that Swift's history leaves out."""
    current = call.plane.store.get(bucket.id, key)
    if current is not None and not current.delete_marker:
        cause = call.cause("ObjectRemoved")
        await objects.hide(call.plane, bucket, key, meta=expirations.HIDDEN, mode=Mode.ADD, cause=cause)


async def delete_unversioned(call: Call, bucket: BucketInfo, key: bytes) -> objects.Deleted:
    """While versioning is off again: the object goes without a mark in the history, and what was before it does not come back."""
    seen = call.plane.store.get(bucket.id, key, "null")
    if seen is not None:
        await objects.delete(call.plane, bucket, key, "null", cause=call.cause("ObjectRemoved"))
    await hide(call, bucket, key)
    return objects.Deleted()
