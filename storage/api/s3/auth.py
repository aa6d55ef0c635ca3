"""Who sent a request: its signature, checked against the key in the directory."""

from __future__ import annotations

import time

from identity.authn import sigv2, sigv4
from identity.authn.signatures import Claims, Reason, Refused, SignedRequest
from storage.access import NOBODY
from storage.api.s3.call import Call
from storage.api.s3.errors import S3Error
from storage.directory import Credential, Directory


async def authenticate(call: Call, *, by_host: bool) -> None:
    """Set `who`, `claims` and what chunk signatures need; an unsigned request stays anonymous. Raises Refused or S3Error."""
    request = call.request
    signed = SignedRequest(request.method, request.path, request.query, request.headers)
    now = time.time()
    claims = sigv4.read(signed, now=now) or sigv2.read(signed, now=now)
    if claims is None:
        if "authorization" in request.headers:
            raise S3Error("InvalidArgument", "Unsupported Authorization Type", ArgumentName="Authorization")
        call.who = NOBODY
        return
    credential = await credential_of(call.plane.directory, claims)
    if claims.version == 4:
        sigv4.verify(claims, signed, credential.secret)
        if claims.payload.is_chunked:
            call.signing_key = sigv4.signing_key(credential.secret, claims.date, claims.region, claims.service)
    else:
        sigv2.verify(claims, signed, credential.secret, bucket=call.bucket_name if by_host else "")
    call.who, call.claims = credential.who, claims


async def credential_of(directory: Directory, claims: Claims) -> Credential:
    """The key that signed. Raises Refused."""
    credential = directory.peek_credential(claims.access_key)
    if credential is None:
        credential = await directory.find_credential(claims.access_key)
    if credential is None:
        raise Refused(
            Reason.UNKNOWN_KEY, "The AWS Access Key Id you provided does not exist in our records.", AWSAccessKeyId=claims.access_key
        )
    if claims.session_token != credential.session_token:
        raise Refused(Reason.TOKEN, "The provided token is malformed or otherwise invalid.")
    if credential.expires and credential.expires < time.time():
        raise Refused(Reason.TOKEN_EXPIRED, "The provided token has expired.")
    return credential
