"""Faults as Nova names them: one key that says what kind, with code and message."""

from __future__ import annotations

from typing import Any

from cloudbox.common import errors
from compute.api.openstack.service import Microversions, Service

NAMES = {
    400: "badRequest",
    403: "forbidden",
    404: "itemNotFound",
    405: "badMethod",
    406: "notAcceptable",
    409: "conflictingRequest",
    413: "overLimit",
    415: "badMediaType",
    501: "notImplemented",
    503: "serviceUnavailable",
}
# What a project may not take, and what does not fit: the request as such was right.
STATUSES: dict[type[BaseException], int] = {errors.QuotaExceeded: 403, errors.TooLarge: 400}


def fault(status: int, message: str, error: BaseException) -> dict[str, Any]:
    return {NAMES.get(status, "computeFault"): {"code": status, "message": message}}


VERSIONS = Microversions(names=("compute", "nova"), major=2, low=1, high=96, legacy="X-OpenStack-Nova-API-Version")
service = Service("nova", "/compute/v2.1", fault, STATUSES, VERSIONS)
nova = service.dialect()
