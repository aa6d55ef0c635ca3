"""What is true of every HTTP request: it has an id, and no hostile text passes on."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from urllib.parse import unquote_to_bytes

from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse

_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
GetResponse = Callable[[HttpRequest], HttpResponse]

# PostgreSQL's text has no NUL, terminals and logs obey the other control characters: no field of ours holds one but in bodies of text.
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def request_id(request: HttpRequest) -> str:
    """The id under which this request is logged, audited and answered."""
    return getattr(request, "request_id", "")


def client_address(request: HttpRequest) -> str | None:
    """Where the request came from. Proxy headers are not believed: anybody can write them."""
    return request.META.get("REMOTE_ADDR") or None


class RequestIdMiddleware:
    """Gives each request an id and answers it as `X-Request-Id`."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.request_id = f"req-{uuid.uuid4()}"  # type: ignore[attr-defined]
        response = self.get_response(request)
        response["X-Request-Id"] = request_id(request)
        return response


class HostileInputMiddleware:
    """Refuses control characters and broken UTF-8 in the path and the query before any view reads them, and broken UTF-8 in forms."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        query = unquote_to_bytes(request.META.get("QUERY_STRING", "").replace("+", " "))
        if _CONTROL.search(query) or _CONTROL.search(request.path.encode("utf-8", "surrogateescape")) or not _is_text(query):
            raise BadRequest("The address holds characters that are not text.")
        if request.method == "POST" and request.content_type in _FORMS and not request.path.startswith("/api/") and not _is_form(request):
            raise BadRequest("The form holds bytes that are not text.")
        return self.get_response(request)


def _is_form(request: HttpRequest) -> bool:
    """Is it text? Reading it also finds too many fields.

    Django takes bytes that are no UTF-8 for Latin-1, or puts U+FFFD for escaped ones, and either would be saved as somebody's name.
    """
    if request.content_type == _FORMS[0] and not _is_text(request.body):
        return False
    return not any("\ufffd" in text for name, texts in request.POST.lists() for text in (name, *texts))


def _is_text(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True
