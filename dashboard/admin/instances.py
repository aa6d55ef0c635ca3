"""All instances of the box. Their pages are those of their projects; here they are found, stopped and deleted."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.utils.http import url_has_allowed_host_and_scheme

from cloudbox.common.errors import CloudError
from compute import instances
from dashboard import commands, downloads, lists
from dashboard.admin import instance_rows, tools
from dashboard.admin.tools import Act
from dashboard.shell import admin_page, page
from identity import activity, projects
from identity.context import Context

STATUSES = ("running", "stopped", "building", "error", "paused", "suspended", "starting", "stopping", "rebooting", "deleting")


@admin_page
def list(request: HttpRequest, ctx: Context) -> HttpResponse:
    since = activity.place()  # first: what happens meanwhile is told again, never missed
    filters, rows = _wanted(request, ctx)
    found = tools.listing(request, rows, filters, labels={"status": "State", "project": "Project"})
    shown = {
        "found": found,
        "lines": instance_rows.lines(ctx, found.rows),
        "filters": filters,
        "statuses": STATUSES,
        "total": rows.count(),
        "live": tools.live("row", since, insert=found.is_first and not found.is_filtered),
        "api_query": commands.query_of({name: filters[name] for name in ("q", "status")}),
    }
    return page(request, "admin/instances/list.html", shown)


def _wanted(request: HttpRequest, ctx: Context) -> tuple[dict[str, str], QuerySet[Any]]:
    """The filters of the URL, and the instances that pass them."""
    filters = tools.asked(request, "q", "status", "project")
    status = filters["status"] if filters["status"] in STATUSES else ""
    rows = instances.list(ctx, q=filters["q"], status=status, all_projects=True)
    if filters["project"]:
        try:
            rows = rows.filter(project=projects.get(ctx, filters["project"]))
        except CloudError:  # a project that is not there has no instances
            rows = rows.none()
    return filters, rows


@admin_page
def export(request: HttpRequest, ctx: Context) -> HttpResponse:
    return downloads.csv(request, "instances", lists.ALL_INSTANCES, _wanted(request, ctx)[1])


@tools.action
def stop(request: HttpRequest, ctx: Context, id: UUID) -> Act:
    done = f"{instances.get(ctx, id).name} is shutting down; it is given a minute, then its power is cut."
    return Act(lambda: instances.stop(ctx, id), done, _back(request))


@tools.action
def delete(request: HttpRequest, ctx: Context, id: UUID) -> Act:
    return Act(lambda: instances.delete(ctx, id), f"{instances.get(ctx, id).name} is being deleted.", _back(request))


def _back(request: HttpRequest) -> str:
    """To the list with its filters, as the form says; never out of the console."""
    to = request.POST.get("back", "")
    good = to.startswith("/admin/instances") and url_has_allowed_host_and_scheme(to, allowed_hosts=None)
    return to if good else "/admin/instances"


urlpatterns = [
    path("/instances", list, name="admin-instances"),
    path("/instances.csv", export, name="admin-instances-csv"),
    path("/instances/<uuid:id>/stop", stop, name="admin-instance-stop"),
    path("/instances/<uuid:id>/delete", delete, name="admin-instance-delete"),
]
