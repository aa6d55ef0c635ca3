"""Faults as Cinder names them, and the shell around views whose addresses carry a project."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponse

from cloudbox.common import errors
from cloudbox.common.errors import Invalid
from compute.api.openstack.service import Caller, Microversions, Service
from identity.api.keystone.methods import id_of

NAMES = {
    400: "badRequest",
    403: "forbidden",
    404: "itemNotFound",
    405: "badMethod",
    406: "notAcceptable",
    409: "conflictingRequest",
    413: "overLimit",
    501: "notImplemented",
    503: "serviceUnavailable",
}
# A wrong state is a wrong request to Cinder.
STATUSES: dict[type[BaseException], int] = {
    errors.Conflict: 400,
    errors.AlreadyExists: 409,
    errors.QuotaExceeded: 413,
    errors.InsufficientCapacity: 400,
    errors.TooLarge: 400,
}


def fault(status: int, message: str, error: BaseException) -> dict[str, Any]:
    return {NAMES.get(status, "computeFault"): {"code": status, "message": message}}


VERSIONS = Microversions(names=("volume", "block-storage"), major=3, low=0, high=70)
service = Service("cinder", "/volume/v3", fault, STATUSES, VERSIONS)
cinder = service.dialect()
WITHOUT_PROJECT = 67


def view(**methods: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """As `Dialect.view`, of views that stand below a project: it must be the token's."""
    return cinder.view(**{name: _of_project(do) for name, do in methods.items()})


def _of_project(do: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    @wraps(do)
    def of(request: HttpRequest, caller: Caller, project: str = "", **parts: str) -> HttpResponse:
        if not project:
            caller.since(WITHOUT_PROJECT)
        elif id_of(project) != caller.ctx.project_id:
            raise Invalid("The address is of another project than the token.")
        return do(request, caller, **parts)

    return of
