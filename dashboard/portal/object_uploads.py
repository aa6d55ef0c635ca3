"""Uploads from a bucket's page: the browser sends every body straight to the store, by addresses that are signed here for just that
body (its checksum is signed, too). What the store has is asked of the store, so an upload goes on after a reload, or in another browser.
"""

from __future__ import annotations

import base64
import binascii
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.http import HttpRequest
from django.urls import path

from cloudbox.common.errors import Conflict, Invalid, NotFound, TooLarge
from cloudbox.common.object_client import Head
from dashboard.object_names import shown, unwire, why_unreachable, wire
from dashboard.portal.object_store import ADDRESS_SECONDS, Body, Place, Row, answers_json, public_url

FILES_AT_ONCE = 100
LOOKS_AT_ONCE = 8
MIB = 2**20
WHOLE_BYTES_MAX = 8 * MIB  # Up to here a file is one PUT.
PART_BYTES_MIN, PARTS_MAX = 8 * MIB, 10_000
FILE_BYTES_MAX = 5 * 2**40
SIGN_AT_ONCE = 32


def part_bytes(size: int) -> int:
    """A whole number of MiB, so that a file of this size has at most PARTS_MAX parts."""
    return max(PART_BYTES_MIN, -(-size // PARTS_MAX // MIB) * MIB)


@answers_json
def begin(where: Place, body: Body, request: HttpRequest) -> dict[str, Any]:
    """What to do with each file: an address for a small one (which says its `crc32`), an upload for a large one; or that the name is
    taken, which is asked only where replacing loses something.
    """
    url = _store(request)
    replace = body.flag("replace") or where.keeps_versions
    files = body.rows("files", FILES_AT_ONCE)
    keys = [_key(file) for file in files]
    with ThreadPoolExecutor(LOOKS_AT_ONCE) as pool:
        there: list[Head | None] = [None] * len(keys) if replace else list(pool.map(lambda key: _there(where, key), keys))
    return {
        "files": [_begun(where, file, key, old, url, _page(request), replace) for file, key, old in zip(files, keys, there, strict=True)]
    }


def _store(request: HttpRequest) -> str:
    url = public_url(request)
    if not url:
        raise Conflict("The object store of this box cannot be reached from a page that came by https.")
    return url


def _key(file: Body) -> str:
    """The object that a file becomes: `path` as the browser names it, below `folder` as our addresses carry names."""
    key = unwire(wire(unwire(file.text("folder")) + file.text("path")))
    if not key or key.endswith("/"):
        raise Invalid("A name of a file does not end with a slash.", field="path")
    if reason := why_unreachable(key):
        raise Invalid(f"{shown(key)}: {reason}", field="path")
    return key


def _there(where: Place, key: str) -> Head | None:
    try:
        return where.client.head(where.name, key)
    except NotFound:
        return None


def _page(request: HttpRequest) -> dict[str, str]:
    """For the query of an address: which page will use it. CSRF protection has compared the header with our own host."""
    origin = request.headers.get("Origin", "")
    return {"x-cloudbox-origin": origin} if origin else {}


def _begun(where: Place, file: Row, key: str, old: Head | None, url: str, page: dict[str, str], replace: bool) -> dict[str, Any]:
    if old is not None:
        return {"there": old.size}
    size, kind = file.number("size", FILE_BYTES_MAX), _kind(file)
    if size <= WHOLE_BYTES_MAX:
        headers = {"content-type": kind, "x-amz-checksum-crc32": _crc32(file)} | ({} if replace else {"if-none-match": "*"})
        address = where.client.presign("PUT", where.name, key, seconds=ADDRESS_SECONDS, query=page, headers=headers, base_url=url)
        return {"url": address, "headers": headers}
    headers = {"content-type": kind, "x-amz-checksum-algorithm": "CRC32", "x-amz-checksum-type": "FULL_OBJECT"}
    return {"upload": where.client.create_upload(where.name, key, headers=headers), "part": part_bytes(size)}


def _kind(file: Row) -> str:
    """The type that the browser takes it for. It decides nothing here: the store shows no upload as a page that runs."""
    text = file.text("type")[:127]
    good = text.isascii() and text.isprintable() and text.count("/") == 1 and " " not in text
    return text if good else "application/octet-stream"


def _crc32(file: Row) -> str:
    text = file.text("crc32")
    try:
        good = len(base64.b64decode(text, validate=True)) == 4
    except (binascii.Error, ValueError):
        good = False
    if not good:
        raise Invalid("A checksum is four bytes in base64.", field="crc32")
    return text


@answers_json
def sign(where: Place, body: Body, request: HttpRequest) -> dict[str, Any]:
    """An address for each part, good for that part alone: its checksum is signed."""
    url, key, upload = _store(request), _key(body), body.text("upload")
    found = []
    for part in body.rows("parts", SIGN_AT_ONCE):
        number, headers = part.number("number", PARTS_MAX), {"x-amz-checksum-crc32": _crc32(part)}
        query = {"uploadId": upload, "partNumber": str(number)} | _page(request)
        address = where.client.presign("PUT", where.name, key, seconds=ADDRESS_SECONDS, query=query, headers=headers, base_url=url)
        found.append({"number": number, "url": address, "headers": headers})
    return {"parts": found}


@answers_json
def parts(where: Place, body: Body, request: HttpRequest) -> dict[str, Any]:
    """What the store has of it."""
    found = where.client.list_parts(where.name, _key(body), body.text("upload"))
    return {"parts": [{"number": part.number, "size": part.size, "crc32": part.crc32} for part in found]}


@answers_json
def complete(where: Place, body: Body, request: HttpRequest) -> dict[str, Any]:
    """Make an object of the parts, if they are all there."""
    key, upload, size = _key(body), body.text("upload"), body.number("size", FILE_BYTES_MAX)
    found = where.client.list_parts(where.name, key, upload)
    if sum(part.size for part in found) != size:
        raise Conflict(f"Parts of {shown(key)} are missing in the store. Pause and resume it; they are sent again.")
    if len(found) > PARTS_MAX:
        raise TooLarge(f"An object has at most {PARTS_MAX} parts.")
    headers = {} if body.flag("replace") or where.keeps_versions else {"if-none-match": "*"}
    return {"etag": where.client.complete_upload(where.name, key, upload, found, headers=headers)}


@answers_json
def abort(where: Place, body: Body, request: HttpRequest) -> dict[str, Any]:
    """Give its parts' room back."""
    where.client.abort_upload(where.name, _key(body), body.text("upload"))
    return {}


_BASE = "/buckets/<str:name>/o/uploads"
urlpatterns = [
    path(_BASE, begin, name="upload-begin"),
    path(f"{_BASE}/sign", sign, name="upload-sign"),
    path(f"{_BASE}/parts", parts, name="upload-parts"),
    path(f"{_BASE}/complete", complete, name="upload-complete"),
    path(f"{_BASE}/abort", abort, name="upload-abort"),
]
