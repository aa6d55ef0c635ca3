"""Meanings to Swift's statuses, with the short pages that its clients show."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from cloudbox.common import errors
from storage import errors as store
from storage.server import BodyMalformed, BodyTooLarge, BodyTooSlow, BodyTruncated, Response

log = logging.getLogger(__name__)

REASONS = {
    304: ("Not Modified", ""),
    307: ("Temporary Redirect", "The resource is somewhere else for now."),
    400: ("Bad Request", "The server could not comply with the request since it is either malformed or otherwise incorrect."),
    401: ("Unauthorized", "This server could not verify that you are authorized to access the document you requested."),
    403: ("Forbidden", "Access was denied to this resource."),
    404: ("Not Found", "The resource could not be found."),
    405: ("Method Not Allowed", "The method is not allowed for this resource."),
    406: ("Not Acceptable", "The resource identified is not available in a format acceptable to your browser."),
    408: ("Request Timeout", "The client was too slow."),
    409: ("Conflict", "There was a conflict when trying to complete your request."),
    411: ("Length Required", "Content-Length header required."),
    412: ("Precondition Failed", "A precondition for this request was not met."),
    413: ("Request Entity Too Large", "The body of your request was too large for this server."),
    416: ("Requested Range Not Satisfiable", "The Range requested is not available."),
    422: ("Unprocessable Entity", "Unable to process the contained instructions"),
    499: ("Client Disconnect", "The client was disconnected during request."),
    500: ("Internal Error", "The server has either erred or is incapable of performing the requested operation."),
    501: ("Not Implemented", "The requested method is not implemented by this server."),
    503: ("Service Unavailable", "The server is currently unavailable. Please try again at a later time."),
    507: ("Insufficient Storage", "There was not enough space to save the resource."),
}


class SwiftError(Exception):
    """A status of Swift's; `text` is the body, the usual page if it is empty."""

    def __init__(self, status: int, text: str = "", headers: Mapping[str, str] | None = None) -> None:
        super().__init__(text or REASONS[status][0])
        self.status, self.text, self.headers = status, text, dict(headers or {})


# class -> status; looked up along the error's class order.
TABLE: dict[type[BaseException], int] = {
    store.NoSuchDocument: 404,
    store.NoSuchKey: 400,
    store.MarkerRead: 404,
    store.DigestMismatch: 422,
    store.RangeUnsatisfiable: 416,
    store.EntityTooLarge: 413,
    store.BucketNotEmpty: 409,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.AlreadyExists: 409,
    errors.Invalid: 400,
    errors.Conflict: 409,
    errors.PreconditionFailed: 412,
    errors.QuotaExceeded: 413,
    errors.InsufficientCapacity: 507,
    errors.TooLarge: 413,
    errors.NotSupported: 501,
    errors.Unavailable: 503,
    errors.CloudError: 400,
    BodyTooLarge: 413,
    BodyTruncated: 499,
    BodyMalformed: 400,
    BodyTooSlow: 408,
    Exception: 500,
}
HTML = "text/html; charset=UTF-8"
PLAIN = "text/plain; charset=UTF-8"


def page(status: int) -> bytes:
    title, text = REASONS[status]
    return f"<html><h1>{title}</h1><p>{text}</p></html>".encode()


def render(error: Exception, *, realm: str, head: bool) -> Response:
    """The answer to any exception."""
    if isinstance(error, SwiftError):
        status, text, headers = error.status, error.text, dict(error.headers)
    else:
        status = next(TABLE[kind] for kind in type(error).__mro__ if kind in TABLE)
        text = error.message if isinstance(error, errors.CloudError) and status not in (401, 404) else ""
        headers = {}
        if status >= 500 and not isinstance(error, errors.CloudError):
            log.error("an error of Swift's", exc_info=error)
            text = ""
        if isinstance(error, store.RangeUnsatisfiable):
            headers["Content-Range"] = f"bytes */{error.size}"
            text = ""
    if status == 401:
        headers["Www-Authenticate"] = f'Swift realm="{realm}"'
    if status == 503:
        headers["Retry-After"] = "1"
    if status in (204, 304):
        return Response(status, headers)
    body = text.encode("utf-8", "replace") if text else page(status)
    # The usual type, unless what a client sent could be read as markup.
    headers.setdefault("Content-Type", PLAIN if set(text) & {"<", "&"} else HTML)
    if head and status == 416:
        return Response(status, headers, length=0)
    return Response(status, headers, length=len(body)) if head else Response(status, headers, body)
