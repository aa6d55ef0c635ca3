"""Every address of the dialect."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path, re_path

from compute.api.placement import views
from compute.api.placement.errors import placement

Routes = list[URLPattern | URLResolver]

_routes: Routes = [
    path("resource_providers", views.providers),
    path("resource_providers/<str:id>", views.provider),
    path("resource_providers/<str:id>/inventories", views.inventories),
    path("resource_providers/<str:id>/inventories/<str:name>", views.inventory),
    path("resource_providers/<str:id>/usages", views.provider_usages),
    path("resource_providers/<str:id>/aggregates", views.aggregates),
    path("resource_providers/<str:id>/traits", views.provider_traits),
    path("resource_providers/<str:id>/allocations", views.provider_allocations),
    path("resource_classes", views.classes),
    path("resource_classes/<str:name>", views.resource_class),
    path("traits", views.traits),
    path("traits/<str:name>", views.trait),
    path("allocations/<str:consumer>", views.allocations),
    path("allocation_candidates", views.candidates),
    path("usages", views.usages),
]

urlpatterns: Routes = [
    path("placement", views.versions),
    path("placement/", views.versions),
    path("placement/", include(_routes)),
    re_path("^placement/.*$", placement.nowhere()),
]
