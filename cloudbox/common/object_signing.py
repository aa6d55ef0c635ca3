"""How a client signs S3 requests: Signature Version 4, in headers and in the query (presigned addresses).

The other side of it, verification, is identity.authn.sigv4; the tests hold both against botocore.
Public document: "Signature Version 4 signing process" in the reference of Amazon S3's REST API.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote

ALGORITHM = "AWS4-HMAC-SHA256"
UNSIGNED = "UNSIGNED-PAYLOAD"
EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
SECONDS_MAX = 7 * 24 * 3600  # S3's limit for a presigned address.


@dataclass(frozen=True, slots=True)
class Keys:
    """Who signs. A `session_token` belongs to keys that live for a while."""

    access_key: str
    secret_key: str
    session_token: str = ""


def encoded_path(bucket: str, key: str = "") -> str:
    """The path of a bucket or an object, as it is sent and signed: encoded once, whatever the name holds."""
    path = f"/{quote(bucket, safe='')}"
    return f"{path}/{quote(key, safe='/~', errors='surrogateescape')}" if key else path


def encoded_query(query: Mapping[str, str]) -> str:
    """In the order that signatures want; a parameter without a value keeps its equals sign."""
    pairs = sorted((quote(name, safe="~"), quote(value, safe="~", errors="surrogateescape")) for name, value in query.items())
    return "&".join(f"{name}={value}" for name, value in pairs)


def signed_headers(
    keys: Keys, method: str, path: str, query: str, headers: Mapping[str, str], *, region: str, payload: str, now: float | None = None
) -> dict[str, str]:
    """`headers` (in lower case, with host) and what signs them. `payload` is the body's SHA-256 in hexadecimal, or UNSIGNED."""
    stamp = _stamp(now)
    found = dict(headers) | {"x-amz-date": stamp, "x-amz-content-sha256": payload}
    if keys.session_token:
        found["x-amz-security-token"] = keys.session_token
    names = ";".join(sorted(found))
    signature = _signature(keys, stamp, region, _canonical(method, path, query, found, payload))
    scope = f"{keys.access_key}/{_scope(stamp, region)}"
    found["authorization"] = f"{ALGORITHM} Credential={scope}, SignedHeaders={names}, Signature={signature}"
    return found


def presigned_query(
    keys: Keys,
    method: str,
    path: str,
    query: Mapping[str, str],
    headers: Mapping[str, str],
    *,
    region: str,
    seconds: int,
    now: float | None = None,
) -> str:
    """The query of an address that anybody may use for so long. `headers` (with host) are those that they must send just so."""
    assert 1 <= seconds <= SECONDS_MAX
    stamp = _stamp(now)
    given = dict(query) | {
        "X-Amz-Algorithm": ALGORITHM,
        "X-Amz-Credential": f"{keys.access_key}/{_scope(stamp, region)}",
        "X-Amz-Date": stamp,
        "X-Amz-Expires": str(seconds),
        "X-Amz-SignedHeaders": ";".join(sorted(headers)),
    }
    if keys.session_token:
        given["X-Amz-Security-Token"] = keys.session_token
    text = encoded_query(given)
    return f"{text}&X-Amz-Signature={_signature(keys, stamp, region, _canonical(method, path, text, headers, UNSIGNED))}"


def _canonical(method: str, path: str, query: str, headers: Mapping[str, str], payload: str) -> str:
    names = sorted(headers)
    lines = "".join(f"{name}:{' '.join(headers[name].split())}\n" for name in names)
    return f"{method}\n{path}\n{query}\n{lines}\n{';'.join(names)}\n{payload}"


def _signature(keys: Keys, stamp: str, region: str, canonical: str) -> str:
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"{ALGORITHM}\n{stamp}\n{_scope(stamp, region)}\n{digest}"
    return hmac.digest(_signing_key(keys.secret_key, stamp[:8], region), text.encode(), "sha256").hex()


@lru_cache(maxsize=256)
def _signing_key(secret: str, date: str, region: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for word in (date, region, "s3", "aws4_request"):
        key = hmac.digest(key, word.encode(), "sha256")
    return key


def _scope(stamp: str, region: str) -> str:
    return f"{stamp[:8]}/{region}/s3/aws4_request"


def _stamp(now: float | None) -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() if now is None else now))
