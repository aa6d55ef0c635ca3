"""From errors to pages: what, why, what to do, and the request id, in the same shell, so that one can leave."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

from django.core.exceptions import BadRequest, PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from cloudbox.common import errors
from cloudbox.common.requests import request_id
from dashboard.api.errors import problem

# class -> (status, title); looked up along the error's class order.
TABLE: dict[type[Exception], tuple[int, str]] = {
    errors.Unauthenticated: (401, "Sign in first"),
    errors.Forbidden: (403, "Your role does not reach this"),
    errors.NotFound: (404, "Nothing here"),
    errors.AlreadyExists: (409, "The name is taken"),
    errors.Invalid: (400, "That cannot be done as asked"),
    errors.PreconditionFailed: (412, "It has changed meanwhile"),
    errors.QuotaExceeded: (409, "The quota is used up"),
    errors.InsufficientCapacity: (507, "The box is full"),
    errors.TooLarge: (413, "Too large"),
    errors.NotSupported: (501, "Cloudbox does not do this"),
    errors.Unavailable: (503, "Not answering right now"),
    errors.Conflict: (409, "Not possible right now"),
    errors.CloudError: (400, "That did not work"),
}


def status_of(error: errors.CloudError) -> tuple[int, str]:
    for cls in type(error).__mro__:
        if cls in TABLE:
            return TABLE[cls]
    return TABLE[errors.CloudError]


def page(request: HttpRequest, status: int, title: str, message: str) -> HttpResponse:
    """The error page. It needs nothing from the database, so that it can be shown when that is what failed."""
    context = {"status": status, "title": title, "message": message, "request_id": request_id(request)}
    return render(request, "dashboard/error.html", context, status=status)


def of(request: HttpRequest, error: errors.CloudError) -> HttpResponse:
    """The page of a domain error."""
    status, title = status_of(error)
    return page(request, status, title, error.message)


def for_programs_too(meaning: type[Exception]) -> Callable[[Callable[..., HttpResponse]], Callable[..., HttpResponse]]:
    """A handler of Django's: below /api/ nobody reads pages, so the answer is a problem (RFC 9457)."""

    def decorate(handler: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
        @wraps(handler)
        def either(request: HttpRequest, exception: Exception | None = None, **more: str) -> HttpResponse:
            if request.path.startswith("/api/"):
                return problem(request, exception if exception is not None else meaning())
            return handler(request, exception, **more)

        return either

    return decorate


@for_programs_too(BadRequest)
def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return page(request, 400, "That request made no sense", "Go back and try again. If a link brought you here, it is broken.")


@for_programs_too(PermissionDenied)
def forbidden(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return page(request, 403, "Your role does not reach this", "Ask an admin of the project.")


@for_programs_too(Http404)
def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return page(request, 404, "Nothing here", "There is no such page, or it belongs to a project that you are not in.")


@for_programs_too(Exception)
def server_error(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    message = "Something in the box failed. Nothing was lost that was saved before. The log has it under the request id below."
    return page(request, 500, "That went wrong", message)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    return page(request, 403, "This page has become too old", "Load the page again and repeat what you did. Nothing was changed.")
