"""Buckets: listing them, creating, looking, deleting."""

from __future__ import annotations

import base64
from typing import Any

from cloudbox.common.errors import CloudError
from storage import acls, buckets
from storage.api.s3 import acl_wire, xml
from storage.api.s3.call import Call
from storage.api.s3.errors import S3Error
from storage.errors import BucketAlreadyYours, BucketNotEmpty
from storage.models import Bucket
from storage.server import Response

OWNERSHIP = {"ObjectWriter": "writer", "BucketOwnerPreferred": "preferred", "BucketOwnerEnforced": "enforced"}
OWNERSHIP_NAMES = {value: name for name, value in OWNERSHIP.items()}
BUCKETS_MAX = 10_000
SECOND = 1_000_000_000


async def list_buckets(call: Call) -> Response:
    if call.who.anonymous:  # Nobody owns nothing: so says Ceph, where AWS sends to its home page.
        nobody = "<Owner><ID>anonymous</ID><DisplayName></DisplayName></Owner><Buckets></Buckets>"
        return Response(200, {"Content-Type": "application/xml"}, xml.document("ListAllMyBucketsResult", nobody))
    limit = call.query.get("max-buckets", "")
    if limit and (not limit.isdecimal() or not 1 <= int(limit) <= BUCKETS_MAX):
        raise S3Error("InvalidArgument", "max-buckets is a number from 1 to 10000.", ArgumentName="max-buckets", ArgumentValue=limit)
    token = call.query.get("continuation-token", "")
    try:
        after = base64.urlsafe_b64decode(token.encode()).decode()
    except ValueError as error:
        raise S3Error("InvalidArgument", "The continuation token provided is incorrect", ArgumentName="continuation-token") from error
    prefix = call.query.get("prefix", "")
    rows = await call.verb(_rows, prefix, after, int(limit or BUCKETS_MAX))
    out = [
        f"<Bucket>{xml.element('Name', name)}<CreationDate>{xml.iso(created)}</CreationDate>"
        f"{xml.element('BucketRegion', region or call.plane.region) if limit else ''}</Bucket>"
        for name, created, region in rows[: int(limit or BUCKETS_MAX)]
    ]
    more = len(rows) > int(limit or BUCKETS_MAX)
    content = [
        f"<Owner><ID>{call.who.project}</ID>{xml.element('DisplayName', call.who.display_name)}</Owner>",
        f"<Buckets>{''.join(out)}</Buckets>",
        xml.element("Prefix", prefix or None),
        xml.element("ContinuationToken", base64.urlsafe_b64encode(rows[len(out) - 1][0].encode()).decode()) if more else "",
    ]
    return Response(200, {"Content-Type": "application/xml"}, xml.document("ListAllMyBucketsResult", *content))


def _rows(ctx: Any, prefix: str, after: str, limit: int) -> list[tuple[str, int, str]]:
    found = buckets.list_buckets(ctx).filter(name__startswith=prefix, name__gt=after)[: limit + 1]
    return [(row.name, int(row.created_at.timestamp() * SECOND), row.region) for row in found]


async def create(call: Call) -> Response:
    if call.who.anonymous:
        raise S3Error("AccessDenied")
    if call.who.suspended:
        raise S3Error("AccountProblem", "Your project is suspended. Ask your provider to resume it.")
    name = call.bucket_name
    region = await _location(call)
    ownership = call.header("x-amz-object-ownership")
    if ownership is not None and ownership not in OWNERSHIP:
        raise S3Error("InvalidArgument", "Invalid x-amz-object-ownership header", ArgumentName="x-amz-object-ownership")
    given: dict[str, Any] = {}
    if ownership is not None:
        given["ownership"] = {}
    grants = acl_wire.asked(call.headers, owner=call.who.project, bucket_owner=call.who.project, for_object=False)
    if grants is not None:
        grants = await acl_wire.resolve(call, grants)
        if ownership == "BucketOwnerEnforced" and acls.gives_away(grants, owner=call.who.project):
            raise S3Error(
                "InvalidBucketAclWithObjectOwnership", "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting"
            )
        given["acl"] = grants
    lock = (call.header("x-amz-bucket-object-lock-enabled") or "").lower() == "true"
    kwargs = {
        "name": name,
        "region": region,
        "ownership": OWNERSHIP.get(ownership or "", "writer"),
        "object_lock": lock,
        "given": given,
        "storage_class": call.plane.storage_class,
    }
    try:
        await call.verb(buckets.create, **kwargs)
    except BucketAlreadyYours:
        # Asking for what is so already succeeds, unless an ACL or a lock is asked for that would then silently not be: so in S3's
        # first region, whose clients rely on it, and in Ceph.
        there = await call.bucket_of(name)
        if list(there.acl) != (given.get("acl") or acls.default(there.owner)):
            raise S3Error("BucketAlreadyExists", "You have a bucket of this name already, with another ACL.") from None
        if lock != there.object_lock or ownership is not None:
            raise
    return Response(200, {"Location": f"/{name}"})


async def _location(call: Call) -> str:
    body = await call.body()
    if not body:
        return ""
    document = xml.parse(body, "CreateBucketConfiguration")
    region = document.get("LocationConstraint") or ""
    if region and region not in (call.plane.region, *call.plane.regions):
        raise S3Error("InvalidLocationConstraint", "The specified location-constraint is not valid", LocationConstraint=region)
    return region


async def head(call: Call) -> Response:
    call.allow("s3:ListBucket", permission="READ")
    found = {"x-amz-bucket-region": call.bucket.region or call.plane.region}
    if call.who.project == call.bucket.owner:
        usage = call.plane.store.usage(call.bucket.id)
        # Ceph's headers, which monitoring tools read.
        found |= {"X-RGW-Object-Count": str(usage.objects), "X-RGW-Bytes-Used": str(usage.bytes)}
    return Response(200, found)


async def location(call: Call) -> Response:
    call.allow("s3:GetBucketLocation")
    return Response(
        200,
        {"Content-Type": "application/xml"},
        f"{xml.DECLARATION}<LocationConstraint {xml.NAMESPACE}>{xml.escape(call.bucket.region)}</LocationConstraint>".encode(),
    )


async def delete(call: Call) -> Response:
    call.allow("s3:DeleteBucket")
    info = call.bucket
    usage = call.plane.store.usage(info.id)
    if usage.versions:
        raise BucketNotEmpty("The bucket you tried to delete is not empty")
    try:
        await call.plane.store.drop_bucket(info.id)
    except CloudError as error:
        if type(error).__name__ == "Conflict":
            raise BucketNotEmpty("The bucket you tried to delete is not empty") from error
        raise
    await call.verb(_forget, info.id)
    return Response(204)


def _forget(ctx: Any, id: Any) -> None:
    row = Bucket.objects.select_related("project").filter(id=id).first()
    if row is not None:
        buckets.forget(ctx, row)
