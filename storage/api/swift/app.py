"""The Swift application of a data-plane worker: address, token, route, errors, CORS."""

from __future__ import annotations

import time
from collections.abc import Sequence

from storage.api.swift import accounts, bulk, containers, copying, headers, info, objects, reading, staticweb, tempurl
from storage.api.swift.call import Call, Handler, domain_of, swift_of
from storage.api.swift.errors import SwiftError, render
from storage.api.swift.found import look
from storage.errors import NoSuchObject, NoSuchVersion
from storage.plane import Plane
from storage.server import Request, Response
from storage.server.errors import ConnectionGone

VERSIONS = ("v1", "v1.0")
# Whom a CORS answer may show these, beside what the container says.
EXPOSED = (
    "cache-control",
    "content-language",
    "content-type",
    "expires",
    "last-modified",
    "pragma",
    "etag",
    "x-timestamp",
    "x-trans-id",
    "x-openstack-request-id",
)

ACCOUNT: dict[str, Handler] = {"GET": accounts.get, "HEAD": accounts.get, "POST": accounts.post, "PUT": containers.put}
CONTAINER: dict[str, Handler] = {
    "GET": containers.get,
    "HEAD": containers.get,
    "PUT": containers.put,
    "POST": containers.post,
    "DELETE": containers.delete,
}
OBJECT: dict[str, Handler] = {
    "GET": reading.get,
    "HEAD": reading.get,
    "PUT": objects.put,
    "POST": objects.post,
    "DELETE": objects.delete,
    "COPY": copying.copy,
}


def is_swift(request: Request) -> bool:
    """Is this request Swift's, and not S3's? No bucket can be called v1; what is signed is S3's, what shows a token Swift's."""
    path = request.path
    if path.startswith((b"/v1/", b"/v1.0/")) or path in (b"/v1", b"/v1.0"):
        return True
    if "authorization" in request.headers:
        return False
    return "x-auth-token" in request.headers or (path == b"/info" and b"X-Amz-" not in request.query and b"Signature=" not in request.query)


class Swift:
    """An App. Below `domains`, the host's name may stand for an account or a container."""

    def __init__(self, plane: Plane, *, domains: Sequence[str] = ()) -> None:
        self.plane, self.domains = plane, tuple(domains)

    def serves(self, request: Request) -> bool:
        """Is this request Swift's, and not S3's?"""
        return is_swift(request) or bool(self.domains and domain_of(request, self.domains))

    async def __call__(self, request: Request) -> Response:
        call: Call | None = None
        head = request.method == "HEAD"
        try:
            if request.path == b"/info" and not domain_of(request, self.domains):
                if request.method not in ("GET", "HEAD", "OPTIONS"):
                    raise SwiftError(405, headers={"Allow": "GET, HEAD, OPTIONS"})
                response = info.answer(self.plane, head=head)
            else:
                call = Call(self.plane, request, self.domains)
                response = await self._answer(call)
        except ConnectionGone:
            raise
        except Exception as error:
            response = render(error, realm=call.account_name if call else "unknown", head=head)
        if call is not None:
            if call.signed_for and tempurl.is_asked(call):
                tempurl.clean(call, response)
            response.headers = {**response.headers, **call.answer_headers}
            if call.object and "Etag" in response.headers and _quotes_etags(call):
                response.headers = {**response.headers, "Etag": f'"{response.headers["Etag"].strip(chr(34))}"'}
            cors = _cors(call, response)
            if cors:
                response.headers = {**response.headers, **cors}
        # 21 and 10 hexadecimal digits, the second the time, as Swift's clients read them; in the first is the id of the log.
        transaction = f"tx{request.id.lower():0>21}-{int(time.time()):010x}"
        response.headers = {**response.headers, "X-Trans-Id": transaction, "X-Openstack-Request-Id": transaction}
        return response

    async def _answer(self, call: Call) -> Response:
        if call.version not in VERSIONS:
            raise SwiftError(412, "Bad URL: it begins with /v1/AUTH_<project id>.")
        if not call.account_name:
            raise SwiftError(404)
        if call.object and not call.container:
            raise SwiftError(404)
        await call.load()
        if call.method == "OPTIONS":
            return _options(call)
        await _authenticate(call)
        if call.flag("bulk-delete") and call.method in ("POST", "DELETE"):
            if call.signed_for:
                raise SwiftError(401)  # A signature is for one object, or those below one prefix.
            return await bulk.delete(call)
        table = OBJECT if call.object else CONTAINER if call.container else ACCOUNT
        handler = table.get(call.method)
        if handler is None:
            if call.bearer is None and not call.signed_for:
                raise SwiftError(401)
            raise SwiftError(405, headers={"Allow": ", ".join(sorted({*table, "OPTIONS"}))})
        if table is ACCOUNT and call.method == "PUT" and not call.flag("extract-archive"):
            raise SwiftError(405 if call.bearer else 401, headers={"Allow": "GET, HEAD, OPTIONS, POST"})
        if handler is objects.put:
            if call.flag("extract-archive"):
                handler = containers.put
            elif call.flag("version-id"):
                handler = copying.restore
        if handler is objects.post and (call.header("content-type") or "").startswith("multipart/form-data") and call.bearer is None:
            handler = containers.post
        return await self._with_site(call, handler)

    async def _with_site(self, call: Call, handler: Handler) -> Response:
        """Where a static site is asked for what it has not, its own pages answer."""
        try:
            if handler is reading.get and staticweb.is_site(call):
                redirect = _folder_marker(call)
                if redirect is not None:
                    return redirect
            return await handler(call)
        except SwiftError as error:
            if handler is reading.get and error.status in (401, 404) and call.info is not None and staticweb.is_site(call):
                page = await (staticweb.missing(call) if error.status == 404 else _denied(call))
                if page is not None:
                    return page
            raise


def _folder_marker(call: Call) -> Response | None:
    if call.info is None or not staticweb.is_site(call):
        return None
    try:
        _, properties = look(call, call.info, call.key, None)
    except (NoSuchObject, NoSuchVersion):
        return None
    call.allow_read(properties)
    return staticweb.marker_redirect(call, properties)


async def _denied(call: Call) -> Response | None:
    if not staticweb._meta(call.bucket).get("web-error"):
        return None
    return await staticweb.error(call, 401)


async def _authenticate(call: Call) -> None:
    if tempurl.is_asked(call) and "x-auth-token" not in call.headers:
        tempurl.check(call)
        return
    text = call.header("x-auth-token") or call.header("x-storage-token")
    if not text:
        return
    bearer = await call.plane.directory.find_token(text) if len(text) <= 255 else None
    if bearer is None or bearer.expires <= time.time():
        raise SwiftError(401)
    call.bearer, call.who = bearer, bearer.who


def _quotes_etags(call: Call) -> bool:
    """ETags in quotes, as HTTP has them, where the container or else the account wants it ("Etag Quoter" in Swift's documentation)."""
    of_container = swift_of(call.info).get("rfc_etags") if call.info else None
    of_account = call.account.documents.get("rfc_etags") if call.account else None
    return bool(of_account if of_container is None else of_container)


# --- CORS ("CORS" in Swift's overview): rules are the container's metadata


def _origins(call: Call) -> list[str]:
    meta = swift_of(call.info).get("meta", {}) if call.info else {}
    return headers.utf8(meta.get("access-control-allow-origin", "")).split()


def _options(call: Call) -> Response:
    table = OBJECT if call.object else CONTAINER if call.container else ACCOUNT
    allow = ", ".join(sorted({*table, "OPTIONS"} - ({"PUT"} if table is ACCOUNT else set())))
    origin = call.header("origin")
    if origin is None or not call.container:
        return Response(200, {"Allow": allow})  # Of an account there is nothing that pages elsewhere may ask.
    wanted = call.header("access-control-request-method")
    origins = _origins(call)
    if wanted is None or wanted not in table or not ("*" in origins or origin in origins):
        raise SwiftError(401, headers={"Allow": allow})
    meta = swift_of(call.bucket).get("meta", {})
    found = {
        "Allow": allow,
        "Access-Control-Allow-Origin": "*" if "*" in origins else origin,
        "Access-Control-Allow-Methods": allow,
        "Vary": "Origin, Access-Control-Request-Headers",
    }
    if meta.get("access-control-max-age"):
        found["Access-Control-Max-Age"] = meta["access-control-max-age"]
    asked = call.header("access-control-request-headers")
    if asked:
        found["Access-Control-Allow-Headers"] = ", ".join(name.strip() for name in asked.split(",") if name.strip())
    return Response(200, found)


def _cors(call: Call, response: Response) -> dict[str, str]:
    origin = call.header("origin")
    if origin is None or call.method == "OPTIONS" or call.info is None:
        return {}
    origins = _origins(call)
    if not ("*" in origins or origin in origins):
        return {}
    meta = swift_of(call.info).get("meta", {})
    exposed = [*EXPOSED, *(name.lower() for name in response.headers if name.lower().startswith(("x-container-meta", "x-object-meta")))]
    exposed += headers.utf8(meta.get("access-control-expose-headers", "")).split()
    found = {
        "Access-Control-Allow-Origin": "*" if "*" in origins else origin,
        "Access-Control-Expose-Headers": ", ".join(dict.fromkeys(exposed)),
    }
    return found if "*" in origins else found | {"Vary": "Origin"}
