"""Errors as Placement tells them: {"errors": [{"status", "title", "detail", "code"}]}."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from cloudbox.common import errors
from compute.api.openstack.service import Microversions, Service

STATUSES: dict[type[BaseException], int] = {errors.TooLarge: 400}


def fault(status: int, message: str, error: BaseException) -> dict[str, Any]:
    return {"errors": [{"status": status, "title": HTTPStatus(status).phrase, "detail": message, "code": "placement.undefined_code"}]}


VERSIONS = Microversions(names=("placement",), major=1, low=0, high=39)
service = Service("placement", "/placement", fault, STATUSES, VERSIONS)
placement = service.dialect()
