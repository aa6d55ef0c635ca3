"""How somebody looks at the list of instances: which columns, table or wall, and the views they saved under names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path
from django.views.decorators.http import require_POST

from cloudbox.common.errors import CloudError
from dashboard.shell import attempt, portal_page
from identity import saved_views
from identity.context import Context

NOUN = "instances"
# Name and state always show; these are as one likes.
COLUMNS = {"addresses": "Addresses", "size": "Size", "cpu": "CPU, 10 min", "created": "Created"}
SHAPES = ("table", "wall")
# What a view is made of; where in the list one is, is none of it.
KEPT = ("q", "state", "tag", "sort", "view", "cols")
TEXT_MAX = 200


@dataclass(frozen=True)
class Saved:
    """A saved view as a link; `is_here`: it is what is shown."""

    id: UUID
    name: str
    url: str
    is_here: bool


@dataclass(frozen=True)
class Look:
    """`shape` is table or wall; `shown` are the columns besides name and state."""

    shape: str
    shown: tuple[str, ...]
    saved: tuple[Saved, ...]

    @property
    def css(self) -> str:
        """For the table: rows always come whole, as the live channel sends them to everybody; what is not wanted is not displayed."""
        return " ".join(f"no-{name}" for name in COLUMNS if name not in self.shown)

    @property
    def columns(self) -> list[tuple[str, str, bool]]:
        return [(name, title, name in self.shown) for name, title in COLUMNS.items()]


def of(request: HttpRequest, ctx: Context, query: Mapping[str, str]) -> Look:
    """What the address says; where it says nothing, the person's usual way."""
    rows = [*saved_views.list(ctx, NOUN)]
    usual = dict(parse_qsl(next((row.query for row in rows if not row.name), "")))
    here = _clean(query)
    saved = tuple(Saved(row.id, row.name, f"{request.path}?{row.query}", dict(parse_qsl(row.query)) == here) for row in rows if row.name)
    shape = query["view"] if query["view"] in SHAPES else "table"
    asked = query["cols"] or usual.get("cols", "")
    shown = tuple(name for name in COLUMNS if name in asked.split(",")) if asked else tuple(COLUMNS)
    return Look(shape, shown, saved)


def _clean(query: Mapping[str, Any]) -> dict[str, str]:
    """The part of a query that a view keeps, without what is as usual."""
    kept = {name: str(query.get(name) or "")[:TEXT_MAX] for name in KEPT}
    usual = {"sort": "name", "view": "table"}
    return {name: value for name, value in kept.items() if value.isprintable() and value and usual.get(name) != value}


@require_POST
@portal_page
def save(request: HttpRequest, ctx: Context) -> HttpResponse:
    """The present query under a name; or, without one, the columns as they shall always be."""
    here, base = _clean(dict(parse_qsl(request.POST.get("query", "")[: saved_views.QUERY_LENGTH_MAX]))), _base(ctx)
    name = request.POST.get("name", "")
    try:
        if "columns" in request.POST:
            chosen = [column for column in COLUMNS if column in request.POST.getlist("column")]
            here.pop("cols", None)
            saved_views.save(ctx, NOUN, name="", query=urlencode({"cols": ",".join(["name", *chosen])}))
        elif not name.strip():
            messages.error(request, "Give the view a name. Nothing was saved.")
        else:
            row = saved_views.save(ctx, NOUN, name=name, query=urlencode(here))
            messages.success(request, f"The view {row.name} is saved.")
    except CloudError as error:
        messages.error(request, error.message)
    return HttpResponseRedirect(base + (f"?{urlencode(here)}" if here else ""))


@require_POST
@portal_page
def delete(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    attempt(request, lambda: saved_views.delete(ctx, id), done="The view is deleted. The instances stay as they are.")
    return HttpResponseRedirect(_base(ctx))


def _base(ctx: Context) -> str:
    return f"/p/{ctx.needed_project.slug}/instances"


urlpatterns = [
    path("/instances/views", save, name="instance-view-save"),
    path("/instances/views/<uuid:id>/delete", delete, name="instance-view-delete"),
]
