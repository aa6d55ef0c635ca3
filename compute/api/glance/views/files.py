"""Bytes of images: uploaded, staged and downloaded as streams; and imports."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any, BinaryIO

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse

from cloudbox.bodies import Incoming
from cloudbox.common.errors import Conflict, Invalid, NotSupported
from cloudbox.common.fields import body_of
from compute import host
from compute import image_uploads as verbs
from compute.api.glance.errors import UnsatisfiableRange, UnsupportedMediaType, glance
from compute.api.glance.views.images import find
from compute.api.openstack.service import Caller, nothing
from compute.models import Image

BYTES = "application/octet-stream"
PIECE_BYTES = 256 * 1024
METHODS = ("glance-direct", "web-download")
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
S = Image.Status


def _put(request: HttpRequest, caller: Caller, id: str, *, stage: bool) -> HttpResponse:
    """Asked twice by `cloudbox.bodies.StreamedBodies`: where to, and then to take it over."""
    row = find(caller, id)
    caller.ctx.require("images.manage")
    if request.content_type != BYTES:
        raise UnsupportedMediaType(f"The body must be {BYTES}.")
    incoming: Incoming | None = getattr(request, "scope", {}).get("incoming")
    if incoming is None:
        incoming = _read(request, verbs.where(caller.ctx, row.id))
    if not incoming.is_complete:
        incoming.path = verbs.where(caller.ctx, row.id)
        return nothing(202)
    assert incoming.path is not None
    facts = {"size": incoming.size, "md5": incoming.md5.hexdigest(), "sha512": incoming.sha512.hexdigest()}
    made = verbs.take(caller.ctx, row.id, incoming.path, stage=stage, **facts)
    if not stage:
        # Clients use it as soon as they are answered: a small one is ready by then.
        incoming.is_settled = lambda: not Image.objects.filter(id=made.id, status=S.IMPORTING).exists()
    return nothing()


def _read(request: HttpRequest, path: Any) -> Incoming:
    """Where no web server streams: the body as Django has it."""
    incoming = Incoming(path=path, is_complete=True)
    with path.open("xb") as file:
        while piece := request.read(PIECE_BYTES):
            incoming.keep(file, piece)
    return incoming


def _upload(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    return _put(request, caller, id, stage=False)


def _stage(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    return _put(request, caller, id, stage=True)


def _import(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    row, asked = find(caller, id), body_of(request)
    caller.ctx.require("images.manage")
    method = asked.needed_object("method")
    name = method.needed_text("name", length_max=64)
    if name == "glance-direct":
        verbs.convert(caller.ctx, row.id)
    elif name == "web-download":
        verbs.fetch(caller.ctx, row.id, url=method.needed_text("uri", length_max=2000))
    elif name in ("copy-image", "glance-download"):
        raise NotSupported("There is one store here, and no other Glance to fetch from.")
    else:
        raise Invalid(f"There is no import method {name}. There are {' and '.join(METHODS)}.", field="name")
    return nothing(202)


def _download(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    """The bytes as they were uploaded, all or a part of them."""
    row = find(caller, id)
    if row.status in (S.QUEUED, S.IMPORTING):
        return nothing()
    upload = row.source.get("upload")
    if row.status != S.READY or upload is None:
        raise Conflict(
            f"{row.name} was not uploaded as a file, so there is none to download. Export it to a bucket, and take it from there."
            if row.status == S.READY
            else f"{row.name} is {row.get_status_display().lower()}."
        )
    size = int(upload["size"])
    first, last = _range(request, size)
    partial = last + 1 - first != size
    answer: Any
    if request.method == "HEAD":
        answer = HttpResponse(content_type=BYTES, status=206 if partial else 200)
    else:
        file = host.uploads().open(row.id)
        file.seek(first)
        pieces = _pieces(file, last + 1 - first)
        content: Any = _unblocked(pieces) if isinstance(request, ASGIRequest) else pieces
        answer = StreamingHttpResponse(content, content_type=BYTES, status=206 if partial else 200)
    answer["Content-Length"] = str(last + 1 - first)
    answer["Accept-Ranges"] = "bytes"
    if partial:
        answer["Content-Range"] = f"bytes {first}-{last}/{size}"
    else:
        answer["Content-MD5"] = upload["md5"]
    answer["Cache-Control"] = "no-store"
    answer["X-Content-Type-Options"] = "nosniff"
    return answer  # type: ignore[no-any-return]


def _range(request: HttpRequest, size: int) -> tuple[int, int]:
    """First and last byte (RFC 9110, section 14); what is no range of bytes asks for all of them."""
    found = _RANGE.fullmatch(request.headers.get("Range", "").strip())
    if found is None or not (found[1] or found[2]):
        return 0, size - 1
    if not found[1]:
        return max(0, size - int(found[2])), size - 1
    first, last = int(found[1]), min(int(found[2] or size - 1), size - 1)
    if first > last:
        raise UnsatisfiableRange(f"The image has {size} bytes.")
    return first, last


def _pieces(file: BinaryIO, count: int) -> Iterator[bytes]:
    with file:
        while count and (piece := file.read(min(count, PIECE_BYTES))):
            count -= len(piece)
            yield piece


async def _unblocked(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
        yield piece


file = glance.view(GET=_download, PUT=_upload)
stage = glance.view(PUT=_stage)
imports = glance.view(POST=_import)
