"""The audit log: filters in the URL, pages by cursor, its seal checked on demand, and CSV for whoever must keep it."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import path

from cloudbox.common.models import Event
from dashboard import commands, downloads, lists
from dashboard.admin import tools
from dashboard.shell import admin_page, page
from identity import activity, projects
from identity.context import Context

FILTERS = ("q", "verb", "actor", "outcome", "api")
LABELS = {"verb": "Verb", "actor": "Who", "outcome": "Outcome", "api": "Door"}
DOORS = ("portal", "rest", "cli", "system")


def _rows(request: HttpRequest, ctx: Context) -> tuple[dict[str, str], QuerySet[Event]]:
    filters = tools.asked(request, *FILTERS)
    q, verb, actor, outcome, api = (filters[name] for name in FILTERS)
    return filters, activity.list(ctx, q=q, verb=verb, actor=actor, outcome=outcome, api=api, all_projects=True)


@admin_page
def list(request: HttpRequest, ctx: Context) -> HttpResponse:
    return page(request, "admin/audit/list.html", _shown(request, ctx))


@tools.post_page
def verify(request: HttpRequest, ctx: Context) -> HttpResponse:
    """The same page with the verdict on the chain. By POST, as it reads the whole log."""
    return page(request, "admin/audit/list.html", _shown(request, ctx) | {"report": activity.verify(ctx)})


def _shown(request: HttpRequest, ctx: Context) -> dict[str, Any]:
    filters, rows = _rows(request, ctx)
    found = tools.listing(request, rows, filters, labels=LABELS)
    named = {project.id: project for project in projects.list(ctx, all=True).filter(id__in={row.project_id for row in found.rows})}
    newest = found.rows[0].id if found.rows else 0
    return {
        "found": found,
        "filters": filters,
        # How many are new is told where all are shown: at the top, without a filter.
        "live": tools.live("log", newest) if found.is_first and not found.is_filtered else None,
        "projects": named,
        "outcomes": Event.Outcome.choices,
        "doors": DOORS,
        "api_query": commands.query_of(filters),
    }


@admin_page
def export(request: HttpRequest, ctx: Context) -> HttpResponse:
    """All rows that match, newest first."""
    return downloads.csv(request, "audit", lists.AUDIT, _rows(request, ctx)[1])


urlpatterns = [
    path("/audit", list, name="admin-audit"),
    path("/audit/verify", verify, name="admin-audit-verify"),
    path("/audit.csv", export, name="admin-audit-csv"),
]
