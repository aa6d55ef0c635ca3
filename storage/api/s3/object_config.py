"""What is kept with an object: ACL, tags, retention, legal hold; each read and changed."""

from __future__ import annotations

import datetime as dt
import json

from cloudbox.common import clock
from storage import acls, locks, objects, tags
from storage.api.s3 import acl_wire, headers, xml
from storage.api.s3.call import Call
from storage.api.s3.configuration import XML, answer, tags_in, tags_out
from storage.api.s3.errors import S3Error
from storage.api.s3.objects import find
from storage.engine import Version
from storage.errors import AclUnsupported
from storage.properties import Properties
from storage.server import Response


def _version_header(call: Call, version: Version) -> dict[str, str]:
    return {"x-amz-version-id": version.id} if call.bucket.versioning != "off" else {}


# --- ACL


async def get_acl(call: Call) -> Response:
    version, properties = find(call, "s3:GetObjectAcl", "s3:GetObjectVersionAcl", "READ_ACP")
    owner = call.bucket.owner if call.bucket.acls_off else properties.owner or call.bucket.owner
    grants = acls.default(owner) if call.bucket.acls_off or not properties.acl else properties.acl
    return Response(200, XML | _version_header(call, version), await acl_wire.rendered(call, owner, grants))


async def put_acl(call: Call) -> Response:
    version, properties = find(call, "s3:PutObjectAcl", "s3:PutObjectVersionAcl", "WRITE_ACP")
    owner = properties.owner or call.bucket.owner
    body = await call.body()
    grants = acl_wire.asked(call.headers, owner=owner, bucket_owner=call.bucket.owner, for_object=True)
    if grants is not None:
        grants = await acl_wire.resolve(call, grants)
    else:
        if not body:
            raise S3Error("MissingSecurityHeader", "Your request was missing a required header", MissingHeaderName="x-amz-acl")
        said, grants = await acl_wire.from_document(call, xml.parse(body, "AccessControlPolicy"))
        if said != owner:
            raise S3Error("AccessDenied", "The owner of an object cannot be changed by an ACL.")
    if call.bucket.acls_off:
        raise AclUnsupported("The bucket does not allow ACLs")
    acl_wire.check_block(call.bucket, grants)
    kept = [] if grants == acls.default(owner) else grants

    def edit(properties: Properties) -> None:
        properties.acl = kept or [["user", owner, acls.FULL]]

    changed = await objects.change(call.plane, version, edit, told=(call.bucket, call.cause("ObjectAcl:Put")))
    return Response(200, _version_header(call, changed))


# --- tags


async def get_tagging(call: Call) -> Response:
    version, properties = find(call, "s3:GetObjectTagging", "s3:GetObjectVersionTagging")
    found = answer("Tagging", tags_out(properties.tags))
    return Response(200, XML | _version_header(call, version), found.body)


async def put_tagging(call: Call) -> Response:
    version, _ = find(call, "s3:PutObjectTagging", "s3:PutObjectVersionTagging", "WRITE")
    kept = tags_in(await call.xml("Tagging"), limit=tags.OBJECT_MAX)

    def edit(properties: Properties) -> None:
        properties.tags = kept

    changed = await objects.change(call.plane, version, edit, told=(call.bucket, call.cause("ObjectTagging:Put")))
    return Response(200, _version_header(call, changed))


async def delete_tagging(call: Call) -> Response:
    version, _ = find(call, "s3:DeleteObjectTagging", "s3:DeleteObjectVersionTagging", "WRITE")

    def edit(properties: Properties) -> None:
        properties.tags = {}

    changed = await objects.change(call.plane, version, edit, told=(call.bucket, call.cause("ObjectTagging:Delete")))
    return Response(204, _version_header(call, changed))


# --- retention and legal hold


async def get_retention(call: Call) -> Response:
    version, properties = find(call, "s3:GetObjectRetention", "s3:GetObjectRetention")
    headers.require_lock(call.bucket)
    if not properties.retention:
        raise S3Error("NoSuchObjectLockConfiguration")
    mode, until = properties.retention
    found = answer("Retention", xml.element("Mode", mode), xml.element("RetainUntilDate", xml.iso(until)))
    return Response(200, XML | _version_header(call, version), found.body)


async def put_retention(call: Call) -> Response:
    headers.require_lock(call.bucket)
    version, _ = find(call, "s3:PutObjectRetention", "s3:PutObjectRetention", "WRITE")
    document = await call.xml("Retention")
    new: list[object] = []
    if list(document):
        mode, until = document.need("Mode"), document.need("RetainUntilDate")
        if mode not in ("GOVERNANCE", "COMPLIANCE"):
            raise S3Error("MalformedXML")
        moment = xml.moment(until)
        if moment <= clock.now():
            raise S3Error("InvalidArgument", "The retain until date must be in the future!")
        new = [mode, locks.ns_of(moment)]
    bypass = (call.header("x-amz-bypass-governance-retention") or "").lower() == "true" and call.judge(
        "s3:BypassGovernanceRetention", key=call.key_text
    ).allowed

    def edit(properties: Properties) -> None:
        locks.check_retention_change(properties, new, now_ns=locks.ns_of(clock.now()), bypass=bypass)
        properties.retention = new

    return Response(200, _version_header(call, await objects.change(call.plane, version, edit)))


async def get_legal_hold(call: Call) -> Response:
    headers.require_lock(call.bucket)
    version, properties = find(call, "s3:GetObjectLegalHold", "s3:GetObjectLegalHold")
    found = answer("LegalHold", xml.element("Status", "ON" if properties.legal_hold else "OFF"))
    return Response(200, XML | _version_header(call, version), found.body)


async def put_legal_hold(call: Call) -> Response:
    headers.require_lock(call.bucket)
    version, _ = find(call, "s3:PutObjectLegalHold", "s3:PutObjectLegalHold", "WRITE")
    status = (await call.xml("LegalHold")).get("Status")
    if status not in ("ON", "OFF"):
        raise S3Error("MalformedXML")

    def edit(properties: Properties) -> None:
        properties.legal_hold = status == "ON"

    return Response(200, _version_header(call, await objects.change(call.plane, version, edit)))


# --- where its copies lie


async def get_replicas(call: Call) -> Response:
    """An extension of ours, for who may read the object: {"class", "expected", "replicas": [{"drive", "state", "verified_at", "bytes"}]}.

    A replica is what one drive has: a copy, or a fragment; `expected` says on how many drives there should be one.
    """
    version, _ = find(call, "s3:GetObject", "s3:GetObjectVersion", "READ")
    replicas = [
        {
            "drive": one.drive,
            "state": one.state,
            "verified_at": None if one.verified is None else dt.datetime.fromtimestamp(one.verified, dt.UTC).isoformat(),
            "bytes": one.bytes,
        }
        for one in await call.plane.store.replicas(version)
    ]
    expected = await call.plane.store.replicas_expected(version)
    body = json.dumps({"class": version.storage_class.name, "expected": expected, "replicas": replicas}).encode()
    return Response(200, {"Content-Type": "application/json"} | _version_header(call, version), body)
