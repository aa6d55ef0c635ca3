"""Which versions there are, and what of Neutron's extensions is true here."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse

from cloudbox.common.errors import NotFound
from compute.api.neutron.errors import neutron, service
from compute.api.openstack.service import Caller, answer

RESOURCES = {
    "network": "networks", "subnet": "subnets", "port": "ports", "router": "routers", "floatingip": "floatingips",
    "security-group": "security-groups", "security-group-rule": "security-group-rules", "quota": "quotas", "extension": "extensions",
}  # fmt: skip
# alias: name. An extension stands here when, and only when, packets obey it.
EXTENSIONS = {
    "external-net": "Neutron external network",
    "subnet-external-network": "Subnets of external networks can be seen",
    "router": "Neutron L3 Router",
    "ext-gw-mode": "Neutron L3 Configurable external gateway mode",
    "extraroute": "Neutron Extra Route",
    "security-group": "security-group",
    "port-security": "Port Security",
    "allowed-address-pairs": "Allowed Address Pairs",
    "net-mtu": "Network MTU",
    "net-mtu-writable": "Network MTU (writable)",
    "quotas": "Quota management support",
    "quota_details": "Quota details management support",
    "pagination": "Pagination support",
    "sorting": "Sorting support",
    "project-id": "project_id field enabled",
    "standard-attr-description": "standard-attr-description",
    "standard-attr-timestamp": "Resource timestamps",
    "availability_zone": "Availability Zone",
    "network_availability_zone": "Network Availability Zone",
    "router_availability_zone": "Router Availability Zone",
    "security-groups-remote-address-group": "Remote address group id field for security group rules",
    "floatingip-autodelete-internal": "FloatingIP Autodelete Internal",
}


def _versions(request: HttpRequest) -> HttpResponse:
    href = {"rel": "self", "href": f"{service.address(request)}/"}
    return answer({"versions": [{"id": "v2.0", "status": "CURRENT", "links": [href]}]})


def _resources(request: HttpRequest) -> HttpResponse:
    rows = [
        {"name": name, "collection": many, "links": [{"rel": "self", "href": service.address(request, many)}]}
        for name, many in RESOURCES.items()
    ]
    return answer({"resources": rows})


def _extension(alias: str) -> dict[str, Any]:
    name = EXTENSIONS[alias]
    return {"alias": alias, "name": name, "description": name, "updated": "2024-01-01T00:00:00-00:00", "links": []}


def _extensions(request: HttpRequest, caller: Caller) -> HttpResponse:
    return answer({"extensions": [_extension(alias) for alias in EXTENSIONS]})


def _one(request: HttpRequest, caller: Caller, alias: str) -> HttpResponse:
    if alias not in EXTENSIONS:
        raise NotFound(f"There is no extension {alias[:64]}.")
    return answer({"extension": _extension(alias)})


versions = neutron.open(GET=_versions)
resources = neutron.open(GET=_resources)
extensions = neutron.view(GET=_extensions)
extension = neutron.view(GET=_one)
