"""Objects: PUT, POST, DELETE. GET and HEAD are in reading.py, COPY is in copying.py."""

from __future__ import annotations

from cloudbox.common import clock
from storage import encryption, expirations, locks, objects
from storage.api.swift import copying, headers, history, manifests, symlinks, versions
from storage.api.swift.call import Call, swift_of
from storage.api.swift.errors import SwiftError
from storage.api.swift.found import look
from storage.api.swift.history import version_id_of, versions_headers
from storage.api.swift.info import FILE_BYTES_MAX
from storage.api.swift.writing import HTML, Md5, announced, check_manifest, check_name, check_quotas, dress, written
from storage.errors import NoSuchObject, NoSuchVersion
from storage.objects import Write
from storage.properties import Properties, unpack
from storage.server import Response


async def put(call: Call) -> Response:
    if "x-copy-from" in call.headers:
        return await copying.copy(call)
    bucket = call.bucket_or_refuse() if call.info is None and not call.signed_for else call.bucket
    call.allow_write()
    check_name(call.key)
    given = call.headers
    if call.query.get("multipart-manifest") == "put":
        if call.signed_for:
            # It could name segments that its maker could not read.
            raise SwiftError(400, "A manifest is not made by a TempURL.")
        return await manifests.put(call)
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
    wish, cause = encryption.wish_of(bucket.documents), call.cause("ObjectCreated:Put")
    write = Write(properties, wish, finish, condition, FILE_BYTES_MAX, key_project=bucket.owner, cause=cause)
    version = await objects.put(call.plane, bucket, call.key, call.request.body, digests, write)
    return written(bucket, version, properties)


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


async def delete(call: Call) -> Response:
    if call.query.get("multipart-manifest") == "delete":
        return await manifests.delete(call)
    bucket = call.bucket_or_refuse()
    version_id = version_id_of(call)
    if version_id is not None:
        call.allow("s3:DeleteObjectVersion", bucket=bucket, key=call.object, permission="WRITE", acl="write")
        return await history.delete(call, bucket, version_id)
    return await delete_one(call)


async def delete_one(call: Call) -> Response:
    """The object, by whichever kind of versioning the container has."""
    bucket, key = call.bucket_or_refuse(), call.key
    call.allow_delete()
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
        gone = await history.delete_unversioned(call, bucket, key)
    else:
        gone = await objects.delete(call.plane, bucket, key, cause=call.cause("ObjectRemoved"))
    # What has expired is gone to the client, and now to everybody.
    if properties is None or expirations.is_over(properties):
        raise SwiftError(404, headers={"X-Object-Version-Id": history.public_of(gone.version_id)} if gone.version_id else None)
    return Response(204, HTML | ({"X-Object-Version-Id": history.public_of(gone.version_id)} if gone.version_id else {}))
