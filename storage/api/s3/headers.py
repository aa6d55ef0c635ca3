"""Headers of objects: from a request to properties, wishes and conditions, and back to an answer."""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import formatdate, mktime_tz, parsedate_tz
from functools import lru_cache

from cloudbox.common import clock
from storage import encryption, locks, tags
from storage.api.s3 import acl_wire, xml
from storage.api.s3.call import Call
from storage.api.s3.checksums import ALGORITHMS
from storage.api.s3.errors import S3Error
from storage.directory import BucketInfo
from storage.encryption import AES256, CUSTOMER, KMS, CustomerKey, Wish
from storage.engine import Condition, Version
from storage.errors import ConditionFailed, EncryptionRequired, NoSuchObject, NothingThere, NotModified
from storage.properties import Properties

SECOND = 1_000_000_000
USER_PREFIX = "x-amz-meta-"
USER_MAX_BYTES = 2048
KEPT = ("cache-control", "content-disposition", "content-encoding", "content-language", "expires")
CLASSES = ("STANDARD", "REDUCED_REDUNDANCY", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER", "DEEP_ARCHIVE", "GLACIER_IR")


@lru_cache(maxsize=4096)
def http_date(seconds: int) -> str:
    return formatdate(seconds, usegmt=True)


def quoted(etag: str) -> str:
    return f'"{etag}"'


# --- from a request


def described(headers: Mapping[str, str]) -> Properties:
    """What a client says about an object: type, kept headers, metadata."""
    properties = Properties(content_type=headers.get("content-type", ""))
    for name in KEPT:
        if name in headers:
            properties.headers[name] = headers[name]
    if "aws-chunked" in properties.headers.get("content-encoding", ""):
        # It codes the transfer, not the object.
        rest = [word.strip() for word in properties.headers["content-encoding"].split(",")]
        rest = [word for word in rest if word and word.lower() != "aws-chunked"]
        del properties.headers["content-encoding"]
        if rest:
            properties.headers["content-encoding"] = ", ".join(rest)
    size = 0
    for name, value in headers.items():
        if name.startswith(USER_PREFIX):
            properties.user[name[len(USER_PREFIX) :]] = value
            size += len(name) - len(USER_PREFIX) + len(value)
    if size > USER_MAX_BYTES:
        raise S3Error(
            "InvalidRequest",
            "Your metadata headers exceed the maximum allowed metadata size",
            MaxSizeAllowed=str(USER_MAX_BYTES),
            Size=str(size),
        )
    if "x-amz-website-redirect-location" in headers:
        properties.redirect = headers["x-amz-website-redirect-location"]
    kept = headers.get("x-amz-storage-class", "")
    if kept and kept != "STANDARD":
        if kept not in CLASSES:
            raise S3Error("InvalidStorageClass", "The storage class you specified is not valid", StorageClassRequested=kept)
        properties.storage_class = kept
    return properties


def new_properties(call: Call) -> Properties:
    """All properties of an object that this request will write: also tags, lock, ACL, owner."""
    properties = described(call.headers)
    dress(call, properties)
    return properties


def dress(call: Call, properties: Properties) -> None:
    """Tags, lock, owner and ACL of an object to be, from the request's headers and the bucket's defaults."""
    headers, bucket = call.headers, call.bucket
    tagging = headers.get("x-amz-tagging")
    if tagging:
        properties.tags = tags.from_query(tagging)
    set_lock(call, properties)
    acl_wire.apply_headers(call, properties)
    if bucket.acls_off:
        properties.owner, properties.acl = "", []


def set_lock(call: Call, properties: Properties) -> None:
    headers, bucket = call.headers, call.bucket
    mode, until = headers.get("x-amz-object-lock-mode"), headers.get("x-amz-object-lock-retain-until-date")
    hold = headers.get("x-amz-object-lock-legal-hold")
    if not (mode or until or hold):
        if bucket.object_lock:
            properties.retention = locks.default_retention(bucket.documents, clock.now())
        return
    if not bucket.object_lock:
        raise S3Error("InvalidRequest", "Bucket is missing Object Lock Configuration")
    if bool(mode) != bool(until):
        raise S3Error("InvalidArgument", "x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be supplied")
    if mode and until:
        if mode not in ("GOVERNANCE", "COMPLIANCE"):
            raise S3Error("InvalidArgument", "Unknown wormMode directive")
        ends = xml.moment(until)
        if ends <= clock.now():
            raise S3Error("InvalidArgument", "The retain until date must be in the future!")
        properties.retention = [mode, locks.ns_of(ends)]
    elif bucket.object_lock:
        properties.retention = locks.default_retention(bucket.documents, clock.now())
    if hold:
        if hold not in ("ON", "OFF"):
            raise S3Error("InvalidArgument", "Legal Hold must be either of 'ON' or 'OFF'")
        properties.legal_hold = hold == "ON"


# --- encryption

_SSE = "x-amz-server-side-encryption"


def customer_key(headers: Mapping[str, str], *, source: bool = False) -> CustomerKey | None:
    """The SSE-C key of a request; with `source`, the one of the object that is copied."""
    prefix = f"x-amz-copy-source{_SSE[5:]}-customer" if source else f"{_SSE}-customer"
    return CustomerKey.read(headers.get(f"{prefix}-algorithm"), headers.get(f"{prefix}-key"), headers.get(f"{prefix}-key-md5"))


def wish(headers: Mapping[str, str], bucket: BucketInfo) -> Wish:
    """How the request, or the bucket's default, wants a new object to be encrypted."""
    customer = customer_key(headers)
    algorithm, key_name = headers.get(_SSE), headers.get(f"{_SSE}-aws-kms-key-id")
    if customer is not None:
        if algorithm or key_name:
            raise S3Error(
                "InvalidArgument", "Server Side Encryption with Customer provided key is incompatible with the encryption method specified"
            )
        return Wish(CUSTOMER, customer=customer)
    if algorithm is None:
        if key_name:
            raise S3Error("InvalidArgument", "The key id of KMS needs x-amz-server-side-encryption: aws:kms.")
        return encryption.wish_of(bucket.documents) if not bucket.plain else encryption.PLAIN
    if algorithm == AES256:
        if key_name:
            raise S3Error("InvalidArgument", "The key id of KMS needs x-amz-server-side-encryption: aws:kms.")
        return Wish(AES256)
    if algorithm == KMS:
        if not key_name:
            raise S3Error("InvalidArgument", "Server Side Encryption with KMS needs the name of a key of the project.")
        return Wish(KMS, key_name, bucket_key=headers.get(f"{_SSE}-bucket-key-enabled", "").lower() == "true")
    raise S3Error("InvalidArgument", "The encryption method specified is not supported", ArgumentName=_SSE, ArgumentValue=algorithm)


def refuse_encryption_on_read(headers: Mapping[str, str]) -> None:
    """These headers belong to writes; with a read they are a mistake."""
    if _SSE in headers or f"{_SSE}-aws-kms-key-id" in headers:
        raise EncryptionRequired("The encryption headers of a write make no sense in this request.")


def encryption_headers(kept: Mapping[str, object]) -> dict[str, str]:
    """Of an answer."""
    if not kept:
        return {}
    if kept["a"] == CUSTOMER:
        return {f"{_SSE}-customer-algorithm": "AES256", f"{_SSE}-customer-key-MD5": str(kept["m"])}
    found = {_SSE: str(kept["a"])}
    if kept["a"] == KMS:
        found[f"{_SSE}-aws-kms-key-id"] = str(kept["name"])
        if kept.get("b"):
            found[f"{_SSE}-bucket-key-enabled"] = "true"
    return found


# --- conditions


def etags_match(header: str, etag: str) -> bool:
    """Does an If-Match list name this etag? Clients often leave the quotation marks off."""
    if header.strip() == "*":
        return True
    return any(one.strip().removeprefix("W/").strip('"') == etag for one in header.split(","))


def date_of(header: str | None) -> float | None:
    """Seconds since 1970; None if it is no date, and then to be passed over (RFC 9110)."""
    if not header:
        return None
    if header.isdigit():
        return float(header)
    try:
        parsed = parsedate_tz(header)
        if parsed is not None:
            return float(mktime_tz(parsed))
        return xml.moment(header).timestamp()
    except Exception:
        return None


_CONDITIONS = frozenset(["if-match", "if-none-match", "if-modified-since", "if-unmodified-since"])


def check_read(headers: Mapping[str, str], version: Version, prefix: str = "") -> None:
    """The conditions of a read, in the order of RFC 9110, section 13.2.2. Raises ConditionFailed or NotModified.

    With the prefix x-amz-copy-source- they are those of a copy, where "not modified" is a failed condition as well.
    """
    if not prefix and _CONDITIONS.isdisjoint(headers):
        return
    modified = version.modified_ns // SECOND
    match, unmodified = headers.get(f"{prefix}if-match"), date_of(headers.get(f"{prefix}if-unmodified-since"))
    if match is not None:
        if not etags_match(match, version.etag):
            raise ConditionFailed("If-Match")
    elif unmodified is not None and modified > unmodified:
        raise ConditionFailed("If-Unmodified-Since")
    none, since = headers.get(f"{prefix}if-none-match"), date_of(headers.get(f"{prefix}if-modified-since"))
    if none is not None:
        if etags_match(none, version.etag):
            raise ConditionFailed("If-None-Match") if prefix else NotModified(etag=version.etag, modified_ns=version.modified_ns)
    elif since is not None and modified <= since:
        raise ConditionFailed("If-Modified-Since") if prefix else NotModified(etag=version.etag, modified_ns=version.modified_ns)


def write_condition(headers: Mapping[str, str]) -> Condition | None:
    """If-Match and If-None-Match of a write: judged by the store at the moment of the change."""
    match, none = headers.get("if-match"), headers.get("if-none-match")
    if match is None and none is None:
        return None

    def check(current: Version | None) -> None:
        there = current if current is not None and not current.delete_marker else None
        if match is not None:
            if there is None:
                raise NoSuchObject("The specified key does not exist.")
            if not etags_match(match, there.etag):
                raise ConditionFailed("If-Match")
        if none is not None and there is not None and etags_match(none, there.etag):
            raise ConditionFailed("If-None-Match")

    return check


def delete_condition(match: str | None, size: str | None, modified: str | None) -> Condition | None:
    """The conditions of a deletion: the object's etag, size and time. What is not there is deleted, whatever the conditions."""
    if match is None and size is None and modified is None:
        return None
    wanted = date_of(modified)

    def check(current: Version | None) -> None:
        if current is None:
            raise NothingThere
        if match is not None and not etags_match(match, current.etag):
            raise ConditionFailed("If-Match")
        if size is not None and size != str(current.size):
            raise ConditionFailed("x-amz-if-match-size")
        if modified is not None and (wanted is None or int(wanted) != current.modified_ns // SECOND):
            raise ConditionFailed("x-amz-if-match-last-modified-time")

    return check


# --- to an answer

_CHECKSUM_HEADERS = {name.lower(): f"x-amz-checksum-{name.lower()}" for name in ALGORITHMS}
_OVERRIDES = {
    "response-content-type": "Content-Type",
    "response-content-language": "Content-Language",
    "response-expires": "Expires",
    "response-cache-control": "Cache-Control",
    "response-content-disposition": "Content-Disposition",
    "response-content-encoding": "Content-Encoding",
}
_SHOWN = {name: "-".join(word.capitalize() for word in name.split("-")) for name in KEPT}


def of_version(version: Version, properties: Properties, bucket: BucketInfo) -> dict[str, str]:
    """The headers that tell of an object."""
    found = {
        "ETag": f'"{version.etag}"',
        "Last-Modified": http_date(version.modified_ns // SECOND),
        "Content-Type": properties.content_type or "binary/octet-stream",
        "Accept-Ranges": "bytes",
    }
    if bucket.versioning != "off":
        found["x-amz-version-id"] = version.id
    if properties.headers:
        for name, value in properties.headers.items():
            found[_SHOWN.get(name, name)] = value
    for name, value in properties.user.items():
        found[USER_PREFIX + name] = value
    if properties.encryption:
        found |= encryption_headers(properties.encryption)
    if properties.tags:
        found["x-amz-tagging-count"] = str(len(properties.tags))
    if properties.retention:
        found["x-amz-object-lock-mode"] = properties.retention[0]
        found["x-amz-object-lock-retain-until-date"] = xml.iso(properties.retention[1])
    if properties.legal_hold:
        found["x-amz-object-lock-legal-hold"] = "ON"
    if properties.redirect:
        found["x-amz-website-redirect-location"] = properties.redirect
    if properties.storage_class:
        found["x-amz-storage-class"] = properties.storage_class
    return found


def checksum_headers(properties: Properties) -> dict[str, str]:
    if not properties.checksums:
        return {}
    found = {_CHECKSUM_HEADERS[name]: value for name, value in properties.checksums.items()}
    found["x-amz-checksum-type"] = properties.checksum_type or "FULL_OBJECT"
    return found


def overrides(call: Call) -> dict[str, str]:
    """What the query wants other headers to say; only signed requests may."""
    found = {_OVERRIDES[name]: value for name, value in call.query.items() if name in _OVERRIDES}
    if found and call.who.anonymous:
        raise S3Error("InvalidRequest", "Request specific response headers cannot be used for anonymous GET requests.")
    for value in found.values():
        if any(ord(letter) < 32 or ord(letter) > 255 for letter in value):
            raise S3Error("InvalidArgument", "A header's value cannot hold such characters.")
    return found


def require_lock(bucket: BucketInfo) -> None:
    if not bucket.object_lock:
        raise S3Error("InvalidRequest", "Bucket is missing Object Lock Configuration")
