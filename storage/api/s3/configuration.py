"""The configurations of a bucket: each subresource read, written and removed, between S3's XML (or JSON) and documents.py's JSON."""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from storage import acls, buckets, cors, documents, policies, tags
from storage.access import PublicBlock
from storage.api.s3 import acl_wire, xml
from storage.api.s3.buckets import OWNERSHIP, OWNERSHIP_NAMES
from storage.api.s3.call import Call
from storage.api.s3.errors import S3Error
from storage.errors import AclUnsupported, LockStateInvalid, MalformedDocument, NoSuchDocument, OwnershipAclConflict
from storage.models import Bucket
from storage.server import Response

XML = {"Content-Type": "application/xml"}


async def edit(call: Call, change: Callable[[Bucket], str]) -> None:
    """Change the bucket's row, in a thread; all workers see it from here on."""
    await call.verb(_edit, call.bucket.id, change)


def _edit(ctx: Any, id: UUID, change: Callable[[Bucket], str]) -> None:
    buckets.apply(ctx, Bucket(id=id), change)


def _document(call: Call, kind: str) -> Any:
    return buckets.document(call.bucket.documents, kind)


def answer(root: str, *content: str) -> Response:
    return Response(200, XML, xml.document(root, *content))


# --- versioning


async def get_versioning(call: Call) -> Response:
    call.allow("s3:GetBucketVersioning")
    status = {"enabled": "Enabled", "suspended": "Suspended"}.get(call.bucket.versioning)
    return answer("VersioningConfiguration", xml.element("Status", status))


async def put_versioning(call: Call) -> Response:
    call.allow("s3:PutBucketVersioning")
    document = await call.xml("VersioningConfiguration")
    if (document.get("MfaDelete") or "Disabled") != "Disabled":
        raise S3Error("NotImplemented", "MFA delete is not done here.")
    status = document.get("Status")
    if status not in ("Enabled", "Suspended"):
        raise S3Error("IllegalVersioningConfigurationException", "The Versioning element must be specified: Enabled or Suspended")
    await edit(call, buckets.versioning(status == "Enabled"))
    return Response(200)


# --- policy


async def get_policy(call: Call) -> Response:
    call.allow("s3:GetBucketPolicy")
    return Response(200, {"Content-Type": "application/json"}, _document(call, "policy")["text"].encode())


async def put_policy(call: Call) -> Response:
    call.allow("s3:PutBucketPolicy")
    body = await call.body(policies.POLICY_MAX_BYTES)
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise S3Error("MalformedPolicy", "Policies must be valid JSON.") from error
    policy = policies.parse(text, bucket=call.bucket.name)
    if policy.public and call.bucket.block.block_policy:
        raise S3Error("AccessDenied", "The bucket's public access block refuses public policies.")
    await edit(call, buckets.putting("policy", {"text": text}))
    return Response(204)


async def delete_policy(call: Call) -> Response:
    call.allow("s3:DeleteBucketPolicy")
    await edit(call, buckets.removing("policy"))
    return Response(204)


async def get_policy_status(call: Call) -> Response:
    call.allow("s3:GetBucketPolicyStatus")
    public = call.bucket.policy is not None and call.bucket.policy.public
    # As Ceph does, and unlike AWS, a bucket that is public by its ACL is said to be public, too: it is.
    public = public or (not call.bucket.block.ignore_acls and not call.bucket.acls_off and acls.is_public(call.bucket.acl))
    return answer("PolicyStatus", xml.element("IsPublic", public))


# --- ACL


async def get_acl(call: Call) -> Response:
    call.allow("s3:GetBucketAcl", permission="READ_ACP")
    bucket = call.bucket
    grants = acls.default(bucket.owner) if bucket.acls_off else bucket.acl
    return Response(200, XML, await acl_wire.rendered(call, bucket.owner, grants))


async def put_acl(call: Call) -> Response:
    call.allow("s3:PutBucketAcl", permission="WRITE_ACP")
    bucket = call.bucket
    body = await call.body()
    grants = acl_wire.asked(call.headers, owner=bucket.owner, bucket_owner=bucket.owner, for_object=False)
    if grants is not None:
        grants = await acl_wire.resolve(call, grants)
    else:
        if not body:
            raise S3Error("MissingSecurityHeader", "Your request was missing a required header", MissingHeaderName="x-amz-acl")
        owner, grants = await acl_wire.from_document(call, xml.parse(body, "AccessControlPolicy"))
        if owner != bucket.owner:
            raise S3Error("AccessDenied", "The owner of a bucket cannot be changed by an ACL.")
    if bucket.acls_off:
        raise AclUnsupported("The bucket does not allow ACLs")
    acl_wire.check_block(bucket, grants)
    await edit(call, buckets.putting("acl", grants))
    return Response(200)


# --- public access block

_BLOCK = {
    "BlockPublicAcls": "block_acls",
    "IgnorePublicAcls": "ignore_acls",
    "BlockPublicPolicy": "block_policy",
    "RestrictPublicBuckets": "restrict",
}


async def get_public_block(call: Call) -> Response:
    call.allow("s3:GetBucketPublicAccessBlock")
    kept = PublicBlock(**_document(call, "public-block"))
    return answer("PublicAccessBlockConfiguration", *(xml.element(name, getattr(kept, field)) for name, field in _BLOCK.items()))


async def put_public_block(call: Call) -> Response:
    call.allow("s3:PutBucketPublicAccessBlock")
    document = await call.xml("PublicAccessBlockConfiguration")
    value = {field: (document.get(name) or "").lower() == "true" for name, field in _BLOCK.items()}
    await edit(call, buckets.putting("public-block", value))
    return Response(200)


async def delete_public_block(call: Call) -> Response:
    call.allow("s3:PutBucketPublicAccessBlock")
    await edit(call, buckets.removing("public-block"))
    return Response(204)


# --- ownership


async def get_ownership(call: Call) -> Response:
    call.allow("s3:GetBucketOwnershipControls")
    if "ownership" not in call.bucket.documents:
        raise NoSuchDocument("ownership", "The bucket ownership controls were not found")
    return answer("OwnershipControls", f"<Rule>{xml.element('ObjectOwnership', OWNERSHIP_NAMES[call.bucket.ownership])}</Rule>")


async def put_ownership(call: Call) -> Response:
    call.allow("s3:PutBucketOwnershipControls")
    document = await call.xml("OwnershipControls")
    rules = document.all("Rule")
    wanted = rules[0].get("ObjectOwnership") if len(rules) == 1 else None
    if wanted not in OWNERSHIP:
        raise S3Error("MalformedXML")
    if wanted == "BucketOwnerEnforced" and acls.gives_away(call.bucket.acl, owner=call.bucket.owner):
        raise OwnershipAclConflict("Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting")

    def change(bucket: Bucket) -> str:
        bucket.ownership = OWNERSHIP[wanted]
        bucket.documents = {**bucket.documents, "ownership": {}}
        return f"ownership {bucket.ownership}"

    await edit(call, change)
    return Response(200)


async def delete_ownership(call: Call) -> Response:
    call.allow("s3:PutBucketOwnershipControls")

    def change(bucket: Bucket) -> str:
        bucket.ownership = Bucket.Ownership.WRITER
        return buckets.removing("ownership")(bucket)

    await edit(call, change)
    return Response(204)


# --- CORS


def _cors_out(rule: Mapping[str, Any]) -> str:
    return (
        "<CORSRule>"
        + xml.element("ID", rule.get("id") or None)
        + "".join(xml.element("AllowedHeader", value) for value in rule.get("headers", ()))
        + "".join(xml.element("AllowedMethod", value) for value in rule["methods"])
        + "".join(xml.element("AllowedOrigin", value) for value in rule["origins"])
        + "".join(xml.element("ExposeHeader", value) for value in rule.get("exposed", ()))
        + xml.element("MaxAgeSeconds", rule.get("max_age_seconds"))
        + "</CORSRule>"
    )


async def get_cors(call: Call) -> Response:
    call.allow("s3:GetBucketCORS")
    return answer("CORSConfiguration", *(_cors_out(rule) for rule in _document(call, "cors")))


async def put_cors(call: Call) -> Response:
    call.allow("s3:PutBucketCORS")
    document = await call.xml("CORSConfiguration")
    rules = [
        {
            "id": rule.get("ID") or "",
            "origins": [one.text for one in rule.all("AllowedOrigin")],
            "methods": [one.text for one in rule.all("AllowedMethod")],
            "headers": [one.text for one in rule.all("AllowedHeader")],
            "exposed": [one.text for one in rule.all("ExposeHeader")],
            "max_age_seconds": rule.number("MaxAgeSeconds"),
        }
        for rule in document.all("CORSRule")
    ]
    cors.parse(rules)
    await edit(call, buckets.putting("cors", rules))
    return Response(200)


async def delete_cors(call: Call) -> Response:
    call.allow("s3:PutBucketCORS")
    await edit(call, buckets.removing("cors"))
    return Response(204)


# --- tagging


def tags_in(document: xml.Element, *, limit: int) -> dict[str, str]:
    kept = document.find("TagSet")
    if kept is None:
        raise S3Error("MalformedXML")
    pairs = []
    for tag in kept.all("Tag"):
        key, value = tag.find("Key"), tag.find("Value")
        if key is None or value is None:
            raise S3Error("MalformedXML")
        pairs.append((key.text, value.text))
    return tags.check(pairs, limit=limit)


def tags_out(kept: Mapping[str, str]) -> str:
    rows = ("<Tag>" + xml.element("Key", key) + xml.element("Value", value) + "</Tag>" for key, value in sorted(kept.items()))
    return "<TagSet>" + "".join(rows) + "</TagSet>"


async def get_tagging(call: Call) -> Response:
    call.allow("s3:GetBucketTagging")
    return answer("Tagging", tags_out(_document(call, "tags")))


async def put_tagging(call: Call) -> Response:
    call.allow("s3:PutBucketTagging")
    await edit(call, buckets.putting("tags", tags_in(await call.xml("Tagging"), limit=tags.BUCKET_MAX)))
    return Response(204)


async def delete_tagging(call: Call) -> Response:
    call.allow("s3:PutBucketTagging")
    await edit(call, buckets.removing("tags"))
    return Response(204)


# --- default encryption


async def get_encryption(call: Call) -> Response:
    call.allow("s3:GetEncryptionConfiguration")
    kept = _document(call, "encryption")
    default = xml.element("SSEAlgorithm", kept["algorithm"]) + xml.element("KMSMasterKeyID", kept.get("key") or None)
    rule = f"<ApplyServerSideEncryptionByDefault>{default}</ApplyServerSideEncryptionByDefault>"
    return answer(
        "ServerSideEncryptionConfiguration", f"<Rule>{rule}{xml.element('BucketKeyEnabled', bool(kept.get('bucket_key')))}</Rule>"
    )


async def put_encryption(call: Call) -> Response:
    call.allow("s3:PutEncryptionConfiguration")
    document = await call.xml("ServerSideEncryptionConfiguration")
    rules = document.all("Rule")
    default = rules[0].find("ApplyServerSideEncryptionByDefault") if len(rules) == 1 else None
    if default is None:
        raise S3Error("MalformedXML")
    algorithm, key = default.need("SSEAlgorithm"), default.get("KMSMasterKeyID") or ""
    if algorithm not in ("AES256", "aws:kms"):
        raise S3Error("MalformedXML")
    if key and algorithm != "aws:kms":
        raise S3Error("InvalidArgument", "a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms")
    if algorithm == "aws:kms" and not key:
        raise S3Error("InvalidArgument", "The default encryption aws:kms needs the name of a key of the project.")
    value = {"algorithm": algorithm, "key": key, "bucket_key": (rules[0].get("BucketKeyEnabled") or "").lower() == "true"}
    await edit(call, buckets.putting("encryption", value))
    return Response(200)


async def delete_encryption(call: Call) -> Response:
    call.allow("s3:PutEncryptionConfiguration")
    await edit(call, buckets.removing("encryption"))
    return Response(204)


# --- object lock


async def get_lock(call: Call) -> Response:
    call.allow("s3:GetBucketObjectLockConfiguration")
    if not call.bucket.object_lock:
        raise NoSuchDocument("lock", "Object Lock configuration does not exist for this bucket")
    rule = call.bucket.documents.get("lock") or {}
    out = "<ObjectLockEnabled>Enabled</ObjectLockEnabled>"
    if rule:
        default = xml.element("Mode", rule["mode"]) + xml.element("Days", rule.get("days")) + xml.element("Years", rule.get("years"))
        out += f"<Rule><DefaultRetention>{default}</DefaultRetention></Rule>"
    return answer("ObjectLockConfiguration", out)


async def put_lock(call: Call) -> Response:
    call.allow("s3:PutBucketObjectLockConfiguration")
    document = await call.xml("ObjectLockConfiguration")
    if document.get("ObjectLockEnabled") != "Enabled":
        raise S3Error("MalformedXML")
    value: dict[str, Any] = {}
    rule = document.find("Rule")
    if rule is not None:
        default = rule.find("DefaultRetention")
        if default is None:
            raise S3Error("MalformedXML")
        value = {"mode": default.need("Mode"), "days": default.number("Days"), "years": default.number("Years")}
        value = {name: one for name, one in value.items() if one is not None}
        documents.check("lock", value, bucket=call.bucket.name)
    if call.bucket.versioning != "enabled":
        raise LockStateInvalid("Versioning must be 'Enabled' on the bucket to apply a Object Lock configuration")

    def change(bucket: Bucket) -> str:
        bucket.object_lock = True
        return buckets.putting("lock", value)(bucket)

    await edit(call, change)
    return Response(200)


# --- lifecycle


async def get_lifecycle(call: Call) -> Response:
    call.allow("s3:GetLifecycleConfiguration")
    return answer("LifecycleConfiguration", *(_rule_out(rule) for rule in _document(call, "lifecycle")))


def _rule_out(rule: Mapping[str, Any]) -> str:
    where = rule.get("filter", {})
    out = [xml.element("ID", rule.get("id", ""))]
    if rule.get("old_prefix"):
        out.append(xml.element("Prefix", where.get("prefix", "")))
    else:
        out.append(f"<Filter>{_filter_out(where)}</Filter>")
    out.append(xml.element("Status", rule["status"]))
    expiration = xml.element("Days", rule.get("days")) + xml.element("Date", rule.get("date"))
    if rule.get("expired_markers") is not None:
        expiration += xml.element("ExpiredObjectDeleteMarker", bool(rule["expired_markers"]))
    if expiration:
        out.append(f"<Expiration>{expiration}</Expiration>")
    if rule.get("noncurrent_days") is not None:
        keep = xml.element("NewerNoncurrentVersions", rule.get("noncurrent_keep"))
        out.append(
            f"<NoncurrentVersionExpiration>{xml.element('NoncurrentDays', rule['noncurrent_days'])}{keep}</NoncurrentVersionExpiration>"
        )
    if rule.get("abort_days") is not None:
        days = xml.element("DaysAfterInitiation", rule["abort_days"])
        out.append(f"<AbortIncompleteMultipartUpload>{days}</AbortIncompleteMultipartUpload>")
    return f"<Rule>{''.join(out)}</Rule>"


def _filter_out(where: Mapping[str, Any]) -> str:
    pieces = []
    if "prefix" in where:
        pieces.append(xml.element("Prefix", where["prefix"]))
    for key, value in where.get("tags", ()):
        pieces.append(f"<Tag>{xml.element('Key', key)}{xml.element('Value', value)}</Tag>")
    for name, field in (("ObjectSizeGreaterThan", "larger_than"), ("ObjectSizeLessThan", "smaller_than")):
        if where.get(field) is not None:
            pieces.append(xml.element(name, where[field]))
    return f"<And>{''.join(pieces)}</And>" if len(pieces) > 1 else "".join(pieces)


async def put_lifecycle(call: Call) -> Response:
    call.allow("s3:PutLifecycleConfiguration")
    document = await call.xml("LifecycleConfiguration")
    rules = [_rule_in(rule, number) for number, rule in enumerate(document.all("Rule"), 1)]
    try:
        await edit(call, buckets.putting("lifecycle", rules))
    except MalformedDocument as error:
        # Well-formed, but a value is out of its range.
        raise S3Error(
            "MalformedXML" if "action" in error.message and "least" in error.message else "InvalidArgument", error.message
        ) from error
    return Response(200)


def _rule_in(rule: xml.Element, number: int) -> dict[str, Any]:
    status = rule.get("Status")
    if status not in ("Enabled", "Disabled"):
        raise S3Error("MalformedXML")
    for name in ("Transition", "NoncurrentVersionTransition"):
        for transition in rule.all(name):
            if (date := transition.get("Date")) is not None:
                _date(date)
            raise S3Error("NotImplemented", f"The box has one tier of drives: a lifecycle rule cannot have a {name}.")
    found: dict[str, Any] = {"id": rule.get("ID") or f"rule-{number}-{secrets.token_hex(6)}", "status": status}
    where, old = rule.find("Filter"), rule.get("Prefix")
    if where is not None:
        found["filter"] = _filter_in(where)
    elif old is not None:
        found["filter"], found["old_prefix"] = {"prefix": old}, True
    else:
        raise S3Error("MalformedXML")
    expiration = rule.find("Expiration")
    if expiration is not None:
        found["days"] = expiration.number("Days")
        date = expiration.get("Date")
        if found["days"] is not None and date is not None:
            raise S3Error("MalformedXML")
        if date is not None:
            found["date"] = _date(date)
        marker = expiration.get("ExpiredObjectDeleteMarker")
        if marker is not None:
            found["expired_markers"] = marker.lower() == "true"
    noncurrent = rule.find("NoncurrentVersionExpiration")
    if noncurrent is not None:
        found["noncurrent_days"] = noncurrent.number("NoncurrentDays")
        found["noncurrent_keep"] = noncurrent.number("NewerNoncurrentVersions")
    abort = rule.find("AbortIncompleteMultipartUpload")
    if abort is not None:
        found["abort_days"] = abort.number("DaysAfterInitiation")
    return {name: value for name, value in found.items() if value is not None}


def _date(text: str) -> str:
    moment = xml.moment(text).astimezone(dt.UTC)
    if moment.time() != dt.time():
        raise S3Error("InvalidArgument", "'Date' must be at midnight GMT")
    return moment.isoformat().replace("+00:00", "Z")


def _filter_in(where: xml.Element) -> dict[str, Any]:
    inner = where.find("And")
    children = list(inner if inner is not None else where)
    if inner is None and len(children) > 1:
        raise S3Error("MalformedXML")
    found: dict[str, Any] = {}
    scope = inner if inner is not None else where
    if scope.find("Prefix") is not None:
        found["prefix"] = scope.get("Prefix") or ""
    pairs = [(tag.need("Key"), tag.get("Value") or "") for tag in scope.all("Tag")]
    if pairs:
        found["tags"] = [list(pair) for pair in tags.check(pairs).items()]
    for name, field in (("ObjectSizeGreaterThan", "larger_than"), ("ObjectSizeLessThan", "smaller_than")):
        value = scope.number(name)
        if value is not None:
            found[field] = value
    return found


async def delete_lifecycle(call: Call) -> Response:
    call.allow("s3:PutLifecycleConfiguration")
    await edit(call, buckets.removing("lifecycle"))
    return Response(204)


# --- website


async def get_website(call: Call) -> Response:
    call.allow("s3:GetBucketWebsite")
    kept = _document(call, "website")
    out = []
    if kept.get("redirect_all"):
        out.append(f"<RedirectAllRequestsTo>{_texts(kept['redirect_all'], _REDIRECT_ALL)}</RedirectAllRequestsTo>")
    if kept.get("index"):
        out.append(f"<IndexDocument>{xml.element('Suffix', kept['index'])}</IndexDocument>")
    if kept.get("error"):
        out.append(f"<ErrorDocument>{xml.element('Key', kept['error'])}</ErrorDocument>")
    if kept.get("rules"):
        out.append("<RoutingRules>" + "".join(_routing_out(rule) for rule in kept["rules"]) + "</RoutingRules>")
    return answer("WebsiteConfiguration", *out)


def _routing_out(rule: Mapping[str, Any]) -> str:
    when = f"<Condition>{_texts(rule['when'], _WHEN)}</Condition>" if rule.get("when") else ""
    return f"<RoutingRule>{when}<Redirect>{_texts(rule['to'], _TO)}</Redirect></RoutingRule>"


_REDIRECT_ALL = {"HostName": "host", "Protocol": "protocol"}
_WHEN = {"KeyPrefixEquals": "prefix", "HttpErrorCodeReturnedEquals": "status"}
_TO = {
    "HostName": "host",
    "HttpRedirectCode": "code",
    "Protocol": "protocol",
    "ReplaceKeyPrefixWith": "prefix",
    "ReplaceKeyWith": "key",
}


def _texts(kept: Mapping[str, str], names: Mapping[str, str]) -> str:
    return "".join(xml.element(name, kept[field]) for name, field in names.items() if kept.get(field))


def _read_texts(element: xml.Element | None, names: Mapping[str, str]) -> dict[str, str]:
    if element is None:
        return {}
    found = {field: value for name, field in names.items() if (value := element.get(name)) is not None}
    for value in found.values():
        if not value.isascii() or not (value.isprintable() or not value):
            raise S3Error("InvalidArgument", "A redirect's texts are printable ASCII characters: they become part of a header.")
    return found


async def put_website(call: Call) -> Response:
    call.allow("s3:PutBucketWebsite")
    document = await call.xml("WebsiteConfiguration")
    value: dict[str, Any] = {}
    redirect = document.find("RedirectAllRequestsTo")
    if redirect is not None:
        value["redirect_all"] = _read_texts(redirect, _REDIRECT_ALL)
        if not value["redirect_all"].get("host"):
            raise S3Error("MalformedXML")
    index, error = document.find("IndexDocument"), document.find("ErrorDocument")
    if index is not None:
        value["index"] = index.need("Suffix")
        if not value["index"] or "/" in value["index"]:
            raise S3Error("InvalidArgument", "The IndexDocument Suffix is not well formed", ArgumentName="IndexDocument")
    if error is not None:
        value["error"] = error.need("Key")
    rules = document.find("RoutingRules")
    if rules is not None:
        value["rules"] = [
            {"when": _read_texts(rule.find("Condition"), _WHEN), "to": _read_texts(rule.find("Redirect"), _TO)}
            for rule in rules.all("RoutingRule")
        ]
    if "index" not in value and "redirect_all" not in value:
        raise S3Error("InvalidArgument", "A value for IndexDocument Suffix must be provided if RedirectAllRequestsTo is empty")
    await edit(call, buckets.putting("website", value))
    return Response(200)


async def delete_website(call: Call) -> Response:
    call.allow("s3:DeleteBucketWebsite")
    await edit(call, buckets.removing("website"))
    return Response(204)


# --- answered with what is true here, refused when something else is asked for


async def get_payment(call: Call) -> Response:
    call.allow("s3:GetBucketRequestPayment")
    return answer("RequestPaymentConfiguration", "<Payer>BucketOwner</Payer>")


async def put_payment(call: Call) -> Response:
    call.allow("s3:PutBucketRequestPayment")
    document = await call.xml("RequestPaymentConfiguration")
    payer = document.get("Payer")
    if payer == "Requester":
        raise S3Error("NotImplemented", "Requests are paid by the bucket's owner here.")
    if payer != "BucketOwner":
        raise S3Error("MalformedXML")
    return Response(200)


async def get_accelerate(call: Call) -> Response:
    call.allow("s3:GetAccelerateConfiguration")
    return answer("AccelerateConfiguration")


async def get_logging(call: Call) -> Response:
    call.allow("s3:GetBucketLogging")
    return answer("BucketLoggingStatus")


async def put_logging(call: Call) -> Response:
    call.allow("s3:PutBucketLogging")
    document = await call.xml("BucketLoggingStatus")
    if list(document):
        raise S3Error("NotImplemented", "Delivery of access logs into a bucket is not done here.")
    return Response(200)


async def get_replication(call: Call) -> Response:
    call.allow("s3:GetReplicationConfiguration")
    raise S3Error("ReplicationConfigurationNotFoundError", "The replication configuration was not found")
