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
    instance_disks,
    instances,
    keypairs,
    members,
    networks,
    objects,
    overview,
    security_groups,
    settings,
    snapshots,
    volumes,
)

urlpatterns = [
    *overview.urlpatterns,
    *instances.urlpatterns,
    *images.urlpatterns,
    *volumes.urlpatterns,
    *snapshots.urlpatterns,
    *instance_disks.urlpatterns,
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
