"""Every address of the dialect."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path, re_path

from compute.api.nova.errors import nova
from compute.api.nova.views import actions, attachments, box, flavors, images, keypairs, security_groups, servers, versions, words

Routes = list[URLPattern | URLResolver]

_server: Routes = [
    path("action", actions.action),
    path("remote-consoles", actions.remote_consoles),
    path("os-instance-actions", actions.history),
    path("os-instance-actions/<str:request_id>", actions.event),
    path("ips", servers.ips),
    path("ips/<str:network>", servers.ips_of),
    path("diagnostics", servers.diagnostics),
    path("os-server-password", servers.password),
    path("os-security-groups", servers.groups),
    path("metadata", words.metadata),
    path("metadata/<str:key>", words.meta),
    path("tags", words.tags),
    path("tags/<str:tag>", words.tag),
    path("os-volume_attachments", attachments.volume_attachments),
    path("os-volume_attachments/<str:volume>", attachments.volume_attachment),
    path("os-interface", attachments.interfaces),
    path("os-interface/<str:port>", attachments.interface),
]

_v21: Routes = [
    path("servers", servers.servers),
    path("servers/detail", servers.detail),
    path("servers/<str:id>", servers.server),
    path("servers/<str:id>/", include(_server)),
    path("flavors", flavors.flavors),
    path("flavors/detail", flavors.detail),
    path("flavors/<str:id>", flavors.flavor),
    path("flavors/<str:id>/os-extra_specs", flavors.extra_specs),
    path("flavors/<str:id>/os-flavor-access", flavors.access),
    path("images", images.images),
    path("images/detail", images.detail),
    path("images/<str:id>", images.image),
    path("os-keypairs", keypairs.keypairs),
    path("os-keypairs/<str:name>", keypairs.keypair),
    path("os-security-groups", security_groups.security_groups),
    path("os-security-groups/<str:id>", security_groups.security_group),
    path("os-security-group-rules", security_groups.rules),
    path("os-security-group-rules/<str:id>", security_groups.rule),
    path("os-server-groups", box.server_groups),
    path("os-server-groups/<str:id>", box.server_group),
    path("os-availability-zone", box.zones),
    path("os-availability-zone/detail", box.zones_detail),
    path("os-services", box.services),
    path("os-hypervisors", box.hypervisors),
    path("os-hypervisors/detail", box.hypervisors_detail),
    path("os-hypervisors/<str:id>", box.hypervisor),
    path("os-quota-sets/<str:id>", box.quota_set),
    path("os-quota-sets/<str:id>/detail", box.quota_detail),
    path("os-quota-sets/<str:id>/defaults", box.quota_defaults),
    path("os-simple-tenant-usage/<str:id>", box.usage),
    path("limits", box.limits),
    path("extensions", box.extensions),
]

urlpatterns: Routes = [
    path("compute", versions.versions),
    path("compute/", versions.versions),
    path("compute/v2.1", versions.version),
    path("compute/v2.1/", versions.version),
    path("compute/v2.1/", include(_v21)),
    re_path("^compute/.*$", nova.nowhere()),
]
