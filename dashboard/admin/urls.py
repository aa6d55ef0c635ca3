"""Where the pages of the admin console live; "" is its home."""

from __future__ import annotations

from dashboard.admin import (
    audit,
    drives,
    external_networks,
    flavors,
    health,
    home,
    hosts,
    image_catalogue,
    images,
    instances,
    projects,
    store,
    users,
    volume_types,
)

urlpatterns = [
    *home.urlpatterns,
    *hosts.urlpatterns,
    *projects.urlpatterns,
    *users.urlpatterns,
    *instances.urlpatterns,
    *flavors.urlpatterns,
    *external_networks.urlpatterns,
    *volume_types.urlpatterns,
    *store.urlpatterns,
    *drives.urlpatterns,
    *image_catalogue.urlpatterns,
    *images.urlpatterns,
    *audit.urlpatterns,
    *health.urlpatterns,
]
