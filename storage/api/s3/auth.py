"""Who sent a request: its signature, checked against the key in the directory."""

from __future__ import annotations

import time

from cloudbox.common.errors import Unauthenticated
from identity import temporary
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
    if claims.session_token:
        credential = await _temporary(directory, claims)
    else:
        credential = directory.peek_credential(claims.access_key) or await directory.find_credential(claims.access_key)
    if credential is None:
        raise Refused(
            Reason.UNKNOWN_KEY, "The AWS Access Key Id you provided does not exist in our records.", AWSAccessKeyId=claims.access_key
        )
    if credential.expires and credential.expires < time.time():
        raise Refused(Reason.TOKEN_EXPIRED, "The provided token has expired.")
    return credential


async def _temporary(directory: Directory, claims: Claims) -> Credential | None:
    """Only what the box has sealed itself is looked up and remembered, so made-up tokens cost no room."""
    try:
        grant = temporary.read(claims.session_token)
    except Unauthenticated:
        grant = None
    if grant is None or grant.access_key != claims.access_key:
        raise Refused(Reason.TOKEN, "The provided token is malformed or otherwise invalid.")
    return await directory.find_temporary(claims.session_token)
