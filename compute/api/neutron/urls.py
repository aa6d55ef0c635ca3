"""Every address of the dialect."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path, re_path

from compute.api.neutron.errors import neutron
from compute.api.neutron.views import groups, networks, ports, routers, versions

Routes = list[URLPattern | URLResolver]

_v20: Routes = [
    path("extensions", versions.extensions),
    path("extensions/<str:alias>", versions.extension),
    path("networks", networks.networks),
    path("networks/<str:id>", networks.network),
    path("subnets", networks.all_subnets),
    path("subnets/<str:id>", networks.subnet),
    path("ports", ports.ports),
    path("ports/<str:id>", ports.port),
    path("routers", routers.routers),
    path("routers/<str:id>", routers.router),
    path("routers/<str:id>/add_router_interface", routers.add_interface),
    path("routers/<str:id>/remove_router_interface", routers.remove_interface),
    path("routers/<str:id>/add_extraroutes", routers.add_routes),
    path("routers/<str:id>/remove_extraroutes", routers.remove_routes),
    path("floatingips", routers.all_floating),
    path("floatingips/<str:id>", routers.floating),
    path("security-groups", groups.security_groups),
    path("security-groups/<str:id>", groups.security_group),
    path("security-group-rules", groups.rules),
    path("security-group-rules/<str:id>", groups.rule),
    path("quotas/<str:id>", groups.quota),
    path("quotas/<str:id>/details.json", groups.quota_details),
    path("quotas/<str:id>/default", groups.quota_defaults),
    path("availability_zones", groups.zones),
]

urlpatterns: Routes = [
    path("network", versions.versions),
    path("network/", versions.versions),
    path("network/v2.0", versions.resources),
    path("network/v2.0/", versions.resources),
    path("network/v2.0/", include(_v20)),
    re_path("^network/.*$", neutron.nowhere()),
]
