"""Health: every part that must work with its evidence, the queue, and the jobs that failed with their sentence."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.urls import path

from cloudbox.common import clock
from compute import health
from dashboard.admin import tools
from dashboard.admin.home import parts_of, verdict
from dashboard.shell import admin_page, page
from identity import activity
from identity.context import Context


@admin_page
def show(request: HttpRequest, ctx: Context) -> HttpResponse:
    since = activity.place()
    parts = parts_of(ctx)
    watch = sum(part.state == "warn" for part in parts)
    shown = {
        "parts": parts,
        "verdict": verdict(parts, watch),
        "moving": health.jobs(ctx),
        "failed": health.jobs(ctx, failed=True),
        "checked": clock.now(),
        "live": tools.live("page", since),
    }
    return page(request, "admin/health.html", shown)


urlpatterns = [path("/health", show, name="admin-health")]
