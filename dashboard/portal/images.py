"""Images: the catalogue of the box, and the project's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path
from django.views.decorators.http import require_POST, require_safe

from compute import images
from compute.image_formats import FORMATS
from dashboard import commands, downloads, lists
from dashboard.forms.base import Form
from dashboard.shell import attempt, page, portal_page
from identity import activity
from identity.context import Context
from storage import buckets

DO: dict[str, tuple[Callable[[Context, UUID], Any], str]] = {
    "deactivate": (images.deactivate, "{} is deactivated: no new instances start from it."),
    "reactivate": (images.reactivate, "{} can be used again."),
    "delete": (images.delete, "Deleted {}."),
}


def _base(ctx: Context) -> str:
    return f"/p/{ctx.needed_project.slug}/images"


def _why_not(ctx: Context, image: Any) -> str:
    """Why this person may not change this image; the catalogue belongs to the box."""
    if image.project_id is None and not ctx.may("images.catalogue"):
        return f"{image.name} belongs to the catalogue of the box; its administrators keep it."
    return ctx.why_not("images.manage")


def _live(ctx: Context, since: int) -> dict[str, Any]:
    return {"project": ctx.needed_project.slug, "part": "page", "since": since}


@require_safe
@portal_page
def index(request: HttpRequest, ctx: Context) -> HttpResponse:
    since = activity.place()
    q, rows = _wanted(request, ctx)
    found = [*rows]
    context = {
        "own": [row for row in found if row.project_id is not None],
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
    given = {name: request.GET.get(name, "")[:1024] for name in ("bucket", "key")}
    form = Form(
        request,
        **{"name": "", "of": "object" if given["key"] else "url", "url": "", "checksum": "", "os": "", "description": "", **given},
        min_disk_gib="",
        min_memory_mib="",
    )

    def act() -> Any:
        own = ("url", "checksum") if form.text("of") == "url" else ("bucket", "key", "checksum")
        words = {name: form.text(name) for name in ("os", "description", *own)}
        disk, memory = form.number("min_disk_gib") or 0, form.number("min_memory_mib") or 0
        return images.create(ctx, name=form.text("name"), min_disk_gib=disk, min_memory_mib=memory, **words)

    if form.posted and form.run(act):
        return HttpResponseRedirect(f"{_base(ctx)}/{form.result.id}")
    found = [*buckets.list_buckets(ctx)] if ctx.may("buckets.list") else []
    command = commands.curl(request, ctx, "images", {"name": form.text("name"), "url": form.text("url")})
    context = {"form": form, "buckets": found, "command": command, "why": ctx.why_not("images.manage")}
    return page(request, "portal/images/new.html", context, status=form.status)


def _wanted(request: HttpRequest, ctx: Context) -> tuple[str, QuerySet[Any]]:
    q, rows = request.GET.get("q", "").strip()[:100], images.list(ctx)
    return q, rows.filter(Q(name__icontains=q) | Q(os__icontains=q)) if q else rows


@require_safe
@portal_page
def export(request: HttpRequest, ctx: Context) -> HttpResponse:
    return downloads.csv(request, "images", lists.IMAGES, _wanted(request, ctx)[1])


@portal_page
def detail(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    """With a form that renames it."""
    since = activity.place()
    image = images.get(ctx, id)
    form = Form(request, name=image.name)
    if form.posted and form.run(lambda: images.rename(ctx, id, form.text("name"))):
        return HttpResponseRedirect(f"{_base(ctx)}/{id}")
    context = {
        "image": image,
        "form": form,
        "why": _why_not(ctx, image),
        "why_launch": ctx.why_not("instances.launch"),
        "format": FORMATS.get(image.format, ""),
        "boot": image.facts.get("boot", {}),
        "launch": image.facts.get("launch", {}),
        "live": _live(ctx, since),
    }
    return page(request, "portal/images/detail.html", context, status=form.status)


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
    path("/images/<uuid:id>/<slug:key>", act, name="image-act"),
]
