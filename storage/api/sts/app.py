"""One request of the query protocol: read, check its signature, act, answer."""

from __future__ import annotations

import hashlib
import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import parse_qsl
from uuid import UUID
from xml.sax.saxutils import escape

from cloudbox.common import errors
from identity import temporary
from identity.authn import sigv4
from identity.authn.session import context_of
from identity.authn.signatures import Claims, Reason, Refused, SignedRequest
from identity.context import Context
from identity.models import Project, User
from storage.api.sts.actions import IAM, STS, Act, Caller
from storage.directory import Credential, Directory
from storage.loading import visiting
from storage.plane import Plane
from storage.server import Request, Response
from storage.server.errors import ConnectionGone

log = logging.getLogger(__name__)
BODY_BYTES_MAX = 64 << 10
FIELDS_MAX = 100
_SERVICE = re.compile(rb"/(sts|iam)/aws4_request|%2F(sts|iam)%2Faws4_request", re.IGNORECASE)
_VERSIONS = {"sts": "https://sts.amazonaws.com/doc/2011-06-15/", "iam": "https://iam.amazonaws.com/doc/2010-05-08/"}
_ACTIONS: dict[str, Mapping[str, Act]] = {"sts": STS, "iam": IAM}
Lookup = Callable[[Directory, Claims], Awaitable[Credential]]

_REASONS = {
    Reason.NO_MATCH: ("SignatureDoesNotMatch", 403),
    Reason.SKEWED: ("SignatureDoesNotMatch", 403),
    Reason.BODY: ("SignatureDoesNotMatch", 403),
    Reason.EXPIRED: ("SignatureDoesNotMatch", 403),
    Reason.UNKNOWN_KEY: ("InvalidClientTokenId", 403),
    Reason.TOKEN: ("InvalidClientTokenId", 403),
    Reason.TOKEN_EXPIRED: ("ExpiredToken", 403),
}
_MEANINGS: tuple[tuple[type[errors.CloudError], str, int], ...] = (
    (errors.NotFound, "NoSuchEntity", 404),
    (errors.NotSupported, "InvalidParameterCombination", 400),
    (errors.Forbidden, "AccessDenied", 403),
    (errors.Unauthenticated, "InvalidClientTokenId", 403),
    (errors.Invalid, "ValidationError", 400),
    (errors.Unavailable, "ServiceUnavailable", 503),
    (errors.Conflict, "LimitExceeded", 409),
)


class QueryError(Exception):
    def __init__(self, code: str, status: int, message: str) -> None:
        super().__init__(message)
        self.code, self.status, self.message = code, status, message


def is_query(request: Request) -> bool:
    """No address of S3's or Swift's: a form posted to "/", or an action in the query of "/"."""
    if request.path != b"/":
        return False
    if request.method == "POST":
        return request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
    return request.method == "GET" and (request.query.startswith(b"Action=") or b"&Action=" in request.query)


class Sts:
    """An App. `lookup` finds the credential that signed, lasting or temporary."""

    def __init__(self, plane: Plane, *, lookup: Lookup) -> None:
        self.plane, self.lookup = plane, lookup

    async def __call__(self, request: Request) -> Response:
        service = "sts"
        try:
            body = await request.body.read_all(BODY_BYTES_MAX)
            found = _SERVICE.search(request.headers.get("authorization", "").encode("latin-1") + request.query)
            service = ((found[1] or found[2]) if found else b"sts").decode().lower()
            params = _params(request, body)
            act = _ACTIONS[service].get(params.get("Action", ""))
            caller = await self._caller(request, service, body)
            if act is None:
                raise QueryError("InvalidAction", 400, f"{service.upper()} here has no action {params.get('Action', '')[:100]!r}.")
            inside = await self.plane.run(act, caller, params)
        except ConnectionGone:
            raise
        except Exception as error:
            return _refusal(request, service, error)
        action = params["Action"]
        result = f"<{action}Result>{inside}</{action}Result>"
        told = f"<ResponseMetadata><RequestId>{request.id}</RequestId></ResponseMetadata>"
        text = f'<{action}Response xmlns="{_VERSIONS[service]}">{result}{told}</{action}Response>'
        return Response(200, {"Content-Type": "text/xml", "Cache-Control": "no-store"}, text.encode())

    async def _caller(self, request: Request, service: str, body: bytes) -> Caller:
        signed = SignedRequest(request.method, request.path, request.query, request.headers)
        claims = sigv4.read(signed, now=time.time(), service=service, body_sha256=hashlib.sha256(body).hexdigest())
        if claims is None:
            raise QueryError("MissingAuthenticationToken", 403, "The request is not signed (Signature Version 4).")
        credential = await self.lookup(self.plane.directory, claims)
        sigv4.verify(claims, signed, credential.secret)
        if claims.sha256 and claims.sha256 != hashlib.sha256(body).hexdigest():
            raise QueryError("SignatureDoesNotMatch", 403, "The body is not the one that was signed.")
        grant = temporary.read(claims.session_token) if claims.session_token else None
        ctx = await self.plane.run(_context, credential.user, credential.project, service, request.id) if credential.user else None
        return Caller(credential, grant, ctx)


@visiting
def _context(user: UUID, project: UUID, api: str, request_id: str) -> Context:
    slug = Project.objects.values_list("slug", flat=True).get(id=project)
    return context_of(User.objects.get(id=user), slug, api=api, request_id=request_id)


def _params(request: Request, body: bytes) -> dict[str, str]:
    raw = body if request.method == "POST" else request.query
    try:
        pairs = parse_qsl(raw.decode(), keep_blank_values=True, max_num_fields=FIELDS_MAX, errors="strict")
    except ValueError as error:
        raise QueryError("MalformedQueryString", 400, "The parameters are no form of UTF-8 text.") from error
    found = dict(pairs)
    if len(found) != len(pairs) or any("\0" in text for pair in pairs for text in pair):
        raise QueryError("MalformedQueryString", 400, "A parameter is there twice, or holds what is no text.")
    return found


def _refusal(request: Request, service: str, error: Exception) -> Response:
    if isinstance(error, QueryError):
        code, status, message = error.code, error.status, error.message
    elif isinstance(error, Refused):
        code, status = _REASONS.get(error.reason, ("IncompleteSignature", 400))
        message = str(error)
    elif isinstance(error, errors.CloudError):
        code, status = next(((code, status) for kind, code, status in _MEANINGS if isinstance(error, kind)), ("ValidationError", 400))
        message = error.message
    else:
        log.exception("request %s failed", request.id)
        code, status, message = "InternalFailure", 500, "An internal error happened. Try again."
    kind = "Sender" if status < 500 else "Receiver"
    inside = f"<Type>{kind}</Type><Code>{code}</Code><Message>{escape(_printable(message))}</Message>"
    text = f'<ErrorResponse xmlns="{_VERSIONS[service]}"><Error>{inside}</Error><RequestId>{request.id}</RequestId></ErrorResponse>'
    return Response(status, {"Content-Type": "text/xml"}, text.encode("utf-8", "replace"))


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
