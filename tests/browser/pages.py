"""Every page of the portal, the admin console and the account, as data: where it is, and who looks.

`test_every_route_is_here` compares it with the URL configuration, so that a page cannot be forgotten.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Page:
    """`path` may hold names of `Site.things`; `who` is a person of `Site.people`, "" a stranger."""

    name: str
    path: str
    who: str = "admin"
    status: int = 200
    ready: str = ""  # wait for this selector: what scripts bring after the page
    says: tuple[str, ...] = ()  # console errors that belong to the page: browsers report a failed load so


def _noise(status: int) -> tuple[str, ...]:
    return (f"status of {status}",)


PAGES: tuple[Page, ...] = (
    # the door
    Page("sign-in", "/sign-in", who=""),
    Page("sign-in-suspended", "/sign-in/suspended", who=""),
    Page("sign-up", "/sign-up", who=""),
    Page("reset", "/reset", who=""),
    Page("sign-out", "/sign-out"),
    Page("not-found", "/p/demo/instances/00000000-0000-4000-8000-000000000000", status=404, says=_noise(404)),
    Page("no-project", "/", who="nobody"),
    # the portal
    Page("overview", "/p/demo"),
    Page("overview-reader", "/p/demo", who="reader"),
    Page("overview-suspended", "/p/orkla-print", who="bob"),
    Page("instances", "/p/demo/instances"),
    Page("instances-wall", "/p/demo/instances?view=wall"),
    Page("instances-reader", "/p/demo/instances", who="reader"),
    Page("instances-support", "/p/demo/instances", who="support"),
    Page("instances-filtered", "/p/demo/instances?state=running"),
    Page("instances-nothing", "/p/demo/instances?q=no-such-thing"),
    Page("instances-empty", "/p/fjord-maps/instances", who="bob"),
    Page("launch", "/p/demo/instances/new"),
    Page("launch-reader", "/p/demo/instances/new", who="reader"),
    Page("instance", "/p/demo/instances/{web}"),
    Page("instance-error", "/p/demo/instances/{failed}"),
    Page("instance-reader", "/p/demo/instances/{web}", who="reader"),
    Page("instance-console", "/p/demo/instances/{web}/console", ready=".xterm"),
    Page("instance-log", "/p/demo/instances/{web}/log"),
    Page("instance-metrics", "/p/demo/instances/{web}/metrics"),
    Page("instance-networking", "/p/demo/instances/{web}/networking"),
    Page("instance-activity", "/p/demo/instances/{web}/activity"),
    Page("instance-settings", "/p/demo/instances/{web}/settings"),
    Page("images", "/p/demo/images"),
    Page("image", "/p/demo/images/{image}"),
    Page("networks", "/p/demo/networks"),
    Page("network", "/p/demo/networks/{network}"),
    Page("network-new", "/p/demo/networks/new"),
    Page("objects", "/p/demo/buckets/media/o"),
    Page("objects-reader", "/p/demo/buckets/media/o?prefix=2026%2Flaunch%2F", who="reader"),
    Page("objects-support", "/p/demo/buckets/media/o", who="support"),
    Page("objects-empty", "/p/demo/buckets/archive/o"),
    Page("objects-none", "/p/demo/buckets/media/o?q=nothing-begins-so"),
    Page("objects-deleted", "/p/demo/buckets/media/o?deleted=1&object=gone.txt"),
    Page("object-text", "/p/demo/buckets/media/o?object=readme.txt"),
    Page("object-image", "/p/demo/buckets/media/o?prefix=2026%2Flaunch%2F&object=2026%2Flaunch%2Fharbour.png", ready=".ob-pv img"),
    Page("object-reader", "/p/demo/buckets/media/o?object=readme.txt", who="reader"),
    Page("object-none", "/p/demo/buckets/media/o?object=never-was"),
    Page("object-hostile", "/p/demo/buckets/media/o?object={hostile}"),
    Page("objects-hostile", "/p/demo/buckets/media/o?prefix={hostile}%2F&object={hostile}%2F{hostile}"),
    Page("objects-no-bucket", "/p/demo/buckets/never-was/o", status=404, says=_noise(404)),
    Page("security-groups", "/p/demo/security-groups"),
    Page("security-group", "/p/demo/security-groups/{group}"),
    Page("security-group-new", "/p/demo/security-groups/new"),
    Page("security-group-settings", "/p/demo/security-groups/{group}/settings"),
    Page("keypairs", "/p/demo/keypairs"),
    Page("keypairs-empty", "/p/fjord-maps/keypairs", who="bob"),
    Page("keypair", "/p/demo/keypairs/{keypair}"),
    Page("keypair-new", "/p/demo/keypairs/new"),
    Page("credentials", "/p/demo/credentials"),
    Page("token-new", "/p/demo/credentials/tokens/new"),
    Page("access-key-new", "/p/demo/credentials/keys/new"),
    Page("members", "/p/demo/members"),
    Page("members-reader", "/p/demo/members", who="reader"),
    Page("member-add", "/p/demo/members/add"),
    Page("activity", "/p/demo/activity"),
    Page("settings", "/p/demo/settings"),
    # the account
    Page("profile", "/account/profile"),
    Page("appearance", "/account/appearance"),
    Page("sessions", "/account/sessions"),
    Page("security", "/account/security"),
    Page("password", "/account/security/password"),
    Page("confirm", "/account/confirm"),
    # the admin console
    Page("admin", "/admin"),
    Page("admin-support", "/admin", who="support"),
    Page("admin-hosts", "/admin/hosts"),
    Page("admin-projects", "/admin/projects"),
    Page("admin-projects-support", "/admin/projects", who="support"),
    Page("admin-projects-nothing", "/admin/projects?q=no-such-thing"),
    Page("admin-project-new", "/admin/projects/new"),
    Page("admin-project", "/admin/projects/demo"),
    Page("admin-project-suspended", "/admin/projects/orkla-print"),
    Page("admin-project-quota", "/admin/projects/demo/quota"),
    Page("admin-project-members", "/admin/projects/demo/members"),
    Page("admin-project-members-support", "/admin/projects/demo/members", who="support"),
    Page("admin-project-activity", "/admin/projects/demo/activity"),
    Page("admin-users", "/admin/users"),
    Page("admin-user-new", "/admin/users/new"),
    Page("admin-user", "/admin/users/{user_bob}"),
    Page("admin-instances", "/admin/instances"),
    Page("admin-instances-support", "/admin/instances", who="support"),
    Page("admin-instances-filtered", "/admin/instances?status=error&project=demo"),
    Page("admin-flavors", "/admin/flavors"),
    Page("admin-flavor-new", "/admin/flavors/new"),
    Page("admin-images", "/admin/images"),
    Page("admin-audit", "/admin/audit"),
    Page("admin-audit-filtered", "/admin/audit?verb=launch&outcome=ok"),
    Page("admin-health", "/admin/health"),
)

# Routes that are no pages: actions by POST, files, fragments, and steps of allauth that need a state of their own.
NOT_PAGES: frozenset[str] = frozenset(
    {
        *(
            f"p/<slug:project>/buckets/<str:name>/o{rest}"
            for rest in (
                "/download",
                "/properties",
                "/tags",
                "/share",
                "/restore",
                "/forget",
                "/folder",
                "/count",
                "/delete",
                "/copy",
                "/uploads",
                "/uploads/sign",
                "/uploads/parts",
                "/uploads/complete",
                "/uploads/abort",
            )
        ),
        "healthz",
        "palette",
        "sign-in/passkey",
        "sign-in/second-factor",
        "account/confirm/code",
        "account/confirm/passkey",
        "account/security/password/set",
        "account/security/app",
        "account/security/app/remove",
        "account/security/codes",
        "account/security/codes/new",
        "account/security/codes/download",
        "account/security/passkeys",
        "account/security/passkeys/new",
        "account/security/passkeys/<int:pk>",
        "account/security/passkeys/<int:pk>/remove",
        "p/<slug:project>/instances/bulk",
        "p/<slug:project>/instances/views",
        "p/<slug:project>/instances/views/<uuid:id>/delete",
        "p/<slug:project>/instances/<str:name>",
        "p/<slug:project>/instances/<uuid:id>/do/<slug:key>",
        "p/<slug:project>/instances/<uuid:id>/menu",
        "p/<slug:project>/instances/<uuid:id>/screen.png",
        "p/<slug:project>/instances/<uuid:id>/log.txt",
        "p/<slug:project>/instances/<uuid:id>/open-console",
        "p/<slug:project>/images/<uuid:id>/<slug:key>",
        "p/<slug:project>/networks/<uuid:id>/delete",
        "p/<slug:project>/security-groups/<uuid:id>/delete",
        "p/<slug:project>/security-groups/<uuid:id>/rules/<uuid:rule_id>/remove",
        "p/<slug:project>/keypairs/<uuid:id>/delete",
        "p/<slug:project>/credentials/tokens/<uuid:id>/revoke",
        "p/<slug:project>/credentials/keys/<slug:id>/delete",
        "p/<slug:project>/members/<uuid:id>/role",
        "p/<slug:project>/members/<uuid:id>/remove",
        "admin/projects/<slug:slug>/members/<uuid:user_id>",
        "admin/projects/<slug:slug>/suspend",
        "admin/projects/<slug:slug>/resume",
        "admin/users/<uuid:id>/suspend",
        "admin/users/<uuid:id>/resume",
        "admin/users/<uuid:id>/password",
        "admin/instances/<uuid:id>/stop",
        "admin/instances/<uuid:id>/delete",
        "admin/flavors/<uuid:id>/retire",
        "admin/flavors/<uuid:id>/restore",
        "admin/images/<uuid:id>/deactivate",
        "admin/images/<uuid:id>/reactivate",
        "admin/images/<uuid:id>/delete",
        "admin/audit/verify",
        "admin/audit.csv",
        "admin/images.csv",
        "admin/instances.csv",
        "admin/projects.csv",
        "admin/users.csv",
        "p/<slug:project>/activity.csv",
        "p/<slug:project>/images.csv",
        "p/<slug:project>/instances.csv",
        "p/<slug:project>/networks.csv",
    }
)
