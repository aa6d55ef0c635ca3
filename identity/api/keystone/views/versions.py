"""Which versions there are: the first thing that clients ask."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse

from identity.api.keystone import links
from identity.api.keystone.base import answer, keystone

LATEST = "v3.14"


def _version(request: HttpRequest) -> dict[str, Any]:
    return {
        "id": LATEST,
        "status": "stable",
        "updated": "2020-04-07T00:00:00Z",
        "links": [{"rel": "self", "href": f"{links.identity(request)}/"}],
        "media-types": [{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}],
    }


def _all(request: HttpRequest) -> HttpResponse:
    body = {"versions": {"values": [_version(request)]}}
    response = JsonResponse(body, status=300)
    response["Location"] = f"{links.identity(request)}/"
    return response


def _one(request: HttpRequest) -> HttpResponse:
    return answer("version", _version(request))


versions = keystone.open(GET=_all)
version = keystone.open(GET=_one)
