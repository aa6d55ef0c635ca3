"""The project itself: its name, and how much it may use."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path

from dashboard.forms.base import ChangeForm
from dashboard.shell import attempt, page, portal_page
from identity import projects, quotas
from identity.context import Context


@portal_page
def settings(request: HttpRequest, ctx: Context) -> HttpResponse:
    project = ctx.needed_project
    form = ChangeForm(request, name=project.name, description=project.description)
    if form.posted:
        if form.run(lambda: projects.update(ctx, project, name=form.text("name"), description=form.text("description"))):
            attempt(request, lambda: None, done="The project is saved.")
            return HttpResponseRedirect(request.path)
        project.refresh_from_db()
    context = {"form": form, "quota": quotas.lines(ctx), "why": ctx.why_not("projects.update")}
    return page(request, "portal/settings.html", context, status=form.status)


urlpatterns = [path("/settings", settings, name="project-settings")]
