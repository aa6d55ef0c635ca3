"""The pages of a project; every noun brings its own routes."""

from __future__ import annotations

from dashboard.portal import (
    activity,
    bucket_access,
    bucket_events,
    bucket_rules,
    buckets,
    credentials,
    encryption_keys,
    images,
    instances,
    keypairs,
    members,
    networks,
    objects,
    overview,
    security_groups,
    settings,
    volumes,
)

urlpatterns = [
    *overview.urlpatterns,
    *instances.urlpatterns,
    *images.urlpatterns,
    *volumes.urlpatterns,
    *networks.urlpatterns,
    *security_groups.urlpatterns,
    *buckets.urlpatterns,
    *bucket_access.urlpatterns,
    *bucket_rules.urlpatterns,
    *bucket_events.urlpatterns,
    *encryption_keys.urlpatterns,
    *objects.urlpatterns,
    *keypairs.urlpatterns,
    *credentials.urlpatterns,
    *members.urlpatterns,
    *activity.urlpatterns,
    *settings.urlpatterns,
]
