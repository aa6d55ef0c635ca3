"""Errors of Glance, as JSON: Glance itself answers with a page of HTML, which no client reads."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from cloudbox.common import errors
from compute.api.openstack.service import Service


class UnsupportedMediaType(errors.Invalid):
    """The body is of another type than this takes."""


class UnsatisfiableRange(errors.Invalid):
    """The image has no such bytes."""


STATUSES: dict[type[BaseException], int] = {errors.QuotaExceeded: 413, UnsupportedMediaType: 415, UnsatisfiableRange: 416}


def fault(status: int, message: str, error: BaseException) -> dict[str, Any]:
    title = HTTPStatus(status).phrase
    return {"message": message, "code": f"{status} {title}", "title": title}


service = Service("glance", "/image/v2", fault, STATUSES)
glance = service.dialect()
