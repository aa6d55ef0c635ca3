"""Every address of the dialect. Resources lie under their project, for tokens and sessions alike."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path, re_path

from dashboard.api import reference
from dashboard.api.errors import no_route
from dashboard.api.render.compute import ACTION_KEYS
from dashboard.api.views import account, admin, buckets, catalogue, credentials, events, instances, networks, ports, routers, volumes

Routes = list[URLPattern | URLResolver]

_instance: Routes = [
    path("consoles", instances.ConsolesView.as_view()),
    path("console-log", instances.ConsoleLogView.as_view()),
    path("screenshot", instances.ScreenshotView.as_view()),
    path("metrics", instances.MetricsView.as_view()),
    *(path(f"{key}", instances.action_view(key)) for key in ACTION_KEYS),
]

_bucket: Routes = [
    path("policy", buckets.PolicyView.as_view()),
    path("policy/check", buckets.PolicyCheckView.as_view()),
    path("simulate", buckets.SimulateView.as_view()),
    path("cors", buckets.CorsView.as_view()),
    path("lifecycle", buckets.LifecycleView.as_view()),
    path("lifecycle/preview", buckets.LifecyclePreviewView.as_view()),
    path("emptying", buckets.EmptyingView.as_view()),
    path("notifications", events.NotificationsView.as_view()),
]

_volume: Routes = [
    path("attach", volumes.AttachView.as_view()),
    path("grow", volumes.GrowView.as_view()),
    *(path(key, volumes.action_view(key)) for key in ("detach", "protect", "unprotect")),
]

_project: Routes = [
    path("quotas", account.QuotasView.as_view()),
    path("activity", account.ActivityView.as_view()),
    path("members", account.MembersView.as_view()),
    path("members/<uuid:user_id>", account.MemberView.as_view()),
    path("tokens", credentials.TokensView.as_view()),
    path("tokens/<uuid:id>", credentials.TokenView.as_view()),
    path("access-keys", credentials.AccessKeysView.as_view()),
    path("access-keys/<str:id>", credentials.AccessKeyView.as_view()),
    path("instances", instances.InstancesView.as_view()),
    path("instances/<uuid:id>", instances.InstanceView.as_view()),
    path("instances/<uuid:id>/", include(_instance)),
    path("volumes", volumes.VolumesView.as_view()),
    path("volumes/<uuid:id>", volumes.VolumeView.as_view()),
    path("volumes/<uuid:id>/", include(_volume)),
    path("images", catalogue.ImagesView.as_view()),
    path("images/<uuid:id>", catalogue.ImageView.as_view()),
    path("images/<uuid:id>/deactivate", catalogue.ImageDeactivateView.as_view()),
    path("images/<uuid:id>/reactivate", catalogue.ImageReactivateView.as_view()),
    path("keypairs", catalogue.KeypairsView.as_view()),
    path("keypairs/import", catalogue.KeypairImportView.as_view()),
    path("keypairs/<uuid:id>", catalogue.KeypairView.as_view()),
    path("buckets", buckets.BucketsView.as_view()),
    path("buckets/<str:name>", buckets.BucketView.as_view()),
    path("buckets/<str:name>/", include(_bucket)),
    path("webhooks", events.WebhooksView.as_view()),
    path("webhooks/<uuid:id>", events.WebhookView.as_view()),
    path("webhooks/<uuid:id>/test", events.WebhookTestView.as_view()),
    path("webhooks/<uuid:id>/redeliver", events.WebhookRedeliverView.as_view()),
    path("webhooks/<uuid:id>/deliveries/<uuid:event_id>", events.DeliveryView.as_view()),
    path("webhooks/<uuid:id>/deliveries/<uuid:event_id>/redeliver", events.RedeliverView.as_view()),
    path("deliveries", events.DeliveriesView.as_view()),
    path("encryption-keys", buckets.EncryptionKeysView.as_view()),
    path("encryption-keys/<uuid:id>", buckets.EncryptionKeyView.as_view()),
    path("encryption-keys/<uuid:id>/rotate", buckets.RotateKeyView.as_view()),
    path("encryption-keys/<uuid:id>/enable", buckets.EnableKeyView.as_view()),
    path("encryption-keys/<uuid:id>/disable", buckets.DisableKeyView.as_view()),
    path("networks", networks.NetworksView.as_view()),
    path("networks/<uuid:id>", networks.NetworkView.as_view()),
    path("networks/<uuid:id>/names", ports.NamesView.as_view()),
    path("routers", routers.RoutersView.as_view()),
    path("routers/<uuid:id>", routers.RouterView.as_view()),
    path("routers/<uuid:id>/gateway", routers.RouterGatewayView.as_view()),
    path("routers/<uuid:id>/routes", routers.RouterRoutesView.as_view()),
    path("routers/<uuid:id>/networks/<uuid:network_id>", routers.RouterNetworkView.as_view()),
    path("floating-ips", routers.FloatingIpsView.as_view()),
    path("floating-ips/<uuid:id>", routers.FloatingIpView.as_view()),
    path("floating-ips/<uuid:id>/associate", routers.AssociateView.as_view()),
    path("floating-ips/<uuid:id>/disassociate", routers.DisassociateView.as_view()),
    path("port-forwards", routers.ForwardsView.as_view()),
    path("port-forwards/<uuid:id>", routers.ForwardView.as_view()),
    path("networks/<uuid:id>/names", ports.NamesView.as_view()),
    path("ports", ports.PortsView.as_view()),
    path("ports/<uuid:id>", ports.PortView.as_view()),
    path("ports/<uuid:id>/security-groups", ports.PortGroupsView.as_view()),
    path("address-groups", ports.AddressGroupsView.as_view()),
    path("address-groups/<uuid:id>", ports.AddressGroupView.as_view()),
    path("security-groups", networks.SecurityGroupsView.as_view()),
    path("security-groups/<uuid:id>", networks.SecurityGroupView.as_view()),
    path("security-groups/<uuid:id>/rules", networks.RulesView.as_view()),
    path("security-groups/<uuid:id>/rules/<uuid:rule_id>", networks.RuleView.as_view()),
]

_admin: Routes = [
    path("hosts", admin.HostsView.as_view()),
    path("health", admin.HealthView.as_view()),
    path("audit", admin.AuditView.as_view()),
    path("audit/chain", admin.AuditChainView.as_view()),
    path("instances", admin.AllInstancesView.as_view()),
    path("buckets", admin.AllBucketsView.as_view()),
    path("images", admin.AllImagesView.as_view()),
    path("projects", admin.AllProjectsView.as_view()),
    path("projects/<slug:slug>/suspend", admin.SuspendProjectView.as_view()),
    path("projects/<slug:slug>/resume", admin.ResumeProjectView.as_view()),
    path("projects/<slug:slug>/quotas", admin.ProjectQuotasView.as_view()),
    path("users", admin.UsersView.as_view()),
    path("users/<uuid:id>", admin.UserView.as_view()),
    path("users/<uuid:id>/suspend", admin.SuspendUserView.as_view()),
    path("users/<uuid:id>/resume", admin.ResumeUserView.as_view()),
    path("users/<uuid:id>/password", admin.UserPasswordView.as_view()),
    path("external-networks", routers.AllExternalNetworksView.as_view()),
    path("external-networks/<uuid:id>", routers.AdminExternalNetworkView.as_view()),
    path("flavors", admin.AllFlavorsView.as_view()),
    path("flavors/<uuid:id>/retire", admin.RetireFlavorView.as_view()),
    path("flavors/<uuid:id>/restore", admin.RestoreFlavorView.as_view()),
    path("volume-types", volumes.AllVolumeTypesView.as_view()),
    path("volume-types/<uuid:id>/retire", volumes.RetireVolumeTypeView.as_view()),
    path("volume-types/<uuid:id>/restore", volumes.RestoreVolumeTypeView.as_view()),
]

urlpatterns: Routes = [
    path("me", account.MeView.as_view()),
    path("projects", account.ProjectsView.as_view()),
    path("projects/<slug:project>", account.ProjectView.as_view()),
    path("projects/<slug:project>/", include(_project)),
    path("flavors", catalogue.FlavorsView.as_view()),
    path("flavors/<uuid:id>", catalogue.FlavorView.as_view()),
    path("external-networks", routers.ExternalNetworksView.as_view()),
    path("external-networks/<uuid:id>", routers.ExternalNetworkView.as_view()),
    path("volume-types", volumes.VolumeTypesView.as_view()),
    path("volume-types/<uuid:id>", volumes.VolumeTypeView.as_view()),
    path("admin/", include(_admin)),
    path("openapi.json", reference.schema_json, name="openapi-json"),
    path("openapi.yaml", reference.schema_yaml, name="openapi-yaml"),
    path("docs", reference.page, name="api-docs"),
    re_path("^.*$", no_route),
]
