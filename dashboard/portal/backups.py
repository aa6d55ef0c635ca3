"""Backups: list, make, one backup with its chain, restore."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path
from django.views.decorators.http import require_POST, require_safe

from cloudbox.common.errors import Invalid, NotFound
from compute import backup_files, backup_vaults, backups, flavors, images, instances, volume_types, volumes
from dashboard import commands, downloads, lists
from dashboard.admin.tools import listing
from dashboard.forms.base import Form
from dashboard.portal import disk_files
from dashboard.shell import attempt, page, portal_page
from identity import activity
from identity.context import Context

EVENTS = 8
# What needs no more than a click, and what to say when it is begun.
DO: dict[str, tuple[Callable[[Context, UUID], Any], str]] = {
    "verify": (backups.verify, "{} is being verified."),
    "cancel": (backups.cancel, "{} is being cancelled."),
    "delete": (backups.delete, "{} is being deleted."),
}


def _base(ctx: Context) -> str:
    return f"/p/{ctx.needed_project.slug}/backups"


def _live(ctx: Context, since: int) -> dict[str, Any]:
    return {"project": ctx.needed_project.slug, "part": "page", "since": since}


def _wanted(request: HttpRequest, ctx: Context) -> tuple[str, QuerySet[Any]]:
    q = request.GET.get("q", "").strip()[:100]
    return q, backups.list(ctx, q=q)


@require_safe
@portal_page
def index(request: HttpRequest, ctx: Context) -> HttpResponse:
    since = activity.place()
    q, rows = _wanted(request, ctx)
    context = {
        "found": listing(request, rows, {"q": q}, labels={}),
        "q": q,
        "counts": backups.counts(ctx),
        "tab": "backups",
        "why": _why_not_new(ctx),
        "live": _live(ctx, since),
    }
    return page(request, "portal/backups/list.html", context)


def _why_not_new(ctx: Context) -> str:
    if reason := ctx.why_not("backups.manage"):
        return reason
    return "" if backup_vaults.list(ctx).exists() else "There is no vault to put a backup into. Add one first, under Vaults."


@require_safe
@portal_page
def export(request: HttpRequest, ctx: Context) -> HttpResponse:
    return downloads.csv(request, "backups", lists.BACKUPS, _wanted(request, ctx)[1])


@portal_page
def new(request: HttpRequest, ctx: Context) -> HttpResponse:
    vaults = backup_vaults.list(ctx)
    first = vaults.first()
    form = Form(request, of="", vault_id=str(first.id) if first else "", name="", full="")

    def act() -> Any:
        vault_id = form.id_of("vault_id")
        if vault_id is None:
            raise Invalid("Choose the vault.", field="vault_id")
        target = target_of(form)
        return backups.create(ctx, vault_id=vault_id, name=form.text("name"), full=form.text("full") == "on", **target)

    if form.posted and form.run(act):
        return HttpResponseRedirect(f"{_base(ctx)}/{form.result[0].id}")
    context = {
        "form": form,
        "vaults": vaults,
        "sources": sources(ctx),
        "command": commands.curl(request, ctx, "backups", {"vault_id": "{vault_id}", "volume_id": "{volume_id}"}),
        "why": _why_not_new(ctx),
    }
    return page(request, "portal/backups/new.html", context, status=form.status)


def sources(ctx: Context) -> list[tuple[str, list[tuple[str, Any, str]]]]:
    """What there is to back up: (heading, (key, row, why not)), instances first."""
    machines = [(f"instance:{row.id}", row, backups.why_not_of_instance(row)) for row in instances.list(ctx)]
    disks = [(f"volume:{row.id}", row, backups.why_not_of_volume(row)) for row in volumes.list(ctx)]
    return [("Instances, with all their disks", machines), ("Volumes", disks)]


def target_of(form: Form) -> dict[str, Any]:
    """What the field `of` names, as the verbs want it."""
    kind, _, id = form.text("of").partition(":")
    try:
        return {{"instance": "instance_id", "volume": "volume_id"}[kind]: UUID(id)}
    except (KeyError, ValueError) as error:
        raise Invalid("Choose an instance or a volume.", field="of") from error


@require_safe
@portal_page
def detail(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    return _detail(request, ctx, id)


def _detail(request: HttpRequest, ctx: Context, id: UUID, *, form: Form | None = None) -> HttpResponse:
    """The page; `form` is a renaming that was refused."""
    since = activity.place()
    row = backups.get(ctx, id)
    context = {
        "b": row,
        "why": {key: backups.why_not(ctx, row, key) for key in backups.ACTIONS},
        "actions": backups.ACTIONS,
        "chain": backups.chain(ctx, row)[:50],
        "mates": backups.mates(ctx, row),
        "events": activity.list(ctx, subject_id=id)[:EVENTS],
        "live": _live(ctx, since),
        "tab": "backups",
        "opened": "rename" if form else "",
        "rename": form or Form(request, name=row.name, description=row.description),
    }
    return page(request, "portal/backups/detail.html", context, status=form.status if form else 200)


@require_safe
@portal_page
def files(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    row = backups.get(ctx, id)
    context = {
        "name": row.name,
        "words": f"{row.source_name} as it was. Read from the bucket; nothing is restored or mounted for it.",
        "at": f"{_base(ctx)}/{id}",
        "trail": [(_base(ctx), "Backups"), (f"{_base(ctx)}/{id}", row.name)],
        "command": ("backup", {"id": row.id, "name": row.name}),
    }
    return disk_files.folder(request, context, lambda part, path: backup_files.look(ctx, id, part=part, path=path))


@require_safe
@portal_page
def file(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    return disk_files.download(request, lambda part, path: backup_files.read(ctx, id, part=part, path=path))


@portal_page
def restore(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    """As a new volume, over one that is there, or as a new instance."""
    row = backups.get(ctx, id)
    how = "instance" if row.disk == "root" else "volume"
    form = Form(request, how=how, name="", size_gib="", type_id="", volume_id="", new_name="", flavor_id="", image_id="", with_volumes="on")

    def act() -> Any:
        return _restored(ctx, row.id, form)

    if form.posted and form.run(act):
        noun = "instances" if form.text("how") == "instance" else "volumes"
        return HttpResponseRedirect(f"/p/{ctx.needed_project.slug}/{noun}/{form.result.id}")
    context = {
        "b": row,
        "form": form,
        "types": volume_types.list(ctx),
        "places": [(each, backups.why_not_over(row, each)) for each in volumes.list(ctx)],
        "flavors": flavors.list(ctx),
        "images": images.list(ctx),
        "mates": backups.mates(ctx, row),
        "why": backups.why_not(ctx, row, "restore"),
    }
    return page(request, "portal/backups/restore.html", context, status=form.status)


def _restored(ctx: Context, id: UUID, form: Form) -> Any:
    how = form.text("how")
    if how == "volume":
        return backups.restore_as_volume(ctx, id, name=form.text("name"), size_gib=form.number("size_gib"), type_id=form.id_of("type_id"))
    if how == "over":
        volume_id = form.id_of("volume_id")
        if volume_id is None:
            raise Invalid("Choose the volume.", field="volume_id")
        return backups.restore_over(ctx, id, volume_id=volume_id)
    if how == "instance":
        try:
            return backups.restore_as_instance(
                ctx,
                id,
                name=form.text("new_name"),
                flavor_id=form.id_of("flavor_id"),
                image_id=form.id_of("image_id"),
                with_volumes=form.text("with_volumes") == "on",
            )
        except (Invalid, NotFound) as error:
            error.field = "new_name" if error.field == "name" else error.field
            raise
    raise Invalid("Say how it is to be restored.", field="how")


@require_POST
@portal_page
def rename(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    backups.get(ctx, id)
    form = Form(request, name="", description="")
    if form.run(lambda: backups.update(ctx, id, name=form.text("name"), description=form.text("description"))):
        return HttpResponseRedirect(f"{_base(ctx)}/{id}")
    return _detail(request, ctx, id, form=form)


@require_POST
@portal_page
def do(request: HttpRequest, ctx: Context, id: UUID, key: str) -> HttpResponse:
    if key not in DO:
        raise Http404
    verb, done = DO[key]
    row = backups.get(ctx, id)
    gone = attempt(request, lambda: verb(ctx, id), done=done.format(row.name)) and key == "delete"
    return HttpResponseRedirect(_base(ctx) if gone else f"{_base(ctx)}/{id}")


urlpatterns = [
    path("/backups", index, name="backups"),
    path("/backups.csv", export, name="backups-csv"),
    path("/backups/new", new, name="backup-new"),
    path("/backups/<uuid:id>", detail, name="backup"),
    path("/backups/<uuid:id>/files", files, name="backup-files"),
    path("/backups/<uuid:id>/file", file, name="backup-file"),
    path("/backups/<uuid:id>/restore", restore, name="backup-restore"),
    path("/backups/<uuid:id>/rename", rename, name="backup-rename"),
    path("/backups/<uuid:id>/do/<slug:key>", do, name="backup-do"),
]
