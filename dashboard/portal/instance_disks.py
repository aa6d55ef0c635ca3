"""The disks of an instance: its root disk, the volumes that it has, and those that it could have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path
from django.views.decorators.http import require_POST, require_safe

from cloudbox.common.errors import Invalid
from compute import instance_snapshots, instances, progress, volumes
from dashboard.forms.base import Form
from dashboard.portal import backup_card, instance_tabs
from dashboard.shell import attempt, portal_page
from identity import activity
from identity.context import Context

FREE_MAX = 200


@require_safe
@portal_page
def disks(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    return _show(request, ctx, id)


def _show(request: HttpRequest, ctx: Context, id: UUID, *, form: Form | None = None, take: Form | None = None) -> HttpResponse:
    """The tab; `form` is an attachment that was refused, `take` a snapshot."""
    since, instance = activity.place(), instances.get(ctx, id)
    rows = [*volumes.list(ctx, instance_id=id, sort="created")]
    boot = next((row for row in rows if row.is_boot), None)
    more: dict[str, Any] = {
        "read": (since, instance),
        "boot": boot,
        "rows": [{"it": row, "why": volumes.why_not(ctx, row, "detach")} for row in rows],
        "moves": progress.of(rows),
        "free": volumes.list(ctx, status="available")[:FREE_MAX],
        "why_attach": ctx.why_not("volumes.manage") or volumes.why_not_to(instance),
        "attach": form or Form(request, volume_id="", read_only=""),
        "opened": form is not None,
        "wholes": [
            {"it": row, "why": {key: instance_snapshots.why_not(ctx, row, key) for key in instance_snapshots.ACTIONS}}
            for row in instance_snapshots.list(ctx, instance_id=id)
        ],
        "why_take": ctx.why_not("snapshots.manage") or instance_snapshots.why_not_of(instance),
        "take": take or Form(request, name="", description=""),
        "taking": take is not None,
        "backup": backup_card.of_instance(ctx, instance, boots_from_volume=boot is not None),
        # Volumes come and go by events of their own: the tab lives as a whole.
        "live": {"project": ctx.needed_project.slug, "part": "page", "since": since},
    }
    refused = form or take
    return instance_tabs.tab(request, ctx, id, "disks", more, status=refused.status if refused else 200)


@require_POST
@portal_page
def snapshot(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    instances.get(ctx, id)
    form = Form(request, name="", description="")
    if form.run(lambda: instance_snapshots.create(ctx, id, name=form.text("name"), description=form.text("description"))):
        return HttpResponseRedirect(f"/p/{ctx.needed_project.slug}/instances/{id}/disks")
    return _show(request, ctx, id, take=form)


DO: dict[str, tuple[Callable[[Context, UUID], Any], str]] = {
    "restore": (instance_snapshots.restore, "The instance goes back to {}."),
    "delete": (instance_snapshots.delete, "{} is being deleted."),
}


@require_POST
@portal_page
def do(request: HttpRequest, ctx: Context, id: UUID, key: str) -> HttpResponse:
    if key not in DO:
        raise Http404
    verb, done = DO[key]
    whole = instance_snapshots.get(ctx, id)
    attempt(request, lambda: verb(ctx, id), done=done.format(whole.name))
    return HttpResponseRedirect(f"/p/{ctx.needed_project.slug}/instances/{whole.instance_id}/disks")


@require_POST
@portal_page
def attach(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    instances.get(ctx, id)
    form = Form(request, volume_id="", read_only="")

    def act() -> Any:
        volume_id = form.id_of("volume_id")
        if volume_id is None:
            raise Invalid("Choose the volume.", field="volume_id")
        return volumes.attach(ctx, volume_id, instance_id=id, read_only=form.text("read_only") == "on")

    if form.run(act):
        return HttpResponseRedirect(f"/p/{ctx.needed_project.slug}/instances/{id}/disks")
    return _show(request, ctx, id, form=form)


@require_POST
@portal_page
def detach(request: HttpRequest, ctx: Context, id: UUID, volume_id: UUID) -> HttpResponse:
    instances.get(ctx, id)
    volume = volumes.get(ctx, volume_id)
    attempt(request, lambda: volumes.detach(ctx, volume_id), done=f"{volume.name} is being detached.")
    return HttpResponseRedirect(f"/p/{ctx.needed_project.slug}/instances/{id}/disks")


urlpatterns = [
    path("/instances/<uuid:id>/disks", disks, name="instance-disks"),
    path("/instances/<uuid:id>/disks/snapshot", snapshot, name="instance-snapshot"),
    path("/instance-snapshots/<uuid:id>/do/<slug:key>", do, name="instance-snapshot-do"),
    path("/instances/<uuid:id>/disks/attach", attach, name="instance-attach"),
    path("/instances/<uuid:id>/disks/<uuid:volume_id>/detach", detach, name="instance-detach"),
]
