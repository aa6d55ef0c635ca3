"""Errors as Neutron tells them: {"NeutronError": {"type", "message", "detail"}}."""

from __future__ import annotations

from typing import Any

from cloudbox.common import errors
from compute.api.openstack.service import Service

STATUSES: dict[type[BaseException], int] = {errors.QuotaExceeded: 409, errors.TooLarge: 400}
_TYPES = {
    400: "BadRequest", 403: "PolicyNotAuthorized", 404: "NotFound", 405: "HTTPMethodNotAllowed", 409: "Conflict", 501: "NotImplemented",
    503: "ServiceUnavailable",
}  # fmt: skip


def fault(status: int, message: str, error: BaseException) -> dict[str, Any]:
    kind = "OverQuota" if isinstance(error, errors.QuotaExceeded) else _TYPES.get(status, "HTTPInternalServerError")
    if isinstance(error, errors.AlreadyExists) and error.field in ("ip", "ip6"):
        kind = "IpAddressAlreadyAllocated"
    return {"NeutronError": {"type": kind, "message": message, "detail": ""}}


service = Service("neutron", "/network/v2.0", fault, STATUSES)
neutron = service.dialect()
