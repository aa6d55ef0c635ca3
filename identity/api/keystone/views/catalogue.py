"""Services, endpoints and regions: those of the box, read-only. And limits: there are none to list; quotas are in the portal."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse

from cloudbox.common.errors import NotFound
from identity.api.keystone import links, render
from identity.api.keystone.base import Caller, answer, keystone


def _service(request: HttpRequest, row: dict[str, Any]) -> dict[str, Any]:
    shape = {key: row[key] for key in ("id", "type", "name")}
    return shape | {"enabled": True, "description": "", "links": {"self": links.to(request, "services", row["id"])}}


def _endpoint(request: HttpRequest, row: dict[str, Any]) -> dict[str, Any]:
    shape = {key: row[key] for key in ("id", "interface", "region", "region_id", "url")}
    more = {"service_id": links.id_of(row["service"]), "enabled": True, "links": {"self": links.to(request, "endpoints", row["id"])}}
    return shape | more


def _matching(request: HttpRequest, rows: list[dict[str, Any]], *keys: str) -> list[dict[str, Any]]:
    wanted = {key: request.GET[key] for key in keys if request.GET.get(key)}
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def _services(request: HttpRequest, caller: Caller) -> HttpResponse:
    rows = _matching(request, [_service(request, row) for row in links.services(request)], "type", "name")
    return JsonResponse(render.listing(request, "services", rows))


def _endpoints(request: HttpRequest, caller: Caller) -> HttpResponse:
    rows = [_endpoint(request, row) for row in links.endpoints(request)]
    return JsonResponse(render.listing(request, "endpoints", _matching(request, rows, "interface", "service_id", "region_id")))


def _one(name: str, rows: list[dict[str, Any]], id: str) -> HttpResponse:
    found = next((row for row in rows if row["id"] == id), None)
    if found is None:
        raise NotFound(f"There is no such {name}.")
    return answer(name, found)


def _one_service(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    return _one("service", [_service(request, row) for row in links.services(request)], id)


def _one_endpoint(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    return _one("endpoint", [_endpoint(request, row) for row in links.endpoints(request)], id)


def _region(request: HttpRequest) -> dict[str, Any]:
    id = settings.REGION
    return {"id": id, "description": "", "parent_region_id": None, "links": {"self": links.to(request, "regions", id)}}


def _regions(request: HttpRequest) -> HttpResponse:
    return JsonResponse(render.listing(request, "regions", [_region(request)]))


def _one_region(request: HttpRequest, id: str) -> HttpResponse:
    return _one("region", [_region(request)], id)


def _limits(request: HttpRequest, caller: Caller) -> HttpResponse:
    return JsonResponse(render.listing(request, "limits", []))


def _registered(request: HttpRequest, caller: Caller) -> HttpResponse:
    return JsonResponse(render.listing(request, "registered_limits", []))


def _model(request: HttpRequest, caller: Caller) -> HttpResponse:
    return answer("model", {"name": "flat", "description": "Every project has limits of its own."})


services = keystone.view(GET=_services)
service = keystone.view(GET=_one_service)
endpoints = keystone.view(GET=_endpoints)
endpoint = keystone.view(GET=_one_endpoint)
regions = keystone.open(GET=_regions)
region = keystone.open(GET=_one_region)
limits = keystone.view(GET=_limits)
registered_limits = keystone.view(GET=_registered)
limits_model = keystone.view(GET=_model)
