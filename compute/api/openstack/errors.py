"""Meanings to statuses, as most services have them; each dialect says what differs, and dresses them in its own body."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from django.core import exceptions as django_errors
from django.db import OperationalError
from django.http import Http404, HttpResponse, UnreadablePostError
from redis.exceptions import RedisError

from cloudbox.common import errors
from cloudbox.common.dialect import MethodNotAllowed

RETRY_SECONDS = 2

# Looked up along the error's class order.
TABLE: dict[type[BaseException], int] = {
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.AlreadyExists: 409,
    errors.Invalid: 400,
    errors.Conflict: 409,
    errors.PreconditionFailed: 412,
    errors.QuotaExceeded: 403,
    errors.InsufficientCapacity: 409,
    errors.TooLarge: 413,
    errors.NotSupported: 501,
    errors.Unavailable: 503,
    errors.CloudError: 400,
    MethodNotAllowed: 405,
    Http404: 404,
    django_errors.RequestDataTooBig: 413,
    django_errors.SuspiciousOperation: 400,
    django_errors.BadRequest: 400,
    django_errors.PermissionDenied: 403,
    UnreadablePostError: 400,
    RedisError: 503,
    OperationalError: 503,
    Exception: 500,
}
_SENTENCES = {
    400: "The request cannot be read.",
    403: "That is not allowed.",
    404: "There is nothing at this address.",
    413: "The body is larger than this takes.",
    503: "A part of the box did not answer. Nothing was changed; try again in a moment.",
    500: "An internal error happened. Tell your provider the request id {id}.",
}


def status_of(error: BaseException, own: Mapping[type[BaseException], int]) -> int:
    return next(own[kind] if kind in own else TABLE[kind] for kind in type(error).__mro__ if kind in own or kind in TABLE)


def message_of(error: BaseException, status: int, id: str) -> str:
    """The sentence of an error that is a meaning; of any other what can be told of it."""
    if isinstance(error, errors.QuotaExceeded):
        # Clients look for these words to tell a quota from a missing right.
        return f"Quota exceeded. {error.message}"
    return error.message if isinstance(error, errors.CloudError) else _SENTENCES[status].format(id=id)


def add_headers(answer: HttpResponse, error: BaseException, status: int, identity: str) -> None:
    if status == 401:
        answer["WWW-Authenticate"] = f'Keystone uri="{identity}"'
    if status == 503:
        answer["Retry-After"] = str(RETRY_SECONDS)
    if isinstance(error, MethodNotAllowed):
        answer["Allow"] = ", ".join(error.allowed)


@contextmanager
def named_in_body() -> Iterator[None]:
    """What is named in the body and not there makes the request wrong (400); 404 is about the address alone."""
    try:
        yield
    except errors.NotFound as error:
        raise errors.Invalid(error.message, field=error.field) from error
