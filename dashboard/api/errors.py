"""Meanings to problems (RFC 9457): one table, and one way to render."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from django.core import exceptions as django_errors
from django.db import OperationalError
from django.http import Http404, HttpRequest, JsonResponse, UnreadablePostError
from django.views.decorators.csrf import csrf_exempt
from redis.exceptions import RedisError
from rest_framework import exceptions as drf
from rest_framework.response import Response

from cloudbox.common import errors
from cloudbox.common.requests import request_id

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
DOCS = "/api/v1/docs"
RETRY_SECONDS = 2


class IdempotencyKeyReused(errors.Conflict):
    """The key was used for another request."""


class StillRunning(errors.Conflict):
    """The first request with this key has not ended."""


# class -> (code, status, title); looked up along the class order of the error.
TABLE: dict[type[BaseException], tuple[str, int, str]] = {
    errors.Unauthenticated: ("unauthenticated", 401, "Sign in first"),
    errors.Forbidden: ("forbidden", 403, "Your role does not reach that far"),
    errors.NotFound: ("not-found", 404, "There is no such thing"),
    errors.AlreadyExists: ("already-exists", 409, "The name is taken"),
    errors.Invalid: ("invalid", 422, "The request does not make sense"),
    errors.Conflict: ("conflict", 409, "Not possible in the present state"),
    IdempotencyKeyReused: ("idempotency-key-reused", 409, "The idempotency key belongs to another request"),
    StillRunning: ("idempotency-in-progress", 409, "The first request with this key is under way"),
    errors.PreconditionFailed: ("precondition-failed", 412, "Your condition does not hold"),
    errors.QuotaExceeded: ("quota-exceeded", 409, "The quota is used up"),
    errors.InsufficientCapacity: ("insufficient-capacity", 409, "The box has no room"),
    errors.TooLarge: ("too-large", 413, "Too large"),
    errors.NotSupported: ("not-supported", 422, "Cloudbox does not do this"),
    errors.Unavailable: ("unavailable", 503, "Try again in a moment"),
    errors.CloudError: ("failed", 400, "That did not work"),
    drf.ValidationError: ("invalid", 422, "The request does not make sense"),
    drf.ParseError: ("malformed", 400, "The body cannot be read"),
    drf.NotAuthenticated: ("unauthenticated", 401, "Sign in first"),
    drf.AuthenticationFailed: ("unauthenticated", 401, "Sign in first"),
    drf.PermissionDenied: ("forbidden", 403, "Your role does not reach that far"),
    drf.NotFound: ("not-found", 404, "There is no such thing"),
    drf.MethodNotAllowed: ("method-not-allowed", 405, "Not with this method"),
    drf.NotAcceptable: ("not-acceptable", 406, "Only JSON is spoken here"),
    drf.UnsupportedMediaType: ("unsupported-media-type", 415, "Send JSON"),
    drf.Throttled: ("throttled", 429, "Too many requests"),
    Http404: ("not-found", 404, "There is no such thing"),
    django_errors.RequestDataTooBig: ("too-large", 413, "Too large"),
    django_errors.TooManyFieldsSent: ("too-large", 413, "Too large"),
    django_errors.PermissionDenied: ("forbidden", 403, "Your role does not reach that far"),
    django_errors.SuspiciousOperation: ("malformed", 400, "The request cannot be read"),
    django_errors.BadRequest: ("malformed", 400, "The request cannot be read"),
    UnreadablePostError: ("malformed", 400, "The body broke off"),
    RedisError: ("unavailable", 503, "Try again in a moment"),
    OperationalError: ("unavailable", 503, "Try again in a moment"),
    Exception: ("internal", 500, "Something went wrong on our side"),
}

_SENTENCES = {
    "unauthenticated": "Send an API token as `Authorization: Bearer cbx_…`, or sign in to the portal.",
    "not-found": "There is nothing at this address.",
    "method-not-allowed": "This address does not take {method}.",
    "unsupported-media-type": "The body must be JSON, with `Content-Type: application/json`.",
    "not-acceptable": "Answers are JSON.",
    "too-large": "The body is larger than this takes.",
    "unavailable": "A part of the box did not answer. Nothing was changed; try again in a moment.",
    "malformed": "The request holds something that is not text, or broke off.",
    "internal": "An internal error happened. Tell your provider the request id.",
}


def look_up(error: BaseException) -> tuple[str, int, str]:
    """Code, status and title of an error's nearest class in the table."""
    return next(TABLE[kind] for kind in type(error).__mro__ if kind in TABLE)


def body(request: HttpRequest, code: str, status: int, title: str, detail: str, **more: Any) -> dict[str, Any]:
    return {
        "type": f"{DOCS}#problem-{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": request_id(request),
        **{name: value for name, value in more.items() if value},
    }


def handle(error: Exception, context: Mapping[str, Any]) -> Response:
    """The exception handler of REST framework: every error of every view becomes a problem here."""
    request = context["request"]
    code, status, title = look_up(error)
    if status >= 500:
        log.error("%s %s %s", request_id(request._request), request.method, request.path, exc_info=error)
    detail, more = _explain(error, code, request)
    answer = Response(body(request._request, code, status, title, detail, **more), status=status, content_type=MEDIA_TYPE)
    if status == 401:
        answer["WWW-Authenticate"] = 'Bearer realm="cloudbox"'
    if isinstance(error, drf.Throttled):
        answer["Retry-After"] = str(max(1, int(error.wait or 1)))
    elif status == 503 or isinstance(error, StillRunning):
        answer["Retry-After"] = str(RETRY_SECONDS)
    return answer


def _explain(error: Exception, code: str, request: Any) -> tuple[str, dict[str, Any]]:
    """The sentence, and the members that only some problems have."""
    if isinstance(error, errors.CloudError):
        # A verb names the field it would be in a form; it is told only to those who sent it.
        body_sent = request._full_data if isinstance(request._full_data, Mapping) else {}
        if error.field in body_sent or error.field in request.query_params:
            return error.message, {"field": error.field}
        named = next((name for name, value in body_sent.items() if error.resource and value == error.resource), None)
        return error.message, {"field": named}
    if isinstance(error, drf.ValidationError):
        found = [{"field": field, "message": message} for field, message in _flat(error.detail)][:50]
        first = found[0]
        return (f"{first['field']}: {first['message']}" if first["field"] else first["message"]), {"field": first["field"], "errors": found}
    if isinstance(error, drf.Throttled):
        return f"This project has asked too often. Try again in {max(1, int(error.wait or 1))} s.", {}
    if isinstance(error, drf.ParseError):
        return str(error.detail), {}
    return _SENTENCES.get(code, str(error)).format(method=request.method), {}


def _flat(detail: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """(field, sentence) of REST framework's nested lists and dicts."""
    if isinstance(detail, Mapping):
        for key, inner in detail.items():
            here = path if key == "non_field_errors" else f"{path}.{key}".strip(".")
            yield from _flat(inner, here[:128])
    elif isinstance(detail, list):
        for inner in detail:
            yield from _flat(inner, path)
    else:
        yield path, str(detail)


def problem(request: HttpRequest, error: Exception) -> JsonResponse:
    """A problem outside of REST framework's views: for Django's error handlers and unknown addresses."""
    code, status, title = look_up(error)
    detail = error.message if isinstance(error, errors.CloudError) else _SENTENCES.get(code, title).format(method=request.method)
    return JsonResponse(body(request, code, status, title, detail), status=status, content_type=MEDIA_TYPE)


@csrf_exempt
def no_route(request: HttpRequest, **_kwargs: str) -> JsonResponse:
    """Every address under /api/ that nothing else answers."""
    return problem(request, Http404())
