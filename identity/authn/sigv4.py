"""Signature Version 4 of a request: in its header, its query (presigned), or the form of a browser's upload (POST policy)."""

from __future__ import annotations

import calendar
import hashlib
import hmac
import re
import time
from collections.abc import Collection, Mapping
from email.utils import parsedate_to_datetime
from functools import lru_cache
from posixpath import normpath
from typing import NamedTuple
from urllib.parse import quote, unquote_to_bytes

from identity.authn.signatures import SKEW_SECONDS, Claims, Payload, Reason, Refused, SignedRequest, same

ALGORITHM = "AWS4-HMAC-SHA256"
EXPIRES_MAX_SECONDS = 7 * 24 * 3600
EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
UNSIGNED = "UNSIGNED-PAYLOAD"
_STREAMING = {mode.value: mode for mode in Payload if mode.is_chunked}
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_SIGNATURE = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)
_TIMESTAMP = re.compile(r"[0-9]{8}T[0-9]{6}Z", re.ASCII)
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+", re.ASCII)
_FIXED = re.compile(r"\s*Credential=([^,\s]*)\s*,\s*SignedHeaders=([^,\s]*)\s*,\s*Signature=", re.ASCII)
_PLAIN_PATH = re.compile(rb"[A-Za-z0-9_.~/-]*")
_SPACES = re.compile("[ \t]+")
# Such headers change what a request does, so whoever holds the request on its way must not be able to add one. The exceptions change
# nothing: browsers' SDKs and proxies add them after the signature was made.
_HARMLESS = frozenset(["x-amz-user-agent", "x-amzn-trace-id", "x-amz-cf-id"])


class Scope(NamedTuple):
    access_key: str
    date: str
    region: str
    service: str


# --- reading


def read(
    request: SignedRequest, *, now: float, service: str = "s3", regions: Collection[str] | None = None, body_sha256: str | None = None
) -> Claims | None:
    """The claims of a request that is signed by version 4, or None if it is not (it may be by version 2, or anonymous).

    `regions` are those served (None: any). Services other than S3 sign the SHA-256 of the body (hexadecimal, `body_sha256`) without
    saying it in a header. Raises Refused when the claims make no sense, are too old, or leave something unsigned that must not be.
    """
    header = request.headers.get("authorization")
    if header is not None and header.startswith("AWS4-"):
        if b"X-Amz-Algorithm=" in request.query or b"X-Amz-Signature=" in request.query:
            raise Refused(Reason.ARGUMENT, "A request is signed either in its header or in its query, not in both.")
        return _read_header(request, header, now, service, regions, body_sha256)
    if b"X-Amz-" in request.query and (b"X-Amz-Algorithm=" in request.query or b"X-Amz-Signature=" in request.query):
        return _read_query(request, now, service, regions, body_sha256)
    return None


def _read_header(
    request: SignedRequest, header: str, now: float, service: str, regions: Collection[str] | None, body_sha256: str | None
) -> Claims:
    # All but the signature is the same in a client's requests of one day and kind, and the signature comes last.
    fixed, mark, signature = header.rpartition("Signature=")
    scope, signed = _fixed(fixed + mark if mark else header)
    if scope.service != service or regions is not None:
        _check_scope(scope, service, regions, Reason.HEADER_MALFORMED)
    headers = request.headers
    timestamp, at = _date_of(headers)
    if timestamp[:8] != scope.date:
        raise Refused(Reason.HEADER_MALFORMED, f"The credential is of {scope.date}, but the request of {timestamp[:8]}.")
    if abs(now - at) > SKEW_SECONDS:
        raise Refused(
            Reason.SKEWED,
            "The difference between the time of the request and the time here is too large. Set the clock.",
            RequestTime=timestamp,
            ServerTime=_stamp(now),
            MaxAllowedSkewMilliseconds=str(SKEW_SECONDS * 1000),
        )
    word = headers.get("x-amz-content-sha256")
    if word is None:
        if body_sha256 is None:
            raise Refused(Reason.INVALID, "Missing required header for this request: x-amz-content-sha256.")
        word = body_sha256
    payload = _payload(word)
    _check_signed(headers, signed)
    return Claims(
        access_key=scope.access_key,
        version=4,
        signature=_signature(signature, Reason.HEADER_MALFORMED),
        signed_at=at,
        timestamp=timestamp,
        date=scope.date,
        region=scope.region,
        service=scope.service,
        signed_headers=signed,
        payload=payload,
        sha256=word if payload is Payload.HASHED else "",
        session_token=headers.get("x-amz-security-token", ""),
        content_sha256=word,
    )


def _read_query(request: SignedRequest, now: float, service: str, regions: Collection[str] | None, body_sha256: str | None) -> Claims:
    bad = Reason.QUERY_MALFORMED
    given: dict[str, str] = {}
    for name, value in _pairs(request.query):
        if name.startswith(b"X-Amz-"):
            key = name.decode("latin-1")
            if key in given:
                raise Refused(bad, f"The parameter {key} came twice.")
            given[key] = value.decode("latin-1")
    needed = ("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature", "X-Amz-Date", "X-Amz-SignedHeaders")
    if any(not given.get(name) for name in needed) or (service == "s3" and not given.get("X-Amz-Expires")):
        raise Refused(bad, f"A presigned query needs the parameters {', '.join(needed)} and X-Amz-Expires.")
    if given["X-Amz-Algorithm"] != ALGORITHM:
        raise Refused(bad, f"X-Amz-Algorithm only supports {ALGORITHM}.")
    scope = _scope(given["X-Amz-Credential"], bad)
    _check_scope(scope, service, regions, bad)
    signed = _signed_headers(given["X-Amz-SignedHeaders"], bad)
    timestamp = given["X-Amz-Date"]
    at = _seconds(timestamp)
    if at is None:
        raise Refused(bad, "X-Amz-Date must be in the format 20261231T235959Z.")
    if timestamp[:8] != scope.date:
        raise Refused(bad, f"The credential is of {scope.date}, but the request of {timestamp[:8]}.")
    text = given.get("X-Amz-Expires", str(SKEW_SECONDS))
    if not text.isdecimal() or not text.isascii() or len(text) > 9:
        raise Refused(Reason.EXPIRED, "X-Amz-Expires must be a number of seconds.")
    if not 1 <= int(text) <= EXPIRES_MAX_SECONDS:
        raise Refused(Reason.EXPIRED, f"X-Amz-Expires must be between 1 and {EXPIRES_MAX_SECONDS} seconds (a week).")
    ends = at + int(text)
    if at - now > SKEW_SECONDS:
        raise Refused(Reason.EXPIRED, "The request is not valid yet.", ServerTime=_stamp(now))
    if now > ends:
        raise Refused(Reason.EXPIRED, "Request has expired", Expires=_stamp(ends), ServerTime=_stamp(now))
    word = given.get("X-Amz-Content-Sha256") or request.headers.get("x-amz-content-sha256")
    if word is None:
        word = UNSIGNED if service == "s3" else body_sha256 or EMPTY_SHA256
    payload = _payload(word)
    _check_signed(request.headers, signed, presigned=True)
    return Claims(
        access_key=scope.access_key,
        version=4,
        signature=_signature(given["X-Amz-Signature"], bad),
        signed_at=at,
        timestamp=timestamp,
        date=scope.date,
        region=scope.region,
        service=scope.service,
        signed_headers=signed,
        payload=payload,
        sha256=word if payload is Payload.HASHED else "",
        session_token=given.get("X-Amz-Security-Token", ""),
        presigned=True,
        expires_at=ends,
        content_sha256=word,
    )


def read_form(form: Mapping[str, str], *, service: str = "s3", regions: Collection[str] | None = None) -> Claims | None:
    """The claims of a POST policy form (field names in lower case), or None. When it ends is said in the policy itself."""
    if "x-amz-signature" not in form and "x-amz-algorithm" not in form:
        return None
    missing = [name for name in ("policy", "x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature") if not form.get(name)]
    if missing:
        raise Refused(Reason.ARGUMENT, f"The form needs the field {missing[0]}.", ArgumentName=missing[0])
    if form["x-amz-algorithm"] != ALGORITHM:
        raise Refused(Reason.ARGUMENT, f"The field x-amz-algorithm only supports {ALGORITHM}.", ArgumentName="x-amz-algorithm")
    scope = _scope(form["x-amz-credential"], Reason.ARGUMENT)
    _check_scope(scope, service, regions, Reason.ARGUMENT)
    at = _seconds(form["x-amz-date"])
    if at is None or form["x-amz-date"][:8] != scope.date:
        raise Refused(
            Reason.ARGUMENT, "The field x-amz-date must be like 20261231T235959Z, of the credential's day.", ArgumentName="x-amz-date"
        )
    return Claims(
        access_key=scope.access_key,
        version=4,
        signature=_signature(form["x-amz-signature"], Reason.ARGUMENT),
        signed_at=at,
        timestamp=form["x-amz-date"],
        date=scope.date,
        region=scope.region,
        service=scope.service,
        session_token=form.get("x-amz-security-token", ""),
    )


# --- verifying


def verify(claims: Claims, request: SignedRequest, secret: str) -> None:
    """Raise Refused unless the request, as it came, was signed with this secret."""
    canonical = canonical_request(request, claims)
    text = f"{ALGORITHM}\n{claims.timestamp}\n{claims.scope}\n{hashlib.sha256(canonical).hexdigest()}"
    expected = sign(signing_key(secret, claims.date, claims.region, claims.service), text.encode("latin-1"))
    if not same(expected, claims.signature):
        raise Refused(
            Reason.NO_MATCH,
            "The request signature we calculated does not match the signature you provided. Check your key and signing method.",
            AWSAccessKeyId=claims.access_key,
            StringToSign=text,
            SignatureProvided=claims.signature,
            CanonicalRequest=canonical.decode("latin-1"),
        )


def verify_form(claims: Claims, policy: str, secret: str) -> None:
    """The same for a form; its signature is made over the policy as it was sent (base64)."""
    key = signing_key(secret, claims.date, claims.region, claims.service)
    if not same(sign(key, policy.encode("utf-8", "surrogateescape")), claims.signature):
        raise Refused(
            Reason.NO_MATCH,
            "The signature of the form does not match its policy. Check your key and signing method.",
            AWSAccessKeyId=claims.access_key,
            StringToSign=policy,
            SignatureProvided=claims.signature,
        )


@lru_cache(maxsize=8192)
def signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    """The key of one day, region and service: four digests, so it is kept."""
    key = hmac.digest(b"AWS4" + secret.encode(), date.encode(), "sha256")
    for part in (region, service, "aws4_request"):
        key = hmac.digest(key, part.encode("latin-1"), "sha256")
    return key


def sign(key: bytes, text: bytes) -> str:
    """The signature in hexadecimal digits: HMAC-SHA256, begun from states that are kept, at a third of the cost of hmac.digest."""
    inner, outer = _states(key)
    inner, outer = inner.copy(), outer.copy()
    inner.update(text)
    outer.update(inner.digest())
    return outer.hexdigest()


@lru_cache(maxsize=8192)
def _states(key: bytes) -> tuple[hashlib._Hash, hashlib._Hash]:
    padded = key.ljust(64, b"\0")
    return hashlib.sha256(bytes(byte ^ 0x36 for byte in padded)), hashlib.sha256(bytes(byte ^ 0x5C for byte in padded))


def canonical_request(request: SignedRequest, claims: Claims) -> bytes:
    """The text whose digest is signed."""
    headers = request.headers
    lines = []
    for name in claims.signed_headers:
        value = headers.get(name, "")
        if "  " in value or "\t" in value or value[:1] == " " or value[-1:] == " ":
            value = _SPACES.sub(" ", value).strip(" ")
        lines.append(f"{name}:{value}\n")
    path = canonical_path(request.path, claims.service)
    query = canonical_query(request.query, presigned=claims.presigned) if request.query else ""
    return f"{request.method}\n{path}\n{query}\n{''.join(lines)}\n{';'.join(claims.signed_headers)}\n{claims.content_sha256}".encode(
        "latin-1"
    )


def canonical_path(path: bytes, service: str) -> str:
    """S3 encodes each byte of the path once and changes nothing else; other services tidy the path and encode it once more."""
    if service != "s3":
        tidy = normpath(b"/" + path.lstrip(b"/")) + (b"/" if len(path) > 1 and path.endswith(b"/") else b"")
        return quote(tidy.replace(b"//", b"/"), safe="/-_.~")
    if _PLAIN_PATH.fullmatch(path):
        return path.decode("ascii") or "/"
    return quote(unquote_to_bytes(path), safe="/-_.~")


def canonical_query(query: bytes, *, presigned: bool = False) -> str:
    """Parameters encoded in one way, sorted by name and value as they are encoded; without the signature itself."""
    pairs = sorted(
        (quote(name, safe="-_.~"), quote(value, safe="-_.~"))
        for name, value in _pairs(query)
        if not (presigned and name == b"X-Amz-Signature")
    )
    return "&".join([f"{name}={value}" for name, value in pairs])


def _pairs(query: bytes) -> list[tuple[bytes, bytes]]:
    """Percent-decoded. A plus sign is a space, as the services read it."""
    parts = (item.partition(b"=") for item in query.replace(b"+", b"%20").split(b"&") if item)
    return [(unquote_to_bytes(name), unquote_to_bytes(value)) for name, _, value in parts]


# --- parts


@lru_cache(maxsize=8192)
def _fixed(text: str) -> tuple[Scope, tuple[str, ...]]:
    """What an Authorization header says up to its signature."""
    algorithm, _, rest = text.partition(" ")
    if algorithm != ALGORITHM:
        raise Refused(Reason.UNSUPPORTED, f"The signature algorithm {algorithm[:40]} is not served here; {ALGORITHM} is.")
    match = _FIXED.fullmatch(rest)
    if not match:
        raise Refused(
            Reason.HEADER_MALFORMED,
            "The Authorization header must be: AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…, in this order.",
        )
    return _scope(match[1], Reason.HEADER_MALFORMED), _signed_headers(match[2], Reason.HEADER_MALFORMED)


@lru_cache(maxsize=8192)
def _scope(credential: str, bad: Reason) -> Scope:
    parts = credential.split("/")
    if len(parts) != 5 or not all(parts):
        raise Refused(bad, "The credential must be KEY/DATE/REGION/SERVICE/aws4_request.")
    if parts[4] != "aws4_request":
        raise Refused(bad, 'The credential must end with "aws4_request".')
    if len(parts[1]) != 8 or not parts[1].isdecimal() or not parts[1].isascii():
        raise Refused(bad, "The credential's date must be like 20261231.")
    return Scope(*parts[:4])


def _check_scope(scope: Scope, service: str, regions: Collection[str] | None, bad: Reason) -> None:
    if scope.service != service:
        raise Refused(bad, f"The credential is for the service '{scope.service}', this one is '{service}'.")
    if regions is not None and scope.region not in regions:
        expected = next(iter(regions))
        raise Refused(bad, f"The region '{scope.region}' is wrong; expecting '{expected}'.", Region=expected)


@lru_cache(maxsize=4096)
def _signed_headers(text: str, bad: Reason) -> tuple[str, ...]:
    names = tuple(text.split(";"))
    if not all(_NAME.fullmatch(name) for name in names) or len(set(names)) != len(names):
        raise Refused(bad, "SignedHeaders must name headers in lower case, each once, separated by semicolons.")
    if "host" not in names:
        raise Refused(bad, "The header host must be signed.")
    return names


def _check_signed(headers: Mapping[str, str], signed: tuple[str, ...], *, presigned: bool = False) -> None:
    left_out = [
        name
        for name in headers
        if name.startswith("x-amz-") and name not in signed and name not in _HARMLESS and not (presigned and name == "x-amz-content-sha256")
    ]
    if left_out:
        raise Refused(
            Reason.NOT_SIGNED, "There were headers present in the request which were not signed.", HeadersNotSigned=", ".join(left_out)
        )


def _signature(text: str, bad: Reason) -> str:
    if not _SIGNATURE.fullmatch(text):
        raise Refused(Reason.NO_MATCH if text else bad, "The signature must be 64 hexadecimal digits.", SignatureProvided=text[:256])
    return text


@lru_cache(maxsize=4096)
def _seconds(timestamp: str) -> float | None:
    if not _TIMESTAMP.fullmatch(timestamp):
        return None
    try:
        return float(calendar.timegm(time.strptime(timestamp, "%Y%m%dT%H%M%SZ")))
    except ValueError:
        return None


def _date_of(headers: Mapping[str, str]) -> tuple[str, float]:
    """When the request was signed: x-amz-date, else Date in either form."""
    text = headers.get("x-amz-date")
    if text is not None:
        at = _seconds(text)
        if at is None:
            raise Refused(Reason.DATE, "AWS authentication requires a valid Date or x-amz-date header")
        return text, at
    text = headers.get("date", "")
    at = _seconds(text)
    if at is not None:
        return text, at
    try:
        at = parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        raise Refused(Reason.DATE, "AWS authentication requires a valid Date or x-amz-date header") from None
    return _stamp(at), at


def _stamp(seconds: float) -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(seconds))


def _payload(word: str) -> Payload:
    if word == UNSIGNED:
        return Payload.UNSIGNED
    if _SHA256.fullmatch(word):
        return Payload.HASHED
    mode = _STREAMING.get(word)
    if mode is not None:
        return mode
    if word.startswith("STREAMING-AWS4-ECDSA"):
        raise Refused(Reason.UNSUPPORTED, "Signatures by elliptic curves (SigV4A) are not served here.")
    raise Refused(
        Reason.ARGUMENT,
        "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, a STREAMING- mode, or the SHA-256 of the body in hexadecimal digits.",
        ArgumentName="x-amz-content-sha256",
        ArgumentValue=word[:128],
    )
