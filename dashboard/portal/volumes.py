"""Volumes: list, create, one volume with what can be done to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path
from django.views.decorators.http import require_POST, require_safe

from cloudbox.common.errors import CloudError, Invalid
from compute import images, instances, progress, snapshots, volume_transfers, volume_types, volumes
from compute.volume_lifecycle import MOVING
from dashboard import commands, downloads, lists
from dashboard.admin.tools import listing
from dashboard.forms.base import Form
from dashboard.portal import backup_card
from dashboard.portal import snapshots as snapshot_rows
from dashboard.shell import attempt, page, portal_page
from identity import activity, quotas
from identity.context import Context

EVENTS = 8
RESOURCES = ("volumes", "volume_gib")
SIZE_DEFAULT = "10"
SOURCES_MAX = 200
# What needs no more than a click, and what to say when it is done.
DO: dict[str, tuple[Callable[..., Any], str]] = {
    "detach": (volumes.detach, "{} is being detached."),
    "protect": (volumes.protect, "{} is protected from deletion."),
    "unprotect": (volumes.unprotect, "{} can be deleted."),
    "delete": (volumes.delete, "{} is being deleted."),
    "withdraw": (volume_transfers.withdraw, "{} is no longer offered."),
}


def _base(ctx: Context) -> str:
    return f"/p/{ctx.needed_project.slug}/volumes"


def _live(ctx: Context, since: int) -> dict[str, Any]:
    return {"project": ctx.needed_project.slug, "part": "page", "since": since}


@require_safe
@portal_page
def index(request: HttpRequest, ctx: Context) -> HttpResponse:
    since = activity.place()
    q, rows = _wanted(request, ctx)
    found = listing(request, rows, {"q": q}, labels={})
    context = {
        "found": found,
        "moves": progress.of([row for row in found.rows if row.status in MOVING]),
        "q": q,
        "counts": volumes.counts(ctx),
        "why": ctx.why_not("volumes.manage"),
        "live": _live(ctx, since),
    }
    return page(request, "portal/volumes/list.html", context)


def _wanted(request: HttpRequest, ctx: Context) -> tuple[str, QuerySet[Any]]:
    q = request.GET.get("q", "").strip()[:100]
    return q, volumes.list(ctx, q=q)


@require_safe
@portal_page
def export(request: HttpRequest, ctx: Context) -> HttpResponse:
    return downloads.csv(request, "volumes", lists.VOLUMES, _wanted(request, ctx)[1])


@portal_page
def new(request: HttpRequest, ctx: Context) -> HttpResponse:
    offered = volume_types.list(ctx)
    first = offered.first()
    # What begins as something is as large as that, unless one says otherwise.
    size = "" if request.GET.get("source") else SIZE_DEFAULT
    form = Form(request, name="", size_gib=size, type_id=str(first.id) if first else "", description="", source="")

    def act() -> Any:
        return volumes.create(
            ctx,
            name=form.text("name"),
            size_gib=form.number("size_gib"),
            type_id=form.id_of("type_id"),
            description=form.text("description"),
            **_source(form),
        )

    if form.posted and form.run(act):
        return HttpResponseRedirect(f"{_base(ctx)}/{form.result.id}")
    context = {
        "form": form,
        "types": offered,
        "sources": _sources(ctx),
        "lines": [line for line in quotas.of(ctx.needed_project) if line.resource in RESOURCES],
        "command": commands.curl(request, ctx, "volumes", {"name": form.text("name"), "size_gib": 10}),
        "why": ctx.why_not("volumes.manage"),
    }
    return page(request, "portal/volumes/new.html", context, status=form.status)


def _sources(ctx: Context) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """What a volume can begin as: kind, title, and of each its id and its words."""
    return [
        ("image", "An image", [(str(row.id), row.name) for row in images.list(ctx).filter(status="ready")[:SOURCES_MAX]]),
        (
            "snapshot",
            "A snapshot",
            [
                (str(row.id), f"{row.name} of {row.volume.name}, {row.size_gib} GiB")
                for row in snapshots.list(ctx, status="ready")[:SOURCES_MAX]
            ],
        ),
        (
            "volume",
            "A volume as it is now",
            [(str(row.id), f"{row.name}, {row.size_gib} GiB") for row in volumes.list(ctx) if row.status in ("available", "attached")],
        ),
    ]


def _source(form: Form) -> dict[str, Any]:
    """`snapshot:<id>` of the form's one field, as the verb takes it; nothing: empty."""
    kind, _, id = form.text("source").partition(":")
    if not kind:
        return {}
    try:
        if kind in ("image", "snapshot", "volume"):
            return {f"{kind}_id": UUID(id)}
    except ValueError:
        pass
    raise Invalid("Choose one of the list.", field="source")


def _size(form: Form) -> int:
    size_gib = form.number("size_gib")
    if size_gib is None:
        raise Invalid("How large is it to be?", field="size_gib")
    return size_gib


@require_safe
@portal_page
def detail(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    return _detail(request, ctx, id)


def _detail(request: HttpRequest, ctx: Context, id: UUID, *, form: Form | None = None, opened: str = "") -> HttpResponse:
    """The page; `form` is one that was refused, in the dialog `opened`."""
    since = activity.place()
    volume = volumes.get(ctx, id)
    context = {
        "v": volume,
        "move": progress.of([volume]).get(volume.id),
        "snapshots": snapshot_rows.rows(ctx, id),
        "take": (form if form and opened == "snapshot" else Form(request, name="", description="")).apart("take"),
        "retype": form if opened == "retype" else Form(request, type_id=str(volume.type_id)),
        "types": [kind for kind in volume_types.list(ctx) if kind.backend == volume.type.backend],
        "offer": volume_transfers.of(ctx, id) if volume.status == "offered" else None,
        "why": {key: volumes.why_not(ctx, volume, key) for key in volumes.ACTIONS},
        "actions": volumes.ACTIONS,
        "places": _places(ctx),
        "backup": backup_card.of_volume(ctx, volume),
        "events": activity.list(ctx, subject_id=id)[:EVENTS],
        "live": _live(ctx, since),
        "opened": opened,
        "attach": form if opened == "attach" else Form(request, instance_id="", read_only=""),
        "grow": form if opened == "grow" else Form(request, size_gib=str(volume.size_gib * 2)),
        "rename": form if opened == "rename" else Form(request, name=volume.name, description=volume.description),
    }
    return page(request, "portal/volumes/detail.html", context, status=form.status if form else 200)


def _places(ctx: Context) -> list[tuple[Any, str]]:
    """Instances, and why a volume cannot be attached to each."""
    return [(row, volumes.why_not_to(row)) for row in instances.list(ctx)]


@require_POST
@portal_page
def attach(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    form = Form(request, instance_id="", read_only="")

    def act() -> Any:
        instance_id = form.id_of("instance_id")
        if instance_id is None:
            raise Invalid("Choose the instance.", field="instance_id")
        return volumes.attach(ctx, id, instance_id=instance_id, read_only=form.text("read_only") == "on")

    return _submitted(request, ctx, id, form, act, "attach")


@require_POST
@portal_page
def grow(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    form = Form(request, size_gib="")
    return _submitted(request, ctx, id, form, lambda: volumes.grow(ctx, id, size_gib=_size(form)), "grow")


@require_POST
@portal_page
def rename(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    form = Form(request, name="", description="")
    act = lambda: volumes.update(ctx, id, name=form.text("name"), description=form.text("description"))  # noqa: E731
    return _submitted(request, ctx, id, form, act, "rename")


@require_POST
@portal_page
def snapshot(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    form = Form(request, name="", description="")
    act = lambda: snapshots.create(ctx, volume_id=id, name=form.text("name"), description=form.text("description"))  # noqa: E731
    return _submitted(request, ctx, id, form, act, "snapshot")


@require_POST
@portal_page
def retype(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    form = Form(request, type_id="")

    def act() -> Any:
        type_id = form.id_of("type_id")
        if type_id is None:
            raise Invalid("Choose the type.", field="type_id")
        return volumes.retype(ctx, id, type_id=type_id)

    return _submitted(request, ctx, id, form, act, "retype")


@require_POST
@portal_page
def offer(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    """The key is in this answer and nowhere else."""
    volume = volumes.get(ctx, id)
    try:
        made, key = volume_transfers.offer(ctx, id)
    except CloudError as error:
        messages.error(request, error.message)
        return HttpResponseRedirect(f"{_base(ctx)}/{id}")
    answer = page(request, "portal/volumes/offered.html", {"v": volume, "offer": made, "key": key})
    answer["Cache-Control"] = "no-store"
    return answer


@portal_page
def accept(request: HttpRequest, ctx: Context) -> HttpResponse:
    form = Form(request, key="", name="")
    if form.posted and form.run(lambda: volume_transfers.accept(ctx, key=form.text("key"), name=form.text("name"))):
        messages.success(request, f"{form.result.name} belongs to {ctx.needed_project.name} now.")
        return HttpResponseRedirect(f"{_base(ctx)}/{form.result.id}")
    if form.status == 404:
        form.status = 400  # the page is there; it is the key that opens nothing
    context = {
        "form": form,
        "lines": [line for line in quotas.of(ctx.needed_project) if line.resource in RESOURCES],
        "command": commands.curl(request, ctx, "volume-offers", {"key": "KEY"}),
        "why": ctx.why_not("volumes.manage"),
    }
    return page(request, "portal/volumes/accept.html", context, status=form.status)


def _submitted(request: HttpRequest, ctx: Context, id: UUID, form: Form, act: Callable[[], Any], dialog: str) -> HttpResponse:
    volumes.get(ctx, id)
    if form.run(act):
        return HttpResponseRedirect(f"{_base(ctx)}/{id}")
    return _detail(request, ctx, id, form=form, opened=dialog)


@require_POST
@portal_page
def do(request: HttpRequest, ctx: Context, id: UUID, key: str) -> HttpResponse:
    if key not in DO:
        raise Http404
    verb, done = DO[key]
    volume = volumes.get(ctx, id)
    # Its page has named the snapshots that go with it.
    more = {"with_snapshots": "with_snapshots" in request.POST} if key == "delete" else {}
    gone = attempt(request, lambda: verb(ctx, id, **more), done=done.format(volume.name)) and key == "delete"
    return HttpResponseRedirect(_base(ctx) if gone else f"{_base(ctx)}/{id}")


urlpatterns = [
    path("/volumes", index, name="volumes"),
    path("/volumes.csv", export, name="volumes-csv"),
    path("/volumes/new", new, name="volume-new"),
    path("/volumes/accept", accept, name="volume-accept"),
    path("/volumes/<uuid:id>", detail, name="volume"),
    path("/volumes/<uuid:id>/attach", attach, name="volume-attach"),
    path("/volumes/<uuid:id>/grow", grow, name="volume-grow"),
    path("/volumes/<uuid:id>/rename", rename, name="volume-rename"),
    path("/volumes/<uuid:id>/snapshot", snapshot, name="volume-snapshot"),
    path("/volumes/<uuid:id>/retype", retype, name="volume-retype"),
    path("/volumes/<uuid:id>/offer", offer, name="volume-offer"),
    path("/volumes/<uuid:id>/do/<slug:key>", do, name="volume-do"),
]
