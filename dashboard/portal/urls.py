"""The pages of a project; every noun brings its own routes."""

from __future__ import annotations

from dashboard.portal import (
    activity,
    credentials,
    images,
    instances,
    keypairs,
    members,
    networks,
    objects,
    overview,
    security_groups,
    settings,
)

urlpatterns = [
    *overview.urlpatterns,
    *instances.urlpatterns,
    *images.urlpatterns,
    *networks.urlpatterns,
    *security_groups.urlpatterns,
    *objects.urlpatterns,
    *keypairs.urlpatterns,
    *credentials.urlpatterns,
    *members.urlpatterns,
    *activity.urlpatterns,
    *settings.urlpatterns,
]
