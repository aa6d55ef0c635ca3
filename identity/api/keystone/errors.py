"""Meanings to Keystone's errors: {"error": {"code", "title", "message"}}."""

from __future__ import annotations

from django.core import exceptions as django_errors
from django.db import OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, UnreadablePostError
from redis.exceptions import RedisError

from cloudbox.common import errors
from cloudbox.common.dialect import MethodNotAllowed
from cloudbox.common.requests import request_id
from identity.api.keystone import links
from identity.api.keystone.methods import MethodsMissing

RETRY_SECONDS = 2

# class -> (status, title); looked up along the error's class order.
TABLE: dict[type[BaseException], tuple[int, str]] = {
    errors.Unauthenticated: (401, "Unauthorized"),
    errors.Forbidden: (403, "Forbidden"),
    errors.NotFound: (404, "Not Found"),
    errors.AlreadyExists: (409, "Conflict"),
    errors.Invalid: (400, "Bad Request"),
    errors.Conflict: (409, "Conflict"),
    errors.PreconditionFailed: (412, "Precondition Failed"),
    errors.QuotaExceeded: (403, "Forbidden"),
    errors.InsufficientCapacity: (503, "Service Unavailable"),
    errors.TooLarge: (413, "Request Entity Too Large"),
    errors.NotSupported: (501, "Not Implemented"),
    errors.Unavailable: (503, "Service Unavailable"),
    errors.CloudError: (400, "Bad Request"),
    MethodNotAllowed: (405, "Method Not Allowed"),
    Http404: (404, "Not Found"),
    django_errors.RequestDataTooBig: (413, "Request Entity Too Large"),
    django_errors.SuspiciousOperation: (400, "Bad Request"),
    django_errors.BadRequest: (400, "Bad Request"),
    django_errors.PermissionDenied: (403, "Forbidden"),
    UnreadablePostError: (400, "Bad Request"),
    RedisError: (503, "Service Unavailable"),
    OperationalError: (503, "Service Unavailable"),
    Exception: (500, "Internal Server Error"),
}
_SENTENCES = {
    400: "The request cannot be read.",
    403: "That is not allowed.",
    404: "There is nothing at this address.",
    413: "The body is larger than this takes.",
    503: "A part of the box did not answer. Nothing was changed; try again in a moment.",
    500: "An internal error happened. Tell your provider the request id {id}.",
}


def render(request: HttpRequest, error: Exception) -> HttpResponse:
    """The answer to any exception."""
    status, title = next(TABLE[kind] for kind in type(error).__mro__ if kind in TABLE)
    message = error.message if isinstance(error, errors.CloudError) else _SENTENCES[status].format(id=request_id(request))
    if isinstance(error, MethodsMissing):
        return _receipt(request, error)
    answer = JsonResponse({"error": {"code": status, "title": title, "message": message}}, status=status)
    if status == 401:
        answer["WWW-Authenticate"] = f'Keystone uri="{links.identity(request)}"'
    if status == 503:
        answer["Retry-After"] = str(RETRY_SECONDS)
    if isinstance(error, MethodNotAllowed):
        answer["Allow"] = ", ".join(error.allowed)
    return answer


def _receipt(request: HttpRequest, error: MethodsMissing) -> HttpResponse:
    """As "Multi-Factor Authentication" in Keystone's user guide has it."""
    from identity.api.keystone import render as shapes

    body = {"receipt": shapes.receipt(error.receipt, error.user), "required_auth_methods": error.needed}
    answer = JsonResponse(body, status=401)
    answer["Openstack-Auth-Receipt"] = error.text
    answer["WWW-Authenticate"] = f'Keystone uri="{links.identity(request)}"'
    return answer


def finish(request: HttpRequest, response: HttpResponse) -> None:
    response["X-Openstack-Request-Id"] = request_id(request)
    response["Vary"] = "X-Auth-Token"
