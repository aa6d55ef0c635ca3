"""Types of volumes: what is on offer. One that volumes have is never changed; it is retired, and a new one made."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path

from cloudbox.common.errors import Invalid
from compute import volume_types
from dashboard.admin import tools
from dashboard.admin.tools import Act
from dashboard.forms.base import ChangeForm, Form
from dashboard.shell import admin_page, page
from identity.context import Context

LIST = "/admin/volume-types"
MICROS = 1_000_000


@admin_page
def list(request: HttpRequest, ctx: Context) -> HttpResponse:
    counted = volume_types.list(ctx, retired=True).annotate(in_use=Count("volume", filter=~Q(volume__status="deleted")))
    rows = [{"it": row, "price": price_text(row.price_micros)} for row in counted.order_by("sort", "name")]
    return page(request, "admin/volume_types/list.html", {"rows": rows, "why": ctx.why_not("volume_types.manage")})


def price_text(micros: int | None) -> str:
    """As people write it: 0.05; empty when it is not set."""
    return "" if micros is None else f"{Decimal(micros) / MICROS:f}"


def _price(form: Form) -> int | None:
    text = form.text("price").replace(",", ".")
    if not text:
        return None
    try:
        price = Decimal(text) * MICROS
    except InvalidOperation:
        raise Invalid("Write a price as 0.05, or nothing.", field="price") from None
    if not price.is_finite() or price != price.to_integral_value() or not 0 <= price <= volume_types.PRICE_MICROS_MAX:
        raise Invalid("Write a price as 0.05, with six digits after the point at most, or nothing.", field="price")
    return int(price)


def _fields(form: Form) -> dict[str, Any]:
    return {
        "name": form.text("name"),
        "description": form.text("description"),
        "iops_max": form.number("iops_max"),
        "mib_per_second_max": form.number("mib_per_second_max"),
        "price_micros": _price(form),
    }


@admin_page
def create(request: HttpRequest, ctx: Context) -> HttpResponse:
    form = Form(request, name="", description="", iops_max="", mib_per_second_max="", price="", backend="qcow2")

    def act() -> object:
        return volume_types.create(ctx, backend=form.text("backend") or "qcow2", **_fields(form))

    if form.posted and form.run(act):
        messages.success(request, f"{form.result} is on offer.")
        return HttpResponseRedirect(LIST)
    context = {"form": form, "backends": volume_types.BACKENDS.items(), "why": ctx.why_not("volume_types.manage"), "kind": None}
    return page(request, "admin/volume_types/edit.html", context, status=form.status)


@admin_page
def edit(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    kind = volume_types.get(ctx, id)
    limits = {name: "" if (value := getattr(kind, name)) is None else str(value) for name in ("iops_max", "mib_per_second_max")}
    form = ChangeForm(request, name=kind.name, description=kind.description, price=price_text(kind.price_micros), **limits)
    if form.posted and form.run(lambda: volume_types.update(ctx, id, **_fields(form))):
        messages.success(request, f"{form.result} is saved.")
        return HttpResponseRedirect(LIST)
    why = ctx.why_not("volume_types.manage") or volume_types.why_no_update(kind)
    return page(request, "admin/volume_types/edit.html", {"form": form, "why": why, "kind": kind}, status=form.status)


@tools.action
def retire(request: HttpRequest, ctx: Context, id: UUID) -> Act:
    kind = volume_types.get(ctx, id)
    return Act(lambda: volume_types.retire(ctx, id), f"{kind.name} is no longer offered. Volumes that have it keep it.", LIST)


@tools.action
def restore(request: HttpRequest, ctx: Context, id: UUID) -> Act:
    return Act(lambda: volume_types.restore(ctx, id), f"{volume_types.get(ctx, id).name} is on offer again.", LIST)


urlpatterns = [
    path("/volume-types", list, name="admin-volume-types"),
    path("/volume-types/new", create, name="admin-volume-type-new"),
    path("/volume-types/<uuid:id>", edit, name="admin-volume-type"),
    path("/volume-types/<uuid:id>/retire", retire, name="admin-volume-type-retire"),
    path("/volume-types/<uuid:id>/restore", restore, name="admin-volume-type-restore"),
]
