"""The project's buckets: list, create, overview, settings, delete. Access and rules have modules of their own, and so have objects."""

from __future__ import annotations

import re
from typing import Any

from django.db.models import Sum
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path
from django.views.decorators.http import require_POST, require_safe

from cloudbox.common.errors import Invalid
from dashboard import commands, downloads, lists
from dashboard.admin.tools import listing
from dashboard.forms.base import Form
from dashboard.forms.parts import PartForm, any_posted
from dashboard.portal import bucket_shell
from dashboard.shell import attempt, page, portal_page
from identity import activity, quotas
from identity.context import Context
from storage import buckets, clients, configurations, keys, removal

GIB = 1 << 30
EVENTS = 8
RESOURCES = ("buckets", "objects", "object_gib")


def _base(ctx: Context) -> str:
    return f"/p/{ctx.needed_project.slug}/buckets"


# --- the list


@require_safe
@portal_page
def index(request: HttpRequest, ctx: Context) -> HttpResponse:
    since = activity.place()
    q, rows = _wanted(request, ctx)
    found = listing(request, rows, {"q": q}, labels={})
    total = rows.aggregate(bytes=Sum("usage__bytes"), objects=Sum("usage__objects_count"))
    context = {
        "lines": [_line(row) for row in found.rows],
        "found": found,
        "q": q,
        "count": rows.count(),
        "held": total,
        "why": ctx.why_not("buckets.manage"),
        "live": {"project": ctx.needed_project.slug, "part": "page", "since": since},
    }
    return page(request, "portal/buckets/list.html", context)


def _wanted(request: HttpRequest, ctx: Context) -> tuple[str, Any]:
    q, rows = request.GET.get("q", "").strip()[:100], buckets.list_buckets(ctx)
    return q, rows.filter(name__icontains=q) if q else rows


def _line(row: Any) -> dict[str, Any]:
    return {
        "row": row,
        "usage": getattr(row, "usage", None),
        "class": configurations.class_label(row.storage_class),
        "public": configurations.publicity(row),
    }


@require_safe
@portal_page
def export(request: HttpRequest, ctx: Context) -> HttpResponse:
    return downloads.csv(request, "buckets", lists.BUCKETS, _wanted(request, ctx)[1])


# --- create


@portal_page
def new(request: HttpRequest, ctx: Context) -> HttpResponse:
    form = Form(request, name="", storage_class="replicated-3", versioning="", object_lock="", encryption="", key="")

    def act() -> Any:
        algorithm = form.text("encryption")
        encryption = {"algorithm": algorithm, "key": form.text("key") if algorithm == "aws:kms" else ""} if algorithm else None
        lock, versions = form.text("object_lock") == "on", form.text("versioning") == "on"
        return configurations.create(
            ctx,
            name=form.text("name"),
            storage_class=form.text("storage_class"),
            versioning=versions,
            object_lock=lock,
            encryption=encryption,
        )

    if form.posted and form.run(act):
        return HttpResponseRedirect(f"{_base(ctx)}/{form.result.name}/overview")
    body = {"name": form.text("name"), "storage_class": form.text("storage_class"), "versioning": form.text("versioning") == "on"}
    context = {
        "form": form,
        "classes": configurations.class_offers(configurations.drive_count()),
        "keys": keys.list_keys(ctx).filter(is_enabled=True),
        "lines": [line for line in quotas.of(ctx.needed_project) if line.resource in RESOURCES],
        "command": commands.curl(request, ctx, "buckets", body),
        "why": ctx.why_not("buckets.manage"),
    }
    return page(request, "portal/buckets/new.html", context, status=form.status)


# --- one bucket


@require_safe
@portal_page
def go(request: HttpRequest, ctx: Context, name: str) -> HttpResponse:
    """The address that people type and other pages link to. A bucket may be called "new": its pages are reached by their tabs."""
    buckets.get(ctx, name)
    return HttpResponseRedirect(f"{request.path}/overview")


@require_safe
@portal_page
def overview(request: HttpRequest, ctx: Context, name: str) -> HttpResponse:
    events = activity.list(ctx, subject_id=buckets.get(ctx, name).id)
    since = activity.place()
    row = buckets.get(ctx, name)
    context = bucket_shell.shown(
        ctx,
        row,
        "overview",
        endpoints=bucket_shell.endpoints(request, ctx, row.name, s3_name=clients.s3_name(row)),
        events=events[:EVENTS],
        encryption=row.documents.get("encryption"),
        lifecycle=row.documents.get("lifecycle") or [],
        live={"project": ctx.needed_project.slug, "part": "page", "since": since},
    )
    return page(request, "portal/buckets/overview.html", context)


@portal_page
def settings(request: HttpRequest, ctx: Context, name: str) -> HttpResponse:
    """Encryption, quota, tags; and at last what cannot be undone."""
    since = activity.place()
    row = buckets.get(ctx, name)
    kept = row.documents.get("encryption") or {}
    encryption = PartForm(request, "encryption", algorithm=kept.get("algorithm", ""), key=kept.get("key", ""))
    quota = PartForm(
        request,
        "quota",
        quota_gib="" if row.quota_bytes is None else f"{row.quota_bytes / GIB:g}",
        quota_objects="" if row.quota_objects is None else str(row.quota_objects),
    )
    tags = PartForm(request, "tags", tags="\n".join(f"{key}={value}" for key, value in (row.documents.get("tags") or {}).items()))
    if encryption.posted:
        algorithm = encryption.text("algorithm")
        key = encryption.text("key") if algorithm == "aws:kms" else ""
        if encryption.run(lambda: configurations.set_encryption(ctx, row, algorithm=algorithm, key=key)):
            return bucket_shell.saved(request, "The default encryption is saved. It is for new objects.", at="encryption")
    if quota.posted and quota.run(lambda: _set_quota(ctx, row, quota)):
        return bucket_shell.saved(request, "The quota is saved.", at="quota")
    if tags.posted and tags.run(lambda: configurations.set_tags(ctx, row, _tags(tags))):
        return bucket_shell.saved(request, "The tags are saved.", at="tags")
    context = bucket_shell.shown(
        ctx,
        row,
        "settings",
        encryption=encryption,
        quota=quota,
        tags=tags,
        keys=keys.list_keys(ctx).filter(is_enabled=True),
        why_delete=_why_not_delete(ctx, row),
        live={"project": ctx.needed_project.slug, "part": "page", "since": since},
    )
    return page(request, "portal/buckets/settings.html", context, status=any_posted(encryption, quota, tags))


def _set_quota(ctx: Context, row: Any, form: PartForm) -> Any:
    return configurations.set_quota(ctx, row, bytes_max=_gib(form, "quota_gib"), objects_max=form.number("quota_objects"))


def _gib(form: Form, name: str) -> int | None:
    """GiB with at most three decimals, as bytes."""
    text = form.text(name).replace(",", ".")
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,3})?", text):
        raise Invalid("Write a number of GiB, like 20 or 0.5.", field=name)
    return round(float(text) * GIB)


def _tags(form: Form) -> dict[str, str]:
    """One a line, key=value."""
    found: dict[str, str] = {}
    for line in form.text("tags").splitlines():
        key, _, value = line.partition("=")
        if not line.strip():
            continue
        if key.strip() in found:
            raise Invalid(f"There are two tags called {key.strip()}.", field="tags")
        found[key.strip()] = value.strip()
    return found


def _why_not_delete(ctx: Context, row: Any) -> str:
    if why := ctx.why_not("buckets.manage"):
        return why
    found = removal.emptying(row)
    if found is not None and found.under_way:
        return f"{row.name} is being emptied. Wait for that, or cancel it."
    usage = getattr(row, "usage", None)
    if usage is not None and usage.versions_count:
        many = usage.versions_count != 1
        return f"It holds {usage.versions_count:,} version{'s' if many else ''} of objects, by the last count. Empty it first."
    return ""


@require_POST
@portal_page
def delete(request: HttpRequest, ctx: Context, name: str) -> HttpResponse:
    row = buckets.get(ctx, name)
    done = attempt(request, lambda: removal.delete(ctx, row), done=f"Deleted {row.name}.")
    return HttpResponseRedirect(_base(ctx) if done else f"{request.path.removesuffix('/delete')}/settings#delete")


@require_POST
@portal_page
def empty(request: HttpRequest, ctx: Context, name: str) -> HttpResponse:
    row = buckets.get(ctx, name)
    attempt(request, lambda: removal.empty(ctx, row), done=f"{row.name} is being emptied. It goes on while you do something else.")
    return HttpResponseRedirect(f"{request.path.removesuffix('/empty')}/settings#delete")


@require_POST
@portal_page
def cancel(request: HttpRequest, ctx: Context, name: str) -> HttpResponse:
    row = buckets.get(ctx, name)
    attempt(request, lambda: removal.cancel(ctx, row), done="Stopping. What is gone stays gone.")
    return HttpResponseRedirect(f"{request.path.removesuffix('/cancel')}/settings#delete")


urlpatterns = [
    path("/buckets", index, name="buckets"),
    path("/buckets.csv", export, name="buckets-csv"),
    path("/buckets/new", new, name="bucket-new"),
    path("/buckets/<str:name>", go, name="bucket"),
    path("/buckets/<str:name>/overview", overview, name="bucket-overview"),
    path("/buckets/<str:name>/settings", settings, name="bucket-settings"),
    path("/buckets/<str:name>/delete", delete, name="bucket-delete"),
    path("/buckets/<str:name>/empty", empty, name="bucket-empty"),
    path("/buckets/<str:name>/cancel", cancel, name="bucket-cancel"),
]
