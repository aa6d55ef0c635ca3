"""What SigV4 and SigV2 have in common: the request they look at, the claims they find in it, and the reasons to refuse.

Verification is pure and takes two steps, since the secret lies elsewhere:

    claims = sigv4.read(request, now=…, service="s3")     # None: the request is not signed
    secret = …                                            # of claims.access_key, from a cache; or refuse(Reason.UNKNOWN_KEY, …)
    sigv4.verify(claims, request, secret)                 # raises Refused

A body is not looked at here: `claims.payload` says what is to be checked while it is read.
Public documents: "Signature Version 4 signing process" and "Authenticating Requests (AWS Signature Version 4)" in the reference of
Amazon S3's REST API; "Signing and Authenticating REST Requests" for version 2.
"""

from __future__ import annotations

import enum
import hmac
from collections.abc import Mapping
from typing import NamedTuple

from cloudbox.common.errors import Unauthenticated

SKEW_SECONDS = 15 * 60


class SignedRequest(NamedTuple):
    """A request as it was sent: path and query still percent-encoded, header names in lower case, their values as ISO 8859-1."""

    method: str
    path: bytes
    query: bytes
    headers: Mapping[str, str]


class Reason(enum.Enum):
    """Why a signature is not good, with S3's word for it, whose vocabulary is the richest; other dialects have tables of their own."""

    NO_MATCH = ("it was made with another secret, or over another request", "SignatureDoesNotMatch")
    SKEWED = ("the clocks differ", "RequestTimeTooSkewed")
    UNKNOWN_KEY = ("there is no such access key", "InvalidAccessKeyId")
    HEADER_MALFORMED = ("the header makes no sense", "AuthorizationHeaderMalformed")
    QUERY_MALFORMED = ("the query makes no sense", "AuthorizationQueryParametersError")
    DATE = ("there is no date", "AccessDenied")
    EXPIRED = ("its time is over, or has not begun", "AccessDenied")
    NOT_SIGNED = ("headers are not covered that must be", "AccessDenied")
    INVALID = ("something is missing", "InvalidRequest")
    ARGUMENT = ("a field makes no sense", "InvalidArgument")
    TOKEN = ("the session token is not good", "InvalidToken")
    TOKEN_EXPIRED = ("the session is over", "ExpiredToken")
    BODY = ("the body is not the one that was signed", "XAmzContentSHA256Mismatch")
    UNSUPPORTED = ("this way to sign is not served", "NotImplemented")

    @property
    def code(self) -> str:
        return self.value[1]


class Refused(Unauthenticated):
    """The signature is not good. `detail` holds what helps to find out why (StringToSign, the expected region, …): public facts only."""

    def __init__(self, reason: Reason, message: str, **detail: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.detail = detail


class Payload(enum.Enum):
    """What a signature says about the body."""

    HASHED = "its SHA-256 is `Claims.sha256`"
    UNSIGNED = "nothing"
    CHUNKS = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
    CHUNKS_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
    UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"

    @property
    def is_chunked(self) -> bool:
        """The body is in aws-chunked coding."""
        return self in (Payload.CHUNKS, Payload.CHUNKS_TRAILER, Payload.UNSIGNED_TRAILER)


class Claims(NamedTuple):
    """What a signature says; true once it is verified."""

    access_key: str
    version: int  # 4 or 2
    signature: str
    signed_at: float = 0.0  # seconds since 1970; 0 in SigV2 queries, which only say when they end
    timestamp: str = ""  # the same, as it was signed: 20260131T235959Z
    date: str = ""  # the scope's: 20260131
    region: str = ""
    service: str = ""
    signed_headers: tuple[str, ...] = ()
    payload: Payload = Payload.UNSIGNED
    sha256: str = ""  # lower-case hexadecimal digits, if payload is HASHED
    session_token: str = ""
    presigned: bool = False
    expires_at: float | None = None  # of presigned ones
    content_sha256: str = "UNSIGNED-PAYLOAD"  # the word as it was signed

    @property
    def scope(self) -> str:
        return f"{self.date}/{self.region}/{self.service}/aws4_request"


def same(ours: str, theirs: str) -> bool:
    """In constant time. Foreign text may hold anything."""
    return hmac.compare_digest(ours.encode(), theirs.encode("utf-8", "surrogateescape"))
