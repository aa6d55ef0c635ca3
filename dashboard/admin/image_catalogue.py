"""The catalogue's entries: cloud images by address, fetched when somebody asks for it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path

from compute import image_catalogue
from compute.models import Image
from dashboard.admin import tools
from dashboard.admin.tools import Act
from dashboard.forms.base import ChangeForm, Form
from dashboard.shell import admin_page, page
from identity.context import Context

LIST = "/admin/images/catalogue"
GIVEN = {"architecture": image_catalogue.ARCHITECTURE, "disk_bus": "virtio", "nic_model": "virtio"}
EMPTY = dict.fromkeys(image_catalogue.FIELDS, "") | GIVEN


@admin_page
def list(request: HttpRequest, ctx: Context) -> HttpResponse:
    entries = [*image_catalogue.list(ctx)]
    newest = image_catalogue.newest(entries)
    rows = [{"it": row, "image": newest.get(row.id), "why": image_catalogue.why_not_fetch(ctx, row)} for row in entries]
    return page(request, "admin/image_catalogue/list.html", {"rows": rows, "why": ctx.why_not("images.catalogue")})


def _fields(form: Form) -> dict[str, Any]:
    words = {name: form.text(name) for name in image_catalogue.FIELDS if not name.startswith("min_")}
    return words | {name: form.number(name) or 0 for name in ("min_disk_gib", "min_memory_mib")}


def _show(request: HttpRequest, ctx: Context, form: Form, entry: Any) -> HttpResponse:
    context = {
        "form": form,
        "entry": entry,
        "buses": Image.DiskBus.choices,
        "models": Image.NicModel.choices,
        "why": ctx.why_not("images.catalogue"),
    }
    return page(request, "admin/image_catalogue/edit.html", context, status=form.status)


@admin_page
def create(request: HttpRequest, ctx: Context) -> HttpResponse:
    ctx.require("box.look")
    form = Form(request, **EMPTY)
    if form.posted and form.run(lambda: image_catalogue.create(ctx, **_fields(form))):
        messages.success(request, f"{form.result} is in the catalogue. Fetch it when it is wanted.")
        return HttpResponseRedirect(LIST)
    return _show(request, ctx, form, None)


@admin_page
def edit(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    entry = image_catalogue.get(ctx, id)
    form = ChangeForm(request, **{name: str(getattr(entry, name)) for name in image_catalogue.FIELDS})
    if form.posted and form.run(lambda: image_catalogue.update(ctx, id, **_fields(form))):
        messages.success(request, f"{form.result} is saved.")
        return HttpResponseRedirect(LIST)
    return _show(request, ctx, form, entry)


@tools.action
def fetch(request: HttpRequest, ctx: Context, id: UUID) -> Act:
    entry = image_catalogue.get(ctx, id)
    return Act(lambda: image_catalogue.fetch(ctx, id), f"Fetching {entry}. It is offered to every project when it is there.", LIST)


@tools.action
def delete(request: HttpRequest, ctx: Context, id: UUID) -> Act:
    entry = image_catalogue.get(ctx, id)
    return Act(lambda: image_catalogue.delete(ctx, id), f"{entry} is out of the catalogue. What was fetched stays.", LIST)


urlpatterns = [
    path("/images/catalogue", list, name="admin-image-catalogue"),
    path("/images/catalogue/new", create, name="admin-catalogue-entry-new"),
    path("/images/catalogue/<uuid:id>", edit, name="admin-catalogue-entry"),
    path("/images/catalogue/<uuid:id>/fetch", fetch, name="admin-catalogue-entry-fetch"),
    path("/images/catalogue/<uuid:id>/delete", delete, name="admin-catalogue-entry-delete"),
]
