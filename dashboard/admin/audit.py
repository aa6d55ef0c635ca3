"""The audit log: filters in the URL, pages by cursor, its seal checked on demand, and CSV for whoever must keep it."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path

from cloudbox.common import clock
from cloudbox.common.models import Event
from dashboard.admin import tools
from dashboard.shell import admin_page, page
from identity import activity, projects
from identity.context import Context

FILTERS = ("q", "verb", "actor", "outcome", "api")
LABELS = {"verb": "Verb", "actor": "Who", "outcome": "Outcome", "api": "Door"}
DOORS = ("portal", "rest", "cli", "system")
CSV_ROWS_MAX = 100_000
COLUMNS = (
    "id", "at", "actor", "verb", "noun", "subject", "subject_id", "project_id", "api", "address", "request_id", "outcome", "detail",
    "chain", "digest",
)  # fmt: skip


def _rows(request: HttpRequest, ctx: Context) -> tuple[dict[str, str], QuerySet[Event]]:
    filters = tools.asked(request, *FILTERS)
    q, verb, actor, outcome, api = (filters[name] for name in FILTERS)
    return filters, activity.list(ctx, q=q, verb=verb, actor=actor, outcome=outcome, api=api, all_projects=True)


@admin_page
def list(request: HttpRequest, ctx: Context) -> HttpResponse:
    return page(request, "admin/audit/list.html", _shown(request, ctx))


@admin_page
def verify(request: HttpRequest, ctx: Context) -> HttpResponse:
    """The same page with the verdict on the chain. By POST, as it reads the whole log."""
    if (refused := tools.only_post(request)) is not None:
        return refused
    return page(request, "admin/audit/list.html", _shown(request, ctx) | {"report": activity.verify(ctx)})


def _shown(request: HttpRequest, ctx: Context) -> dict[str, Any]:
    filters, rows = _rows(request, ctx)
    found = tools.listing(request, rows, filters, labels=LABELS)
    named = {project.id: project for project in projects.list(ctx, all=True).filter(id__in={row.project_id for row in found.rows})}
    newest = found.rows[0].id if found.rows else 0
    query = tools.url_with(request, {name: value for name, value in filters.items() if value}).partition("?")[2]
    return {
        "found": found,
        "filters": filters,
        # How many are new is told where all are shown: at the top, without a filter.
        "live": tools.live("log", newest) if found.is_first and not found.is_filtered else None,
        "projects": named,
        "outcomes": Event.Outcome.choices,
        "doors": DOORS,
        "csv_url": f"/admin/audit.csv?{query}" if query else "/admin/audit.csv",
    }


class _Echo:
    """A file that hands back what is written: csv's writer makes the line, the response streams it."""

    def write(self, line: str) -> str:
        return line


@admin_page
def export(request: HttpRequest, ctx: Context) -> Any:
    """All rows that match, newest first, up to a hundred thousand."""
    _, rows = _rows(request, ctx)
    response = StreamingHttpResponse(_lines(rows[:CSV_ROWS_MAX]), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="audit-{clock.now():%Y%m%d-%H%M%S}.csv"'
    return response


def _lines(rows: QuerySet[Event]) -> Iterator[str]:
    writer = csv.writer(_Echo())
    yield writer.writerow(COLUMNS)
    for row in rows.values_list(*COLUMNS).iterator(chunk_size=2000):
        yield writer.writerow([_cell(value) for value in row])


def _cell(value: object) -> str:
    """Text that a spreadsheet would run as a formula gets an apostrophe before it."""
    text = value.isoformat() if hasattr(value, "isoformat") else "" if value is None else str(value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text


urlpatterns = [
    path("/audit", list, name="admin-audit"),
    path("/audit/verify", verify, name="admin-audit-verify"),
    path("/audit.csv", export, name="admin-audit-csv"),
]
