"""What runs inside an instance, as its agent tells it; a password for it; and the hours at which it runs."""

from __future__ import annotations

import datetime as dt
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path
from django.views.decorators.http import require_http_methods

from cloudbox.common.errors import Invalid
from compute import guests, instances, office_hours
from dashboard.forms.base import Form
from dashboard.portal import instance_rows, instance_tabs
from dashboard.shell import portal_page
from identity import activity
from identity.context import Context


@require_http_methods(["GET", "HEAD", "POST"])
@portal_page
def guest(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    read = activity.place(), instances.get(ctx, id)
    instance = read[1]
    form = Form(request, user="root", password="", how="own")
    if form.posted:
        password = form.text("password") if form.text("how") != "made-up" else None
        if form.run(lambda: guests.set_password(ctx, id, user=form.text("user"), password=password)):
            messages.success(request, f"The agent in {instance.name} is asked to set the password.")
            return HttpResponseRedirect(request.path)
        form["password"].value = ""  # what was typed is not sent back
    more: dict[str, Any] = {
        "read": read,
        "report": guests.report(ctx, id),
        "form": form,
        "set_password": instance_rows.button(ctx, instance, "password"),
        "why_no_generated": guests.why_no_generated(instance),
    }
    return instance_tabs.tab(request, ctx, id, "guest", more, status=form.status)


@require_http_methods(["GET", "HEAD", "POST"])
@portal_page
def hours(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    read = activity.place(), instances.get(ctx, id)
    row = office_hours.get(ctx, id)
    days = [day for day in range(7) if row.days >> day & 1] if row else [0, 1, 2, 3, 4]
    now = {"starts": f"{row.starts:%H:%M}", "stops": f"{row.stops:%H:%M}", "zone": row.zone} if row else {}
    form = Form(request, **({"starts": "08:00", "stops": "18:00", "zone": "UTC"} | now), clear="", day="")
    if form.posted:
        days = [int(text) for text in request.POST.getlist("day") if text in tuple("0123456")]
        if form.run(lambda: office_hours.clear(ctx, id) if form.text("clear") else _set(ctx, id, form, days)):
            messages.success(request, "Office hours ended." if form.text("clear") else "Office hours saved.")
            return HttpResponseRedirect(request.path)
    more: dict[str, Any] = {
        "read": read,
        "form": form,
        "row": row,
        "sentence": office_hours.sentence(row) if row else "",
        "next": office_hours.next_boundary(row) if row else None,
        "days": [(number, name, number in days) for number, name in enumerate(office_hours.DAYS)],
        "change": instance_rows.button(ctx, read[1], "rename"),
    }
    return instance_tabs.tab(request, ctx, id, "hours", more, status=form.status)


def _set(ctx: Context, id: UUID, form: Form, days: list[int]) -> Any:
    starts, stops = _time(form, "starts"), _time(form, "stops")
    return office_hours.set(ctx, id, days=days, starts=starts, stops=stops, zone=form.text("zone"))


def _time(form: Form, name: str) -> dt.time:
    try:
        return dt.datetime.strptime(form.text(name), "%H:%M").time()  # noqa: DTZ007 — a time of the day, anywhere
    except ValueError as error:
        raise Invalid("Write a time like 08:00.", field=name) from error


urlpatterns = [
    path("/instances/<uuid:id>/guest", guest),
    path("/instances/<uuid:id>/hours", hours),
]
