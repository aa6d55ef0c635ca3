"""What leaves as a file: lists as CSV, all rows that match; and files out of a backup. Streamed, so that neither memory nor a database
connection is held by a slow reader."""

from __future__ import annotations

import csv as csvlib
import io
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any, TypeVar
from urllib.parse import quote

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.db import connection
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse

from cloudbox.common import clock
from dashboard.api import pages

BATCH_ROWS = 500
ROWS_MAX = 100_000
# What a spreadsheet takes for a formula when a cell begins with it (OWASP, "CSV Injection"); full-width forms are taken alike.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")

T = TypeVar("T")
Columns = Mapping[str, Callable[[Any], object]]


def csv(request: HttpRequest, name: str, columns: Columns, rows: QuerySet[Any]) -> HttpResponse:
    """`name-<time>.csv` with a column for each heading. The rows come in the order of the query set, at most ROWS_MAX of them."""
    parts = _parts(columns, rows)
    # A web process would read a plain iterator to its end before the first byte leaves (Django, "Streaming under ASGI").
    content = _unblocked(parts) if isinstance(request, ASGIRequest) else parts
    response = StreamingHttpResponse(content, content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}-{clock.now():%Y%m%d-%H%M%S}.csv"'
    response["Cache-Control"] = "no-store"
    return response  # type: ignore[return-value]


def _parts(columns: Columns, rows: QuerySet[Any]) -> Iterator[str]:
    yield _lines([list(columns)])
    cursor: str | None = ""
    count = 0
    while cursor is not None and count < ROWS_MAX:
        found, cursor = pages.page(rows, limit=BATCH_ROWS, cursor=cursor)
        count += len(found)
        text = _lines([[_cell(value_of(row)) for value_of in columns.values()] for row in found])
        if not connection.in_atomic_block:
            connection.close()  # back to the pool: the reader may take its time
        yield text
    if cursor is not None:
        yield _lines([[f"Only the first {ROWS_MAX} rows are here. Filter the list to get the others."]])


def file(request: HttpRequest, name: str, size_bytes: int, body: Iterator[bytes]) -> HttpResponse:
    """Bytes that a tenant wrote: always to be saved, never shown as what they may say they are."""
    parts = _closing(body)
    content = _unblocked(parts) if isinstance(request, ASGIRequest) else parts
    response = StreamingHttpResponse(content, content_type="application/octet-stream")
    response["Content-Disposition"] = attachment(name)
    response["Content-Length"] = str(size_bytes)
    response["Cache-Control"] = "no-store"
    response["X-Content-Type-Options"] = "nosniff"
    return response  # type: ignore[return-value]


def attachment(key: str) -> str:
    """RFC 6266: the name in ASCII, and beside it in UTF-8."""
    name = key.rstrip("/").rpartition("/")[2] or "object"
    plain = "".join(letter if letter.isascii() and letter.isprintable() and letter not in '"\\%' else "_" for letter in name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='', errors='replace')}"


def _closing(body: Iterator[bytes]) -> Iterator[bytes]:
    for part in body:
        if not connection.in_atomic_block:
            connection.close()
        yield part


async def _unblocked(parts: Iterator[T]) -> AsyncIterator[T]:
    """The same parts, each made in a thread."""

    def following() -> T | None:
        return next(parts, None)

    while (part := await sync_to_async(following)()) is not None:
        yield part


def _lines(rows: list[list[str]]) -> str:
    text = io.StringIO()
    csvlib.writer(text).writerows(rows)
    return text.getvalue()


def _cell(value: object) -> str:
    """As text. What a spreadsheet would run as a formula gets an apostrophe before it, which spreadsheets take for "this is text"."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return ""
    text = value.isoformat() if hasattr(value, "isoformat") else str(value)
    return f"'{text}" if text.startswith(_FORMULA) and not isinstance(value, int | float) else text
