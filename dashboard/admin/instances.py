"""All instances of the box. Their pages are those of their projects; here they are found, stopped and deleted."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path
from django.utils.http import url_has_allowed_host_and_scheme

from cloudbox.common.errors import CloudError
from compute import instances
from dashboard.admin import instance_rows, tools
from dashboard.shell import admin_page, attempt, page
from identity import activity, projects
from identity.context import Context

STATUSES = ("running", "stopped", "building", "error", "paused", "suspended", "starting", "stopping", "rebooting", "deleting")


@admin_page
def list(request: HttpRequest, ctx: Context) -> HttpResponse:
    filters = tools.asked(request, "q", "status", "project")
    status = filters["status"] if filters["status"] in STATUSES else ""
    since = activity.place()  # first: what happens meanwhile is told again, never missed
    rows = instances.list(ctx, q=filters["q"], status=status, all_projects=True)
    if filters["project"]:
        try:
            rows = rows.filter(project=projects.get(ctx, filters["project"]))
        except CloudError:  # a project that is not there has no instances
            rows = rows.none()
    found = tools.listing(request, rows, filters, labels={"status": "State", "project": "Project"})
    shown = {
        "found": found,
        "lines": instance_rows.lines(ctx, found.rows),
        "filters": filters,
        "statuses": STATUSES,
        "total": rows.count(),
        "live": tools.live("row", since, insert=found.is_first and not found.is_filtered),
    }
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
