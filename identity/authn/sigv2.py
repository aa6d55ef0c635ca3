"""Signature Version 2 of S3 requests: in the header, the query, or a form. Old, but old programs have nothing else."""

from __future__ import annotations

import base64
import hmac
import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from urllib.parse import unquote_to_bytes

from identity.authn.signatures import SKEW_SECONDS, Claims, Payload, Reason, Refused, SignedRequest, same

# The parameters that are part of what a request means, and so of what is signed.
SUBRESOURCES = frozenset(
    "accelerate acl analytics cors defaultObjectAcl delete encryption intelligent-tiering inventory legal-hold lifecycle location logging "
    "metrics notification object-lock ownershipControls partNumber policy policyStatus publicAccessBlock replication requestPayment "
    "response-cache-control response-content-disposition response-content-encoding response-content-language response-content-type "
    "response-expires restore retention select select-type storageClass tagging torrent uploadId uploads versionId versioning versions "
    "website".split()
)
_SIGNATURE = re.compile(r"[A-Za-z0-9+/]{27}=", re.ASCII)


def read(request: SignedRequest, *, now: float) -> Claims | None:
    """The claims of a request signed by version 2, or None. Raises Refused when they make no sense or are too old."""
    header = request.headers.get("authorization")
    if header is not None and header.startswith("AWS "):
        key, colon, signature = header[4:].strip().partition(":")
        if not colon or not key or not signature:
            raise Refused(Reason.ARGUMENT, "The Authorization header must be: AWS KEY:SIGNATURE.", ArgumentName="Authorization")
        return _read_header(request.headers, key, signature, now)
    if b"Signature=" in request.query and b"AWSAccessKeyId=" in request.query:
        return _read_query(request, now)
    return None


def _read_header(headers: Mapping[str, str], key: str, signature: str, now: float) -> Claims:
    text = headers["x-amz-date"] if "x-amz-date" in headers else headers.get("date", "")
    try:
        at = parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        raise Refused(Reason.DATE, "AWS authentication requires a valid Date or x-amz-date header") from None
    if at < 0:
        raise Refused(Reason.DATE, "AWS authentication requires a valid Date or x-amz-date header")
    if abs(now - at) > SKEW_SECONDS:
        raise Refused(
            Reason.SKEWED,
            "The difference between the time of the request and the time here is too large. Set the clock.",
            RequestTime=text,
            ServerTime=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now)),
            MaxAllowedSkewMilliseconds=str(SKEW_SECONDS * 1000),
        )
    return Claims(
        access_key=key,
        version=2,
        signature=_good(signature),
        signed_at=at,
        payload=Payload.UNSIGNED,
        session_token=headers.get("x-amz-security-token", ""),
    )


def _read_query(request: SignedRequest, now: float) -> Claims:
    given = {name: value.decode("latin-1") for name, value in _pairs(request.query)}
    key, signature, text = (given.get(name, "") for name in (b"AWSAccessKeyId", b"Signature", b"Expires"))
    if not (key and signature and text):
        raise Refused(Reason.INVALID, "Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters")
    if not text.isdecimal() or not text.isascii() or len(text) > 12:
        raise Refused(Reason.ARGUMENT, "The parameter Expires must be a time in seconds since 1970.")
    if now > int(text):
        raise Refused(Reason.EXPIRED, "Request has expired", Expires=text)
    token = given.get(b"x-amz-security-token", "")
    return Claims(
        access_key=key, version=2, signature=_good(signature), session_token=token, presigned=True, expires_at=float(text), timestamp=text
    )


def read_form(form: Mapping[str, str]) -> Claims | None:
    """The claims of a POST policy form (field names in lower case), or None."""
    if "awsaccesskeyid" not in form or "x-amz-algorithm" in form:
        return None
    missing = [name for name in ("policy", "signature") if not form.get(name)]
    if missing:
        raise Refused(Reason.ARGUMENT, f"The form needs the field {missing[0]}.", ArgumentName=missing[0])
    token = form.get("x-amz-security-token", "")
    return Claims(access_key=form["awsaccesskeyid"], version=2, signature=_good(form["signature"]), session_token=token)


def verify(claims: Claims, request: SignedRequest, secret: str, *, bucket: str = "") -> None:
    """Raise Refused unless the request was signed with this secret. `bucket` is the one that was named by the host, if any."""
    text = string_to_sign(claims, request, bucket=bucket)
    good = same(_sign(secret, text.encode("latin-1")), claims.signature)
    if not good and not bucket and request.path.count(b"/") == 1 and request.path != b"/":
        # AWS's own clients sign "/bucket/" when they ask for "/bucket".
        slashed = string_to_sign(claims, request._replace(path=request.path + b"/"), bucket=bucket)
        good = same(_sign(secret, slashed.encode("latin-1")), claims.signature)
    if not good:
        raise Refused(
            Reason.NO_MATCH,
            "The request signature we calculated does not match the signature you provided. Check your key and signing method.",
            AWSAccessKeyId=claims.access_key,
            StringToSign=text,
            SignatureProvided=claims.signature,
        )


def verify_form(claims: Claims, policy: str, secret: str) -> None:
    """The same for a form, whose policy is signed as it was sent (base64)."""
    if not same(_sign(secret, policy.encode("utf-8", "surrogateescape")), claims.signature):
        raise Refused(
            Reason.NO_MATCH,
            "The signature of the form does not match its policy. Check your key and signing method.",
            AWSAccessKeyId=claims.access_key,
            StringToSign=policy,
            SignatureProvided=claims.signature,
        )


def string_to_sign(claims: Claims, request: SignedRequest, *, bucket: str = "") -> str:
    """The text that is signed."""
    headers = request.headers
    date = claims.timestamp if claims.presigned else "" if "x-amz-date" in headers else headers.get("date", "")
    said = {name: value.strip(" ") for name, value in headers.items() if name.startswith("x-amz-")}
    if claims.presigned:
        # An address carries as parameters what a request carries as headers, and clients sign it as if it were headers.
        for field, given in _pairs(request.query):
            if field.lower().startswith(b"x-amz-"):
                said.setdefault(field.decode("latin-1").lower(), given.decode("latin-1"))
    amz = "".join(f"{name}:{said[name]}\n" for name in sorted(said))
    resource = (f"/{bucket}" if bucket else "") + request.path.decode("latin-1")
    kept = []
    for name, value in sorted(_pairs(request.query)):
        text = name.decode("latin-1")
        if text in SUBRESOURCES:
            kept.append(f"{text}={value.decode('latin-1')}" if value else text)
    if kept:
        resource += "?" + "&".join(kept)
    return f"{request.method}\n{headers.get('content-md5', '')}\n{headers.get('content-type', '')}\n{date}\n{amz}{resource}"


def _sign(secret: str, text: bytes) -> str:
    return base64.b64encode(hmac.digest(secret.encode(), text, "sha1")).decode()


def _good(signature: str) -> str:
    if not _SIGNATURE.fullmatch(signature):
        raise Refused(Reason.NO_MATCH, "The signature must be the base64 form of 20 bytes.", SignatureProvided=signature[:256])
    return signature


def _pairs(query: bytes) -> list[tuple[bytes, bytes]]:
    parts = (item.partition(b"=") for item in query.replace(b"+", b"%20").split(b"&") if item)
    return [(unquote_to_bytes(name), unquote_to_bytes(value)) for name, _, value in parts]
