"""Which prefix belongs to which dialect."""

from __future__ import annotations

from collections.abc import Callable

from django.core.exceptions import BadRequest, PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.urls import include, path

from cloudbox.common.dialect import Dialect
from compute.api.cinder.errors import cinder
from compute.api.glance.errors import glance
from compute.api.neutron.errors import neutron
from compute.api.nova.errors import nova
from compute.api.placement.errors import placement
from dashboard import errors
from identity.api.keystone.base import keystone


def healthz(request: HttpRequest) -> JsonResponse:
    """For supervisors and balancers: this process answers."""
    return JsonResponse({"status": "ok"})


urlpatterns = [
    path("healthz", healthz, name="healthz"),
    path("api/v1/", include("dashboard.api.urls")),
    path("", include("identity.api.keystone.urls")),
    path("", include("compute.api.nova.urls")),
    path("", include("compute.api.glance.urls")),
    path("", include("compute.api.neutron.urls")),
    path("", include("compute.api.cinder.urls")),
    path("", include("compute.api.placement.urls")),
    path("", include("dashboard.urls")),
]


# Who answers for what no view has seen, by the beginning of the address.
_DIALECTS: dict[str, Dialect] = {
    "/identity": keystone,
    "/auth/": keystone,
    "/compute": nova,
    "/image": glance,
    "/network": neutron,
    "/volume/": cinder,
    "/placement": placement,
}


def _by_prefix(name: str, meaning: type[Exception]) -> Callable[..., HttpResponse]:
    """A handler of Django's that answers in the language of the address."""

    def handler(request: HttpRequest, exception: Exception | None = None, **more: str) -> HttpResponse:
        for prefix, dialect in _DIALECTS.items():
            if request.path.startswith(prefix):
                return dialect.answer_error(request, exception if exception is not None else meaning())
        view: Callable[..., HttpResponse] = getattr(errors, name)
        return view(request, exception, **more) if exception is not None else view(request, **more)

    return handler


handler400 = _by_prefix("bad_request", BadRequest)
handler403 = _by_prefix("forbidden", PermissionDenied)
handler404 = _by_prefix("not_found", Http404)
handler500 = _by_prefix("server_error", Exception)
