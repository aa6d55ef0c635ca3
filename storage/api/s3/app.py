"""The S3 application of a data-plane worker: authenticate, find the bucket, route, render."""

from __future__ import annotations

from collections.abc import Sequence

from storage import cors
from storage.api.s3 import portal, website
from storage.api.s3.auth import authenticate
from storage.api.s3.call import Address, Call, address_of, find_bucket, label_of
from storage.api.s3.errors import S3Error, render
from storage.api.s3.portal import Portal
from storage.api.s3.router import route
from storage.errors import NoSuchBucket
from storage.plane import Plane
from storage.server import Request, Response
from storage.server.errors import ConnectionGone


class S3:
    """An App. `domains` are the host names below which a bucket's name may stand (virtual-host style), `sites` those below which
    buckets are shown as websites, `pages` the box's own."""

    def __init__(self, plane: Plane, *, domains: Sequence[str] = (), sites: Sequence[str] = (), pages: Portal | None = None) -> None:
        self.plane, self.domains, self.sites, self.pages = plane, tuple(domains), tuple(sites), pages or Portal()

    async def __call__(self, request: Request) -> Response:
        call: Call | None = None
        try:
            if self.sites and label_of(request, self.sites):
                call = Call(self.plane, request, address_of(request, self.sites))
                response = await website.serve(call)
            else:
                address = address_of(request, self.domains)
                call = Call(self.plane, request, address)
                response = await self._answer(call, address)
        except ConnectionGone:
            raise
        except Exception as error:
            resource = call.resource if call is not None else ""
            response = render(error, request.id, resource=resource, head=request.method == "HEAD")
        headers = {"x-amz-request-id": request.id, "x-amz-id-2": request.id, **response.headers}
        if call is not None and call.claims is not None and call.claims.presigned and request.method == "GET":
            headers |= portal.guarded(response.headers)
        origin = request.headers.get("origin")
        if origin is not None and request.method != "OPTIONS" and self._is_own_page(request, origin):
            headers |= portal.headers_for(origin)
        elif origin is not None and call is not None and request.method != "OPTIONS":
            # Also of an error: a page that may not read the answer could not even tell what went wrong.
            info = call.info or self.plane.directory.peek_bucket(call.bucket_name)
            if info is not None and info.cors:
                method = request.headers.get("access-control-request-method", request.method)
                headers |= cors.headers_for(info.cors, origin=origin, method=method) or {}
        response.headers = headers
        return response

    def _is_own_page(self, request: Request, origin: str) -> bool:
        if not portal.is_presigned(request.query):
            return False
        return self.pages.includes(origin, request.headers.get("host", "")) or portal.is_named(origin, request.query)

    async def _answer(self, call: Call, address: Address) -> Response:
        request = call.request
        if request.method == "OPTIONS":
            return await self._preflight(call)
        form = request.method == "POST" and not call.key and request.headers.get("content-type", "").startswith("multipart/form-data")
        if not form:  # A form says who posts in its fields.
            await authenticate(call, by_host=address.by_host)
        handler = route(call)
        name = address.bucket
        if name:
            info = self.plane.directory.peek_bucket(name)
            if info is None:
                try:
                    info = await find_bucket(self.plane, name, call.who)
                except NoSuchBucket:
                    if request.method != "PUT" or call.key or call.query.keys() - {"x-id"}:
                        raise
            call.info = info
            if info is not None:
                request.tally = self.plane.traffic.tally(info, about_object=bool(call.key))
                expected = request.headers.get("x-amz-expected-bucket-owner")
                if expected is not None and expected.replace("-", "") != info.owner:
                    raise S3Error("AccessDenied", "The bucket's owner is not the expected one.")
        return await handler(call)

    async def _preflight(self, call: Call) -> Response:
        """RFC of browsers (Fetch, "CORS-preflight request"): not signed, answered from the bucket's rules alone."""
        origin, method = call.header("origin"), call.header("access-control-request-method")
        if origin is None or method is None:
            raise S3Error("BadRequest", "Insufficient information. Origin request header needed.")
        if self._is_own_page(call.request, origin):
            return Response(200, portal.preflight(origin, call.header("access-control-request-headers") or ""))
        if not call.bucket_name:
            raise S3Error("AccessForbidden", "CORSResponse: CORS is not enabled for this address.")
        info = await find_bucket(self.plane, call.bucket_name, call.who)
        requested = [name.strip() for name in (call.header("access-control-request-headers") or "").split(",") if name.strip()]
        found = cors.headers_for(info.cors, origin=origin, method=method, requested=requested)
        if found is None:
            raise S3Error("AccessForbidden", "CORSResponse: This CORS request is not allowed.")
        return Response(200, found)
