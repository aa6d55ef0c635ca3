"""The drives of the object store: what each does now, and adding, emptying, replacing and removing one."""

from __future__ import annotations

import datetime as dt
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path

from cloudbox.common.errors import Invalid
from dashboard.admin import tools
from dashboard.admin.tools import Act
from dashboard.forms.base import Form
from dashboard.forms.parts import PartForm, any_posted
from dashboard.shell import admin_page, page
from identity import activity
from identity.context import Context
from storage import drives

NEARLY_FULL = 0.85
BACK = "/admin/drives"
# State of the row -> glyph and word of the charter.
_STATES = {
    "active": ("ok", "Healthy"),
    "draining": ("building", "Draining"),
    "drained": ("stopped", "Drained"),
    "missing": ("error", "Missing"),
    "suspect": ("warn", "Failing"),
}
_ROUNDS = {
    "audit": "Reads and compares every copy",
    "repair": "Makes copies that lack",
    "rebalance": "Evens out how full the drives are",
    "compact": "Reclaims room of what is deleted",
    "collect": "Removes what nothing refers to",
    "sweep": "Looks for what was left behind",
    "checkpoint": "Writes the index down",
    "lifecycle": "Ends what rules of buckets end",
    "expire": "Ends what has a time of its own to end",
    "events": "Hands events of buckets on to webhooks",
}


@admin_page
def index(request: HttpRequest, ctx: Context) -> HttpResponse:
    """Posted, it adds a drive."""
    since = activity.place()
    form = PartForm(request, "add", path="", weight="1", domain="")
    if form.posted and form.run(lambda: drives.add(ctx, form.text("path"), weight=_weight(form, "weight"), domain=form.text("domain"))):
        messages.success(request, f"{form.text('path')} is being looked at. It becomes a drive within seconds, or it is said here why not.")
        return HttpResponseRedirect(BACK)
    rows = [_line(ctx, row) for row in drives.list_drives(ctx)]
    facts = drives.rounds(ctx)
    shown = {
        "lines": rows,
        "rounds": _rounds(facts),
        "audit": facts.get("audit") or {},
        "finished": _moment((facts.get("audit") or {}).get("finished_at")),
        "queue": facts.get("queue") or {},
        "seen_at": facts.get("seen_at"),
        "orders": [_order(one, rows) for one in drives.orders(ctx)],
        "form": form,
        "why": ctx.why_not("drives.manage"),
        "live": tools.live("page", since),
    }
    return page(request, "admin/drives/list.html", shown, status=form.status)


@admin_page
def detail(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    row = drives.get(ctx, id)
    change = PartForm(request, "set", weight=f"{row.weight:g}", domain=row.domain)
    swap = PartForm(request, "replace", path="")
    if change.posted and change.run(lambda: drives.set_weight(ctx, id, _weight(change, "weight"), domain=change.text("domain"))):
        messages.success(request, "Weight and domain are being set. They count for what is written from then on.")
        return HttpResponseRedirect(request.path)
    if swap.posted and swap.run(lambda: drives.replace(ctx, id, swap.text("path"))):
        messages.success(request, f"{row.path} is being replaced by {swap.text('path')}.")
        return HttpResponseRedirect(BACK)
    shown = {"line": _line(ctx, row), "it": row, "change": change, "swap": swap, "facts": row.facts}
    return page(request, "admin/drives/detail.html", shown, status=any_posted(change, swap))


def _weight(form: Form, name: str) -> float:
    try:
        return float(form.text(name).replace(",", "."))
    except ValueError as error:
        raise Invalid("Write a number, like 1 or 0.5.", field=name) from error


def _line(ctx: Context, row: Any) -> dict[str, Any]:
    facts = row.facts
    glyph, word = _STATES.get(row.state, ("unknown", row.get_state_display()))
    fill = facts.get("fill")
    if row.state == "active" and fill is not None and fill >= NEARLY_FULL:
        glyph, word = "warn", "Nearly full"
    return {
        "row": row,
        "facts": facts,
        "glyph": glyph,
        "word": word,
        "fill": None if fill is None else round(100 * fill),
        "verified": _moment(facts.get("verified_at")),
        "may": drives.possible(ctx, row),
    }


def _moment(text: str | None) -> dt.datetime | None:
    return dt.datetime.fromisoformat(text) if text else None


def _rounds(facts: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"name": name.capitalize(), "does": _ROUNDS.get(name, ""), "last": told, "at": _moment(told.get("at"))}
        for name, told in sorted((facts.get("rounds") or {}).items())
    ]


def _order(order: Any, rows: list[dict[str, Any]]) -> dict[str, Any]:
    known = next((line["row"].path for line in rows if line["row"].id == order.drive), "")
    where = order.arguments.get("path", "")
    about = f"{known} by {where}" if known and where and known != where else known or where
    state = {"waiting": "queued", "working": "building", "done": "done", "failed": "failed"}.get(order.state, "unknown")
    return {"order": order, "about": about, "state": state, "word": order.get_state_display()}


def _action(verb: Any, sentence: str) -> Any:
    @tools.action
    def act(request: HttpRequest, ctx: Context, id: UUID) -> Act:
        name = drives.get(ctx, id).path
        return Act(lambda: verb(ctx, id), sentence.format(name), BACK)

    return act


urlpatterns = [
    path("/drives", index, name="admin-drives"),
    path("/drives/<uuid:id>", detail, name="admin-drive"),
    path("/drives/<uuid:id>/drain", _action(drives.drain, "{} is being emptied. Nothing goes offline."), name="admin-drive-drain"),
    path("/drives/<uuid:id>/keep", _action(drives.keep, "{} is kept."), name="admin-drive-keep"),
    path("/drives/<uuid:id>/remove", _action(drives.remove, "{} is being let go of."), name="admin-drive-remove"),
]
