"""Which versions there are: the first thing that clients ask."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse

from compute.api.nova.errors import VERSIONS, nova, service
from compute.api.openstack.service import answer
from identity.api.keystone import links

_UPDATED = {"v2.0": "2011-01-21T11:33:21Z", "v2.1": "2013-07-23T11:33:21Z"}


def _version(request: HttpRequest, id: str) -> dict[str, Any]:
    new = id == "v2.1"
    return {
        "id": id,
        "status": "CURRENT" if new else "SUPPORTED",
        "version": VERSIONS.text(VERSIONS.high) if new else "",
        "min_version": VERSIONS.text(VERSIONS.low) if new else "",
        "updated": _UPDATED[id],
        "links": [{"rel": "self", "href": f"{links.site(request)}/compute/{'v2.1' if new else 'v2'}/"}],
    }


def _all(request: HttpRequest) -> HttpResponse:
    return answer({"versions": [_version(request, "v2.0"), _version(request, "v2.1")]})


def _one(request: HttpRequest) -> HttpResponse:
    service.minor(request)
    media = [{"base": "application/json", "type": "application/vnd.openstack.compute+json;version=2.1"}]
    shape = _version(request, "v2.1") | {"media-types": media}
    shape["links"] = [*shape["links"], {"rel": "describedby", "type": "text/html", "href": "https://docs.openstack.org/api-ref/compute/"}]
    return answer({"version": shape})


versions = nova.open(GET=_all)
version = nova.open(GET=_one)
