"""Uploads by a browser's form (POST Object), allowed by a signed policy.

Public document: "Browser-based uploads using POST" in the reference of Amazon S3's REST API.
"""

from __future__ import annotations

import base64
import json
import re
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from cloudbox.common import clock
from identity.authn import sigv2, sigv4
from storage import objects, tags
from storage.access import NOBODY
from storage.api.s3 import acl_wire, checksums, headers, xml
from storage.api.s3.auth import credential_of
from storage.api.s3.call import Call
from storage.api.s3.configuration import tags_in
from storage.api.s3.errors import S3Error
from storage.api.s3.forms import Form
from storage.api.s3.headers import quoted
from storage.errors import EntityTooLarge, EntityTooSmall, MalformedDocument
from storage.objects import Write
from storage.server import Response

_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", re.ASCII)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+", re.ASCII)
# Fields that a policy need not name.
_FREE = {"bucket", "file", "policy", "signature", "awsaccesskeyid", "x-amz-signature"}


async def post_object(call: Call) -> Response:
    form = Form(call.request.body, call.header("content-type") or "")
    await form.read_fields()
    fields = form.fields
    if "key" not in fields or not fields["key"]:
        raise S3Error(
            "InvalidArgument", "Bucket POST must contain a field named 'key'. If it is specified, please check the order of the fields."
        )
    # Some browsers tell the whole path of the file; what counts is its last part, in the words of either system.
    key = fields["key"].replace("${filename}", re.split(r"[/\\]", form.file_name)[-1])
    call.key = key.encode("utf-8", "surrogateescape")
    fields["key"] = key
    fields["bucket"] = call.bucket_name
    policy = await _authenticate(call, form)
    smallest, largest = _check_policy(policy, form, call) if policy is not None else (0, objects.PUT_MAX_BYTES)
    call.allow("s3:PutObject", key=call.key_text, permission="WRITE")
    given = _as_headers(form)
    call.request.headers = call.request.headers | given  # From here on the form's fields are what a PUT says in headers.
    properties = headers.described(given)
    if "tagging" in fields:
        properties.tags = _tagging(fields["tagging"])
    headers.set_lock(call, properties)
    acl_wire.apply_headers(call, properties)
    if acl_wire.needs_resolving(properties):
        properties.acl = await acl_wire.resolve(call, properties.acl)
    said = checksums.announced(given)
    algorithm = said[0] if said else ""
    digests = checksums.Digests(["MD5", *([algorithm] if algorithm else [])])
    if said:
        header = f"x-amz-checksum-{algorithm.lower()}"
        digests.expect(algorithm, checksums.decoded(algorithm, said[1], header=header), header)

    def finish() -> None:
        if digests.size < smallest:
            raise EntityTooSmall("Your proposed upload is smaller than the minimum allowed size")
        if digests.size > largest:
            raise EntityTooLarge("Your proposed upload exceeds the maximum allowed size")
        digests.check()
        if algorithm:
            properties.checksums = {algorithm.lower(): digests.base64(algorithm)}
            properties.checksum_type = "FULL_OBJECT"

    write = Write(properties, headers.wish(given, call.bucket), finish, size_max=largest, key_project=call.bucket.owner)
    write.cause = call.cause("ObjectCreated:Post")
    version = await objects.put(call.plane, call.bucket, call.check_key(), form, digests, write)
    found = {"ETag": quoted(version.etag)} | headers.encryption_headers(properties.encryption) | headers.checksum_headers(properties)
    if call.bucket.versioning == "enabled":
        found["x-amz-version-id"] = version.id
    return _answer(call, fields, version.etag, found)


def _answer(call: Call, fields: dict[str, str], etag: str, found: dict[str, str]) -> Response:
    found["Location"] = location = call.location
    redirect = fields.get("success_action_redirect") or fields.get("redirect") or ""
    if redirect and urlsplit(redirect).scheme in ("http", "https") and redirect.isascii() and redirect.isprintable():
        parameters = urlencode({"bucket": call.bucket_name, "key": call.key_text, "etag": f'"{etag}"'}, quote_via=quote)
        found["Location"] = f"{redirect}{'&' if urlsplit(redirect).query else '?'}{parameters}"
        return Response(303, found)
    status = fields.get("success_action_status", "")
    if status == "200":
        return Response(200, found)
    if status == "201":
        content = [xml.element("Location", location), xml.element("Bucket", call.bucket_name), xml.element("Key", call.key_text)]
        body = f"{xml.DECLARATION}<PostResponse>{''.join(content)}<ETag>&quot;{etag}&quot;</ETag></PostResponse>".encode()
        return Response(201, found | {"Content-Type": "application/xml"}, body)
    return Response(204, found)


def _as_headers(form: Form) -> dict[str, str]:
    """The fields that mean what a header of a PUT means."""
    found = {}
    for name, value in form.fields.items():
        if name in ("content-type", *headers.KEPT) or (name.startswith("x-amz-") and not name.startswith("x-amz-signature")):
            found[name] = value.encode("utf-8", "surrogateescape").decode("latin-1")
        elif name == "acl":
            found["x-amz-acl"] = value
    if not found.get("content-type") and form.file_type:
        found["content-type"] = form.file_type
    for name, value in found.items():
        # Fields may hold line ends, headers may not: these values come back as headers one day.
        if not _TOKEN.fullmatch(name) or any(ord(letter) < 32 or ord(letter) == 127 for letter in value):
            raise S3Error("InvalidArgument", "A field that stands for a header has characters that no header can have.", ArgumentName=name)
    return found


def _tagging(text: str) -> dict[str, str]:
    try:
        document = xml.parse(text.encode(), "Tagging")
    except MalformedDocument as error:
        raise S3Error("MalformedXML") from error
    return tags_in(document, limit=tags.OBJECT_MAX)


async def _authenticate(call: Call, form: Form) -> Any:
    """Set who posts; gives the policy, or None for an anonymous form."""
    fields = form.fields
    claims = sigv4.read_form(fields) or sigv2.read_form(fields)
    if claims is None:
        if "policy" in fields or "signature" in fields:
            raise S3Error("InvalidArgument", "Bucket POST must contain a field named 'AWSAccessKeyId'.", ArgumentName="AWSAccessKeyId")
        call.who = NOBODY
        return None
    credential = await credential_of(call.plane.directory, claims)
    verify = sigv4.verify_form if claims.version == 4 else sigv2.verify_form
    verify(claims, fields["policy"], credential.secret)
    call.who, call.claims = credential.who, claims
    try:
        policy = json.loads(base64.b64decode(fields["policy"]))
    except (ValueError, RecursionError) as error:
        raise _invalid("Invalid Policy: Invalid JSON.") from error
    if not isinstance(policy, dict):
        raise _invalid("Invalid Policy: it is not an object.")
    return policy


def _invalid(message: str) -> S3Error:
    return S3Error("InvalidPolicyDocument", message)


def _failed(condition: object) -> S3Error:
    return S3Error("AccessDenied", f"Invalid according to Policy: Policy Condition failed: {json.dumps(condition)[:300]}")


def _check_policy(policy: dict[str, Any], form: Form, call: Call) -> tuple[int, int]:
    """Raises unless the form is as the policy wants it; gives the limits of the file's size."""
    expiration, conditions = policy.get("expiration"), policy.get("conditions")
    if not isinstance(expiration, str):
        raise _invalid("Invalid Policy: Policy missing expiration.")
    if not isinstance(conditions, list):
        raise _invalid("Invalid Policy: Policy missing conditions.")
    try:
        if not _MOMENT.fullmatch(expiration):
            raise MalformedDocument("not a moment")
        ends = xml.moment(expiration)
    except MalformedDocument as error:
        raise _invalid(f"Invalid Policy: Invalid 'expiration' value: '{expiration[:60]}'") from error
    if ends <= clock.now():
        raise S3Error("AccessDenied", "Invalid according to Policy: Policy expired.")
    named: set[str] = set()
    limits = (0, objects.PUT_MAX_BYTES)
    for condition in conditions:
        if isinstance(condition, dict) and condition:
            tests = [("eq", key, value) for key, value in condition.items()]
        elif isinstance(condition, list) and len(condition) == 3 and isinstance(condition[0], str):
            if condition[0].lower() == "content-length-range":
                limits = _limits(condition)
                continue
            if not isinstance(condition[1], str) or not condition[1].startswith("$"):
                raise _invalid(f"Invalid Policy: Invalid Conditions: {json.dumps(condition)[:200]}")
            tests = [(condition[0].lower(), condition[1][1:], condition[2])]
        else:
            raise _invalid(f"Invalid Policy: Invalid Conditions: {json.dumps(condition)[:200]}")
        for operator, key, value in tests:
            if operator not in ("eq", "starts-with") or not isinstance(value, str):
                raise _invalid(f"Invalid Policy: Invalid Conditions: {json.dumps(condition)[:200]}")
            name = key.lower()
            named.add(name)
            got = form.fields.get(name, "")
            if not (got == value if operator == "eq" else got.startswith(value)):
                raise _failed(condition)
    for name in form.fields:
        if name not in named and name not in _FREE and not name.startswith(("x-ignore-", "x-amz-checksum-")):
            raise S3Error("AccessDenied", f"Invalid according to Policy: Extra input fields: {form.names.get(name, name)}")
    if "bucket" not in named:
        # Else a policy made for one bucket would open all.
        raise S3Error("AccessDenied", "Invalid according to Policy: it has no condition for the bucket.")
    return limits


def _limits(condition: list[Any]) -> tuple[int, int]:
    try:
        smallest, largest = int(condition[1]), int(condition[2])
    except (ValueError, TypeError) as error:
        raise _invalid("Invalid Policy: Invalid content-length-range.") from error
    if smallest < 0 or largest < smallest:
        raise _invalid("Invalid Policy: Invalid content-length-range.")
    return smallest, min(largest, objects.PUT_MAX_BYTES)
