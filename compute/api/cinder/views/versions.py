"""Which versions there are: the first thing that clients ask."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse

from compute.api.cinder.errors import VERSIONS, cinder, service
from compute.api.openstack.service import answer


def _version(request: HttpRequest) -> dict[str, Any]:
    return {
        "id": "v3.0",
        "status": "CURRENT",
        "version": VERSIONS.text(VERSIONS.high),
        "min_version": VERSIONS.text(VERSIONS.low),
        "updated": "2022-08-31T00:00:00Z",
        "links": [{"rel": "self", "href": f"{service.address(request)}/"}],
        "media-types": [{"base": "application/json", "type": "application/vnd.openstack.volume+json;version=3"}],
    }


def _all(request: HttpRequest) -> HttpResponse:
    return answer({"versions": [_version(request)]}, status=300)


def _one(request: HttpRequest) -> HttpResponse:
    service.minor(request)
    return answer({"versions": [_version(request)]})


versions = cinder.open(GET=_all)
version = cinder.open(GET=_one)
