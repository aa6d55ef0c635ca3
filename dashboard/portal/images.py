"""Images: the catalogue of the box, and the project's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path
from django.views.decorators.http import require_POST, require_safe

from cloudbox.common.errors import Invalid
from compute import image_exports, image_members, images, instance_snapshots, snapshots
from compute.image_formats import FORMATS
from compute.models import ConfigDrive, Image, ImageExport
from dashboard import commands, downloads, lists
from dashboard.forms.base import ChangeForm, Form
from dashboard.shell import attempt, page, portal_page
from identity import activity
from identity.context import Context
from storage import buckets

DO: dict[str, tuple[Callable[[Context, UUID], Any], str]] = {
    "deactivate": (images.deactivate, "{} is deactivated: no new instances start from it."),
    "reactivate": (images.reactivate, "{} can be used again."),
    "protect": (images.protect, "Nobody deletes {} until it is unprotected."),
    "unprotect": (images.unprotect, "{} can be deleted again."),
    "gentler": (images.be_gentler, "Machines made from {} get SATA and an Intel network card from now on."),
    "accept": (image_members.accept, "{} can be launched from now."),
    "reject": (image_members.reject, "{} is turned down. It can be accepted as long as it is offered."),
    "delete": (images.delete, "Deleted {}."),
}

# What the settings of one are, as its form names them.
CHANGED = ("name", "description", "os", "visibility", "min_disk_gib", "min_memory_mib", "disk_bus", "nic_model", "config_drive")
COMMUNITY_MAX = 200
SOURCES_MAX = 200
EXPORTS_SHOWN = 20


def _base(ctx: Context) -> str:
    return f"/p/{ctx.needed_project.slug}/images"


def _why_not(ctx: Context, image: Any) -> str:
    """Why this person may not change this image; the catalogue belongs to the box."""
    if image.project_id is None and not ctx.may("images.catalogue"):
        return f"{image.name} belongs to the catalogue of the box; its administrators keep it."
    if image.project_id is not None and image.project_id != ctx.project_id:
        return f"{image.name} belongs to another project, which keeps it."
    return ctx.why_not("images.manage")


def _why_not_export(ctx: Context, image: Any, why_not_use: str) -> str:
    if reason := ctx.why_not("images.manage") or why_not_use:
        return reason
    if image.status not in ("ready", "deactivated"):
        return f"{image.name} is {image.get_status_display().lower()}."
    return ""


def _live(ctx: Context, since: int) -> dict[str, Any]:
    return {"project": ctx.needed_project.slug, "part": "page", "since": since}


@require_safe
@portal_page
def index(request: HttpRequest, ctx: Context) -> HttpResponse:
    since = activity.place()
    q, rows = _wanted(request, ctx)
    found = [*rows]
    is_community = request.GET.get("of") == "community"
    others = [row for row in found if row.project_id not in (None, ctx.project_id)]
    context = {
        "own": [row for row in found if row.project_id == ctx.project_id],
        "others": others,
        "offered": [*images.offered(ctx)],
        "is_community": is_community,
        "community": [*_matching(images.list(ctx, visibility="community").exclude(project=ctx.project), q)[:COMMUNITY_MAX]]
        if is_community
        else [],
        "catalogue": [row for row in found if row.project_id is None],
        "q": q,
        "total": len(found),
        "why_launch": ctx.why_not("instances.launch"),
        "why": ctx.why_not("images.manage"),
        "live": _live(ctx, since),
    }
    return page(request, "portal/images/list.html", context)


@portal_page
def create(request: HttpRequest, ctx: Context) -> HttpResponse:
    """From an address, or from an object; `?bucket=…&key=…` chooses that one."""
    given = {name: request.GET.get(name, "")[:1024] for name in ("bucket", "key", "snapshot")}
    of = "object" if given["key"] else "snapshot" if given["snapshot"] else "url"
    form = Form(
        request,
        **{"name": "", "of": of, "url": "", "checksum": "", "os": "", "description": "", **given},
        min_disk_gib="",
        min_memory_mib="",
    )

    def act() -> Any:
        own = {"url": ("url", "checksum"), "snapshot": ()}.get(form.text("of"), ("bucket", "key", "checksum"))
        words: dict[str, Any] = {name: form.text(name) for name in ("os", "description", *own)}
        if form.text("of") == "snapshot":
            words |= _snapshot_of(form.text("snapshot"))
        disk, memory = form.number("min_disk_gib") or 0, form.number("min_memory_mib") or 0
        return images.create(ctx, name=form.text("name"), min_disk_gib=disk, min_memory_mib=memory, **words)

    if form.posted and form.run(act):
        return HttpResponseRedirect(f"{_base(ctx)}/{form.result.id}")
    found = [*buckets.list_buckets(ctx)] if ctx.may("buckets.list") else []
    command = commands.curl(request, ctx, "images", {"name": form.text("name"), "url": form.text("url")})
    context = {"form": form, "buckets": found, "command": command, "why": ctx.why_not("images.manage"), "disks": _disks(ctx)}
    return page(request, "portal/images/new.html", context, status=form.status)


def _disks(ctx: Context) -> list[tuple[str, str]]:
    """What of the project an image can be made from: `volume:<id of its snapshot>` or `instance:<…>`, and its words."""
    taken = snapshots.list(ctx, status="ready")[:SOURCES_MAX]
    wholes = [row for row in instance_snapshots.list(ctx)[:SOURCES_MAX] if row.status == "ready" and row.root_gib]
    found = [(f"volume:{row.id}", f"{row.name} of volume {row.volume.name}, {row.size_gib} GiB") for row in taken]
    return found + [(f"instance:{row.id}", f"{row.name} of instance {row.instance.name}, {row.root_gib} GiB") for row in wholes]


def _snapshot_of(text: str) -> dict[str, UUID]:
    kind, _, id = text.partition(":")
    field = {"volume": "snapshot_id", "instance": "instance_snapshot_id"}.get(kind)
    try:
        if field is not None:
            return {field: UUID(id)}
    except ValueError:
        pass
    raise Invalid("Choose a snapshot of the list.", field="snapshot")


def _wanted(request: HttpRequest, ctx: Context) -> tuple[str, QuerySet[Any]]:
    q = request.GET.get("q", "").strip()[:100]
    return q, _matching(images.list(ctx), q)


def _matching(rows: QuerySet[Any], q: str) -> QuerySet[Any]:
    return rows.filter(Q(name__icontains=q) | Q(os__icontains=q)) if q else rows


@require_safe
@portal_page
def export(request: HttpRequest, ctx: Context) -> HttpResponse:
    return downloads.csv(request, "images", lists.IMAGES, _wanted(request, ctx)[1])


@portal_page
def detail(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    """With a form that changes it."""
    image = images.get(ctx, id)
    form = ChangeForm(request, **{field: str(getattr(image, field)) for field in CHANGED})

    def act() -> Any:
        words: dict[str, Any] = {field: form.text(field) for field in CHANGED if not field.startswith("min_")}
        disk, memory = form.number("min_disk_gib") or 0, form.number("min_memory_mib") or 0
        return images.update(ctx, id, min_disk_gib=disk, min_memory_mib=memory, **words)

    if form.posted and form.run(act):
        return HttpResponseRedirect(f"{_base(ctx)}/{id}")
    return _detail(request, ctx, image, form)


@require_POST
@portal_page
def share(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    """Offer it to another project."""
    image, form = images.get(ctx, id), Form(request, project_id="")

    def act() -> Any:
        other = form.id_of("project_id")
        if other is None:
            raise Invalid("Write the ID of the project.", field="project_id")
        return image_members.offer(ctx, id, project_id=other)

    if form.run(act):
        return HttpResponseRedirect(f"{_base(ctx)}/{id}")
    if form.status == 404:
        form.status = 400  # the page is there; it is the project that is not
    return _detail(request, ctx, image, ChangeForm(request, **dict.fromkeys(CHANGED, "")), offer=form)


@require_POST
@portal_page
def withdraw(request: HttpRequest, ctx: Context, id: UUID, project_id: UUID) -> HttpResponse:
    images.get(ctx, id)
    attempt(request, lambda: image_members.withdraw(ctx, id, project_id=project_id), done="Withdrawn. What it launched keeps running.")
    return HttpResponseRedirect(f"{_base(ctx)}/{id}")


@require_POST
@portal_page
def take_away(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    """Export it into a bucket."""
    image, form = images.get(ctx, id), Form(request, format="", bucket="")
    if form.run(lambda: image_exports.create(ctx, id, format=form.text("format"), bucket=form.text("bucket"))):
        return HttpResponseRedirect(f"{_base(ctx)}/{id}#im-exports")
    return _detail(request, ctx, image, ChangeForm(request, **dict.fromkeys(CHANGED, "")), export=form)


@require_POST
@portal_page
def forget_export(request: HttpRequest, ctx: Context, id: UUID, export_id: UUID) -> HttpResponse:
    """Cancelled if it is under way."""
    images.get(ctx, id)
    under_way = image_exports.get(ctx, export_id).status == "exporting"
    done = "Cancelled the export." if under_way else "Forgotten. Its file stays in the bucket."
    attempt(request, lambda: image_exports.delete(ctx, export_id), done=done)
    return HttpResponseRedirect(f"{_base(ctx)}/{id}")


def _detail(
    request: HttpRequest, ctx: Context, image: Any, form: Form, *, offer: Form | None = None, export: Form | None = None
) -> HttpResponse:
    since, why = activity.place(), _why_not(ctx, image)
    sent = offer or export or form
    if sent is not form:  # the other form was not sent: it shows what is
        for field in CHANGED:
            form[field].value = str(getattr(image, field))
    is_own = image.project_id == ctx.project_id
    members = [*image_members.list(ctx, image.id)]
    said = next((row.status for row in members if row.project_id == ctx.project_id), "")
    has_accepted = is_own or image.visibility != "shared" or said == "accepted"
    context = {
        "image": image,
        "form": form,
        "opened": "share" if offer else "export" if export else "change" if form.posted else "",
        "export": export or Form(request, format="qcow2", bucket="").apart("export"),
        "exports": [*image_exports.list(ctx, image.id)[:EXPORTS_SHOWN]],
        "formats": ImageExport.Format.choices,
        "buckets": [*buckets.list_buckets(ctx)] if ctx.may("buckets.list") else [],
        "why_export": _why_not_export(ctx, image, "" if has_accepted else f"{image.name} was offered to this project. Accept it first."),
        "offer": offer or Form(request, project_id="").apart("share"),
        "is_own": is_own,
        "members": members if is_own else [],
        "said": said if not is_own else "",
        "why_not_use": "" if has_accepted else f"{image.name} was offered to this project. Accept it first.",
        "visibilities": [each for each in Image.Visibility.choices if each[0] in ("private", "shared", "community", image.visibility)],
        "buses": Image.DiskBus.choices,
        "models": Image.NicModel.choices,
        "drives": ConfigDrive.choices,
        "concern": images.concern(image),
        "can_be_gentler": images.can_be_gentler(image),
        "why": why,
        "why_say": ctx.why_not("images.manage"),
        "why_share": why or ("" if image.visibility in ("private", "shared") else f"{image.name} is for every project already."),
        "why_delete": why or (f"{image.name} is protected. Take the protection off first." if image.is_protected else ""),
        "why_launch": ctx.why_not("instances.launch"),
        "whereabouts": images.whereabouts(image),
        "brought_as": FORMATS.get(image.format, ""),
        "boot": image.facts.get("boot", {}),
        "launch": image.facts.get("launch", {}),
        "live": _live(ctx, since),
    }
    return page(request, "portal/images/detail.html", context, status=sent.status)


@require_POST
@portal_page
def act(request: HttpRequest, ctx: Context, id: UUID, key: str) -> HttpResponse:
    if key not in DO:
        raise Http404
    verb, done = DO[key]
    image = images.get(ctx, id)
    gone = attempt(request, lambda: verb(ctx, id), done=done.format(image.name)) and key == "delete"
    return HttpResponseRedirect(_base(ctx) if gone else f"{_base(ctx)}/{id}")


urlpatterns = [
    path("/images", index, name="images"),
    path("/images/new", create, name="image-new"),
    path("/images.csv", export, name="images-csv"),
    path("/images/<uuid:id>", detail, name="image"),
    path("/images/<uuid:id>/share", share, name="image-share"),
    path("/images/<uuid:id>/export", take_away, name="image-export"),
    path("/images/<uuid:id>/exports/<uuid:export_id>/forget", forget_export, name="image-export-forget"),
    path("/images/<uuid:id>/members/<uuid:project_id>/withdraw", withdraw, name="image-withdraw"),
    path("/images/<uuid:id>/<slug:key>", act, name="image-act"),
]
