"""Buckets as static websites, on hosts of their own (`<bucket>.s3-website.<domain>`): pages for browsers, by the bucket's rules.

Public document: "Hosting a static website using Amazon S3". Everybody who comes is anonymous, so only what a policy or an ACL opens to
everybody is shown.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from cloudbox.common.errors import CloudError
from storage.api.s3 import objects
from storage.api.s3.call import Call
from storage.api.s3.errors import STATUS, S3Error, code_of
from storage.errors import NotModified
from storage.properties import Properties, unpack
from storage.server import Response

PAGE = {"Content-Type": "text/html; charset=utf-8"}
_REDIRECTS = frozenset([301, 302, 303, 307, 308])


async def serve(call: Call) -> Response:
    """Answer a browser. Nothing is raised: an error is a page as well."""
    try:
        if call.request.method not in ("GET", "HEAD"):
            raise S3Error("MethodNotAllowed", headers={"Allow": "GET, HEAD"})
        if not call.bucket_name:
            raise S3Error("NoSuchBucket")
        call.info = await call.bucket_of(call.bucket_name)
        call.request.tally = call.plane.traffic.tally(call.info, about_object=True)
        site = call.info.documents.get("website")
        if not site:
            raise S3Error("NoSuchWebsiteConfiguration")
        return await _page(call, site)
    except NotModified as error:
        return Response(304, {"ETag": f'"{error.etag}"'})
    except CloudError as error:
        return _error_page(call, error)


async def _page(call: Call, site: Mapping[str, Any]) -> Response:
    if site.get("redirect_all"):
        return _redirect(call, site["redirect_all"], call.key, default=301)
    asked = call.key
    for rule in site.get("rules", ()):
        when = rule.get("when", {})
        if not when.get("status") and asked.startswith(when.get("prefix", "").encode()):
            return _redirect(call, rule["to"], asked, prefix=when.get("prefix", ""), default=301)
    index = site.get("index", "").encode()
    if not asked or asked.endswith(b"/"):
        call.key = asked + index
    try:
        return await _object(call)
    except NotModified:
        raise
    except CloudError as error:
        status = _status(error)
        if status == 404 and asked and not asked.endswith(b"/") and call.plane.store.get(call.bucket.id, asked + b"/" + index) is not None:
            # A name that begins with a slash must not become the name of another host.
            return Response(302, {"Location": "/" + quote(asked, safe="" if asked.startswith(b"/") else "/") + "/"})
        for rule in site.get("rules", ()):
            when = rule.get("when", {})
            if when.get("status") == str(status) and asked.startswith(when.get("prefix", "").encode()):
                return _redirect(call, rule["to"], asked, prefix=when.get("prefix", ""), default=301)
        if site.get("error"):
            return await _error_document(call, site["error"].encode(), status, error)
        raise


async def _object(call: Call) -> Response:
    version = call.plane.store.get(call.bucket.id, call.key)
    properties = unpack(version.meta) if version is not None else Properties()
    answer = await objects.get_object(call)
    if properties.redirect:
        return Response(301, {"Location": properties.redirect})
    return answer


async def _error_document(call: Call, key: bytes, status: int, error: CloudError) -> Response:
    call.key = key
    call.request.headers = {name: value for name, value in call.request.headers.items() if name != "range" and not name.startswith("if-")}
    try:
        answer = await objects.get_object(call)
    except CloudError:
        raise error from None
    answer.status = status
    return answer


def _redirect(call: Call, to: Mapping[str, str], key: bytes, *, prefix: str = "", default: int) -> Response:
    if to.get("key") is not None:
        target = to["key"].encode()
    elif to.get("prefix") is not None:
        target = to["prefix"].encode() + key[len(prefix.encode()) :]
    else:
        target = key
    code = int(to["code"]) if to.get("code", "").isdecimal() and int(to["code"]) in _REDIRECTS else default
    scheme = to.get("protocol") or ("https" if call.request.tls else "http")
    return Response(code, {"Location": f"{scheme}://{to.get('host') or call.header('host') or ''}/{quote(target)}"})


def _status(error: CloudError) -> int:
    return STATUS.get(code_of(error), 400)


def _error_page(call: Call, error: CloudError) -> Response:
    status, code = _status(error), code_of(error)
    about = PAGE | dict(error.headers) if isinstance(error, S3Error) else PAGE
    if call.request.method == "HEAD":
        return Response(status, about)
    text = (
        f'<!doctype html><html lang="en"><title>{status} {code}</title><h1>{status} {code}</h1>'
        f"<p>{html.escape(error.message)}</p><p>Request {call.request.id}</p></html>\n"
    )
    return Response(status, about, text.encode())
