"""FormPost: files from a browser's form, signed beforehand with a key of the account or the container.

Public document: "FormPost" in Swift's middleware documentation.
"""

from __future__ import annotations

import hmac
import re
import time
from collections.abc import AsyncIterator

from storage import encryption, objects
from storage.api.swift import headers, tempurl
from storage.api.swift.call import Call
from storage.api.swift.errors import SwiftError
from storage.api.swift.info import FILE_BYTES_MAX
from storage.api.swift.writing import Md5, check_name, check_quotas, dress
from storage.objects import Write
from storage.properties import Properties
from storage.server import Response

FIELD_BYTES_MAX = 64 << 10
FIELDS_MAX = 100
HEAD_BYTES_MAX = 8 << 10
_BOUNDARY = re.compile(r'boundary="?([^";]{1,200})"?')
_WORD = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


class _Reader:
    """A multipart body, part by part, as it comes."""

    def __init__(self, call: Call, boundary: bytes) -> None:
        self._body = call.request.body
        self._mark = b"\r\n--" + boundary
        self._have = b"\r\n"
        self._ended = False

    async def _fill(self) -> bool:
        piece = await self._body.read()
        self._have += piece
        return bool(piece)

    async def next_head(self) -> dict[str, str] | None:
        """The head of the next part, or None after the last one."""
        while (at := self._have.find(self._mark)) < 0:
            self._have = self._have[-len(self._mark) :]
            if not await self._fill():
                return None
        self._have = self._have[at + len(self._mark) :]
        while len(self._have) < 2:
            if not await self._fill():
                return None
        if self._have.startswith(b"--"):
            return None
        while (end := self._have.find(b"\r\n\r\n")) < 0:
            if len(self._have) > HEAD_BYTES_MAX or not await self._fill():
                raise SwiftError(400, "FormPost: invalid request body")
        head, self._have = self._have[:end], self._have[end + 2 :]
        found = {}
        for line in head.decode("latin-1").split("\r\n"):
            name, _, value = line.partition(":")
            found[name.strip().lower()] = value.strip()
        self._first = True
        return found

    async def content(self) -> AsyncIterator[bytes]:
        """The bytes of the present part."""
        # The blank line's own end of line stays, so that an empty part ends right here.
        skip = 2
        while True:
            at = self._have.find(self._mark)
            if at >= 0:
                piece, self._have = self._have[:at], self._have[at:]
                if piece[skip:]:
                    yield piece[skip:]
                return
            keep = len(self._mark) + 2
            if len(self._have) > keep:
                piece, self._have = self._have[:-keep], self._have[-keep:]
                if piece[skip:]:
                    yield piece[skip:]
                skip = max(0, skip - len(piece))
            if not await self._fill():
                raise SwiftError(400, "FormPost: invalid request body")


class _Limited:
    """A file of the form as a source; too many bytes are 413."""

    length: int | None = None

    def __init__(self, pieces: AsyncIterator[bytes], limit: int) -> None:
        self._pieces, self._limit, self._size = pieces, limit, 0

    async def read(self, limit: int = objects.PIECE_BYTES) -> bytes:
        piece = await anext(self._pieces, b"")
        self._size += len(piece)
        if self._size > self._limit:
            raise SwiftError(413, "FormPost: max_file_size exceeded")
        return piece

    async def read_all(self, limit: int) -> bytes:
        found = []
        while piece := await self.read():
            found.append(piece)
        return b"".join(found)


async def post(call: Call) -> Response:
    found = _BOUNDARY.search(call.header("content-type") or "")
    if found is None or not call.container:
        raise SwiftError(400, "FormPost: no boundary")
    bucket = call.info
    reader = _Reader(call, found[1].encode("latin-1"))
    fields: dict[str, str] = {}
    count = 0
    status, message = 0, ""
    try:
        while (head := await reader.next_head()) is not None:
            words = dict(_WORD.findall(head.get("content-disposition", "")))
            if "filename" not in words:
                if len(fields) >= FIELDS_MAX:
                    raise SwiftError(400, "FormPost: too many fields")
                fields[words.get("name", "").lower()] = await _small(reader)
                continue
            name = headers.utf8(words["filename"])
            if not name:
                async for _ in reader.content():
                    pass
                continue
            count += 1
            maximum = _check(call, fields)
            if count > int(fields.get("max_file_count", 0)):
                raise SwiftError(400, "FormPost: max_file_count exceeded")
            if bucket is None:
                raise SwiftError(404)
            key = f"{call.object}{name}".encode()
            check_name(key)
            properties = Properties(content_type=fields.get("content-type") or head.get("content-type") or headers.OCTETS)
            if fields.get("content-encoding"):
                properties.headers["content-encoding"] = fields["content-encoding"]
            if fields.get("x_delete_at") or fields.get("x_delete_after"):
                properties.expires_ns = headers.expiry(
                    {name.replace("_", "-"): fields[name] for name in ("x_delete_at", "x_delete_after") if name in fields}
                )
            dress(bucket, properties)
            await check_quotas(call, bucket, None)
            wish = encryption.wish_of(bucket.documents)
            cause = call.cause("ObjectCreated:Post")
            write = Write(properties, wish, None, None, min(maximum, FILE_BYTES_MAX), key_project=bucket.owner, cause=cause)
            await objects.put(call.plane, bucket, key, _Limited(reader.content(), maximum), Md5(), write)
            status, message = 201, ""
        if not count:
            status, message = 400, "no files to process"
            _check(call, fields)
    except SwiftError as error:
        if error.status == 401:
            raise
        status, message = error.status, error.text
    return _answer(fields, status, message)


async def _small(reader: _Reader) -> str:
    found = b""
    async for piece in reader.content():
        found += piece
        if len(found) > FIELD_BYTES_MAX:
            raise SwiftError(413, "FormPost: a field is too long")
    return found.decode("utf-8", "replace")


def _check(call: Call, fields: dict[str, str]) -> int:
    """The signature over path, redirect, limits and end. Returns the greatest size of a file."""
    try:
        maximum, expires = int(fields.get("max_file_size") or 0), int(fields.get("expires") or 0)
        int(fields.get("max_file_count") or 0)
    except ValueError as error:
        raise SwiftError(400, "FormPost: a limit is not a number") from error
    if maximum < 0:
        raise SwiftError(400, "FormPost: max_file_size is negative")
    found = tempurl.signature_of(fields.get("signature", ""))
    if expires <= time.time() or found is None:
        raise SwiftError(401, "FormPost: Form Expired\n" if expires <= time.time() else "FormPost: Invalid Signature\n")
    path = call.path
    limits = (fields.get("max_file_size") or "0", fields.get("max_file_count") or "0", fields.get("expires") or "0")
    text = "\n".join((path, fields.get("redirect", ""), *limits))
    for key in tempurl.all_keys(call):
        if hmac.compare_digest(hmac.new(headers.utf8(key).encode(), text.encode(), found[0]).hexdigest(), found[1].lower()):
            call.signed_for, call.signed_project = ("PUT",), call.project
            call.signed_prefix, call.signed_exact = call.object, False
            return maximum
    raise SwiftError(401, "FormPost: Invalid Signature\n")


def _answer(fields: dict[str, str], status: int, message: str) -> Response:
    redirect = fields.get("redirect", "")
    if not redirect or not redirect.startswith(("http://", "https://")) or re.search(r"[\x00-\x20]", redirect):
        body = f"<h1>{status}</h1><p>{message}</p>".encode() if message else b""
        return Response(status, {"Content-Type": "text/html; charset=UTF-8"}, body)
    separator = "&" if "?" in redirect else "?"
    location = f"{redirect}{separator}status={status}&message={headers.quote(message)}"
    return Response(303, {"Location": headers.wire(location), "Content-Type": "text/html; charset=UTF-8"})
