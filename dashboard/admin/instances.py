"""All instances of the box. Their pages are those of their projects; here they are found, stopped and deleted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path
from django.utils.http import url_has_allowed_host_and_scheme

from cloudbox.common.errors import CloudError
from compute import actions, instances, progress
from dashboard.admin import tools
from dashboard.shell import admin_page, attempt, page
from identity import projects
from identity.context import Context

STATUSES = ("running", "stopped", "building", "error", "paused", "suspended", "starting", "stopping", "rebooting", "deleting")


@dataclass(frozen=True)
class Line:
    """An instance with what its row shows besides."""

    it: Any
    progress: progress.Progress | None
    why_stop: str
    why_delete: str
    url: str


@admin_page
def list(request: HttpRequest, ctx: Context) -> HttpResponse:
    filters = tools.asked(request, "q", "status", "project")
    status = filters["status"] if filters["status"] in STATUSES else ""
    rows = instances.list(ctx, q=filters["q"], status=status, all_projects=True)
    if filters["project"]:
        try:
            rows = rows.filter(project=projects.get(ctx, filters["project"]))
        except CloudError:  # a project that is not there has no instances
            rows = rows.none()
    found = tools.listing(request, rows, filters, labels={"status": "State", "project": "Project"})
    moving = progress.of(found.rows)
    lines = [
        Line(
            it=row,
            progress=moving.get(row.id),
            why_stop=actions.why_not(ctx, row, "stop"),
            why_delete=actions.why_not(ctx, row, "delete"),
            url=f"/p/{row.project.slug}/instances/{row.id}",
        )
        for row in found.rows
    ]
    shown = {"found": found, "lines": lines, "filters": filters, "statuses": STATUSES, "total": rows.count()}
    return page(request, "admin/instances/list.html", shown)


@admin_page
def stop(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    if (refused := tools.only_post(request)) is not None:
        return refused
    instance = instances.get(ctx, id)
    done = f"{instance.name} is shutting down; it is given a minute, then its power is cut."
    attempt(request, lambda: instances.stop(ctx, id), done=done)
    return _back(request)


@admin_page
def delete(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    if (refused := tools.only_post(request)) is not None:
        return refused
    instance = instances.get(ctx, id)
    attempt(request, lambda: instances.delete(ctx, id), done=f"{instance.name} is being deleted.")
    return _back(request)


def _back(request: HttpRequest) -> HttpResponse:
    """To the list with its filters, as the form says; never out of the console."""
    to = request.POST.get("back", "")
    good = to.startswith("/admin/instances") and url_has_allowed_host_and_scheme(to, allowed_hosts=None)
    return HttpResponseRedirect(to if good else "/admin/instances")


urlpatterns = [
    path("/instances", list, name="admin-instances"),
    path("/instances/<uuid:id>/stop", stop, name="admin-instance-stop"),
    path("/instances/<uuid:id>/delete", delete, name="admin-instance-delete"),
]
