"""The first page of a project."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.urls import path

from dashboard.shell import page, portal_page
from identity.context import Context


@portal_page
def overview(request: HttpRequest, ctx: Context) -> HttpResponse:
    return page(request, "portal/overview.html", {})


urlpatterns = [path("", overview, name="overview")]
