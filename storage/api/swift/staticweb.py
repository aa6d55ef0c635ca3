"""Static web: a container that everybody may read, as a site (X-Container-Meta-Web-*).

Public document: "StaticWeb" in Swift's middleware documentation.
"""

from __future__ import annotations

from html import escape

from storage.api.swift import headers
from storage.api.swift.call import Call, swift_of
from storage.api.swift.errors import SwiftError
from storage.api.swift.found import at_object
from storage.api.swift.listings import length_and_etag
from storage.api.swift.reading import resolve, send
from storage.directory import BucketInfo
from storage.errors import NoSuchObject, NoSuchVersion
from storage.properties import Properties, unpack
from storage.server import Response

TRUE = ("true", "1", "yes", "on", "t", "y")
HTML = "text/html; charset=UTF-8"


def _meta(bucket: BucketInfo) -> dict[str, str]:
    meta = swift_of(bucket).get("meta", {})
    return {name: headers.utf8(value) for name, value in meta.items() if name.startswith("web-")}


def is_site(call: Call) -> bool:
    """Pages are for those who come without a token, or ask for them (X-Web-Mode)."""
    if call.method not in ("GET", "HEAD") or call.info is None:
        return False
    return call.bearer is None or (call.header("x-web-mode") or "").lower() in TRUE


async def container(call: Call, *, may_list: bool) -> Response | None:
    """A page instead of a listing, if the container is a site; None if it is not."""
    if not is_site(call):
        return None
    meta = _meta(call.bucket)
    if not meta.get("web-index") and meta.get("web-listings", "").lower() not in TRUE:
        return None
    if not call.path_sent.endswith("/"):
        return redirect(call)
    return await folder(call, call.bucket, meta, "", may_list=may_list)


def redirect(call: Call) -> Response:
    scheme = "https" if call.request.tls else "http"
    query = f"?{call.request.query.decode('latin-1')}" if call.signed_for else ""
    location = f"{scheme}://{call.header('host') or ''}{headers.quote(call.path_sent)}/{query}"
    return Response(301, {"Location": location, "Content-Type": HTML})


async def folder(call: Call, bucket: BucketInfo, meta: dict[str, str], prefix: str, *, may_list: bool) -> Response:
    index = meta.get("web-index")
    if index:
        found = await _page(call, prefix + index)
        if found is not None:
            return found
    if meta.get("web-listings", "").lower() in TRUE:
        if may_list:
            return _listing(call, bucket, meta, prefix)
        return await error(call, 401 if call.bearer is None else 403)
    return await error(call, 404)


async def _page(call: Call, name: str) -> Response | None:
    """An object of the site, or None if there is none; 401 if it may not be read."""
    at = at_object(call, call.project, call.container, name)
    await at.load()
    try:
        found = await resolve(at)
    except (NoSuchObject, NoSuchVersion):
        return None
    except SwiftError as failed:
        if failed.status == 404:
            return None
        raise
    answer = headers.of_object(found.version, found.properties) | {"Etag": found.etag} | found.more
    headers.check_read(call, found.etag.strip('"'), headers.changed_ns(found.version, found.properties))
    return await send(at, found, answer)


async def missing(call: Call) -> Response | None:
    """An object of a site is not there: its folder's index or listing, or the site's own page for that."""
    if not is_site(call):
        return None
    bucket = call.bucket
    meta = _meta(bucket)
    if not any(meta.get(name) for name in ("web-index", "web-error")) and meta.get("web-listings", "").lower() not in TRUE:
        return None
    prefix = call.object if call.object.endswith("/") else f"{call.object}/"
    if call.signed_for:
        may_list = not call.signed_exact and prefix.startswith(call.signed_prefix)
    else:
        may_list = call.judge("s3:ListBucket", bucket=bucket, permission="READ", acl="read")
    page = call.plane.store.list(bucket.id, prefix=prefix.encode(), limit=1)
    if page.versions and (meta.get("web-index") or meta.get("web-listings", "").lower() in TRUE):
        if not call.object.endswith("/"):
            return redirect(call)
        return await folder(call, bucket, meta, prefix, may_list=may_list)
    return await error(call, 404)


def marker_redirect(call: Call, properties: Properties) -> Response | None:
    """An object that stands for a folder (web-directory-type) sends on to that folder."""
    if not is_site(call):
        return None
    meta = _meta(call.bucket)
    kind = meta.get("web-directory-type", "application/directory")
    active = meta.get("web-index") or meta.get("web-listings", "").lower() in TRUE
    if active and properties.content_type == kind and not call.object.endswith("/"):
        return redirect(call)
    return None


async def error(call: Call, status: int) -> Response:
    """The site's page <status><web-error>, or the usual one."""
    suffix = _meta(call.bucket).get("web-error")
    if suffix:
        try:
            found = await _page(call, f"{status}{suffix}")
        except SwiftError:
            found = None
        if found is not None:
            found.status = status
            return found
    raise SwiftError(status)


def _tail(call: Call) -> str:
    """What each link of a listing carries on, where a signature opened it."""
    if not call.signed_for:
        return ""
    query = call.query
    kept = [(name, query[name]) for name in ("temp_url_prefix", "temp_url_expires", "temp_url_sig", "temp_url_ip_range") if name in query]
    text = "&amp;".join(f"{name}={escape(headers.quote(value))}" for name, value in kept)
    return f"?{text}{'&amp;inline' if 'inline' in query else ''}"


def _listing(call: Call, bucket: BucketInfo, meta: dict[str, str], prefix: str) -> Response:
    label = meta.get("web-listings-label", f"/v1/{call.account_name}/{call.container}")
    title = escape(f"Listing of {label}/{prefix}" if "web-listings-label" in meta else f"Listing of {call.path}")
    css = meta.get("web-listings-css")
    if css:
        depth = "../" * prefix.count("/")
        address = css if css.startswith(("http://", "https://", "/")) else depth + css
        style = f'<link rel="stylesheet" type="text/css" href="{escape(headers.quote(address, safe="/:"))}" />'
    else:
        style = "<style>h1 {font-size: 1em; font-weight: bold;} th {text-align: left; padding: 0 1em;} td {padding: 0 1em;}</style>"
    rows = []
    tail = _tail(call)
    # A signature for a folder does not reach above it.
    above = prefix.rstrip("/").rpartition("/")[0]
    if prefix and (not call.signed_for or above.startswith(call.signed_prefix.rstrip("/"))):
        rows.append(f'<tr id="parent" class="item"><td class="colname"><a href="../{tail}">../</a></td><td></td><td></td></tr>')
    after = b""
    while True:
        page = call.plane.store.list(bucket.id, prefix=prefix.encode(), delimiter=b"/", after=after, limit=1000)
        for one in page.prefixes:
            name = one.decode("utf-8", "replace")[len(prefix) :]
            rows.append(
                f'<tr class="item subdir"><td class="colname"><a href="./{escape(headers.quote(name))}{tail}">{escape(name)}</a></td>'
                "<td></td><td></td></tr>"
            )
        for version in page.versions:
            name = version.name.decode("utf-8", "replace")[len(prefix) :]
            if not name:
                continue
            properties = unpack(version.meta)
            size, _ = length_and_etag(version, properties)
            kind = "type-" + properties.content_type.lower().partition(";")[0].replace("/", " type-")
            day = headers.iso(headers.changed_ns(version, properties)).replace("T", " ")[:19]
            rows.append(
                f'<tr class="item {escape(kind)}"><td class="colname">'
                f'<a href="./{escape(headers.quote(name))}{tail}">{escape(name)}</a></td>'
                f'<td class="colsize">{size}</td><td class="coldate">{day}</td></tr>'
            )
        if page.next is None:
            break
        after = page.next[0]
    head = '<tr id="header"><th class="colname">Name</th><th class="colsize">Size</th><th class="coldate">Date</th></tr>'
    body = (
        f'<!DOCTYPE html><html><head><title>{title}</title>{style}</head><body><h1 id="title">{title}</h1>'
        f'<table id="listing">{head}{"".join(rows)}</table></body></html>'
    ).encode()
    # What uploaded names say must not run as anything.
    answer = {"Content-Type": HTML, "Content-Security-Policy": "script-src 'none'"}
    return Response(200, answer, length=len(body)) if call.method == "HEAD" else Response(200, answer, body)
