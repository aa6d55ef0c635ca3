"""Every address of the dialect: below the project's id and, as newer clients write them, without it."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path, re_path, register_converter
from django.urls.converters import StringConverter

from compute.api.cinder.errors import cinder
from compute.api.cinder.views import attachments, backups, box, snapshots, transfers, types, versions, volumes, words

Routes = list[URLPattern | URLResolver]


class ProjectConverter(StringConverter):
    """An id with or without hyphens, so that it is no name of a resource."""

    regex = "[0-9a-fA-F]{32}|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"


register_converter(ProjectConverter, "project")

_v3: Routes = [
    path("volumes", volumes.volumes),
    path("volumes/detail", volumes.detail),
    path("volumes/summary", volumes.summary),
    path("volumes/<str:id>", volumes.volume),
    path("volumes/<str:id>/action", volumes.action),
    path("volumes/<str:id>/metadata", words.volume_metadata),
    path("volumes/<str:id>/metadata/<str:key>", words.volume_meta),
    path("snapshots", snapshots.snapshots),
    path("snapshots/detail", snapshots.detail),
    path("snapshots/<str:id>", snapshots.snapshot),
    path("snapshots/<str:id>/metadata", words.snapshot_metadata),
    path("snapshots/<str:id>/metadata/<str:key>", words.snapshot_meta),
    path("attachments", attachments.attachments),
    path("attachments/detail", attachments.detail),
    path("attachments/<str:id>", attachments.attachment),
    path("attachments/<str:id>/action", attachments.action),
    path("types", types.types),
    path("types/<str:id>", types.type_),
    path("types/<str:id>/extra_specs", types.extra_specs),
    path("types/<str:id>/extra_specs/<str:key>", types.extra_spec),
    path("types/<str:id>/os-volume-type-access", types.access),
    path("qos-specs", types.qos_specs),
    path("qos-specs/<str:id>", types.qos_spec),
    path("qos-specs/<str:id>/associations", types.associations),
    path("os-volume-transfer", transfers.transfers),
    path("os-volume-transfer/detail", transfers.detail),
    path("os-volume-transfer/<str:id>", transfers.transfer),
    path("os-volume-transfer/<str:id>/accept", transfers.accept),
    path("volume-transfers", transfers.transfers),
    path("volume-transfers/detail", transfers.detail),
    path("volume-transfers/<str:id>", transfers.transfer),
    path("volume-transfers/<str:id>/accept", transfers.accept),
    path("backups", backups.backups),
    path("backups/detail", backups.detail),
    path("backups/<str:id>", backups.backup),
    path("backups/<str:id>/restore", backups.restore),
    path("backups/<str:id>/action", backups.action),
    path("os-quota-sets/<str:id>", box.quota_set),
    path("os-quota-sets/<str:id>/defaults", box.quota_defaults),
    path("os-availability-zone", box.zones),
    path("os-services", box.services),
    path("os-hosts", box.hosts),
    path("os-hosts/<str:id>", box.host),
    path("scheduler-stats/get_pools", box.pools),
    path("limits", box.limits),
    path("extensions", box.extensions),
    path("resource_filters", box.filters),
    path("messages", box.messages),
    path("messages/<str:id>", box.message),
    path("os-volume-manage", box.manage),
    path("os-snapshot-manage", box.manage),
]

urlpatterns: Routes = [
    path("volume", versions.versions),
    path("volume/", versions.versions),
    path("volume/v3", versions.version),
    path("volume/v3/", versions.version),
    path("volume/v3/<project:project>/", include(_v3)),
    path("volume/v3/", include(_v3)),
    re_path("^volume/.*$", cinder.nowhere()),
]
