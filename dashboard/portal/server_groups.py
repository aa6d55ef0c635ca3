"""Server groups: one page with all of them, their instances, and a form for a new one."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path
from django.views.decorators.http import require_http_methods, require_POST

from cloudbox.common.errors import Invalid
from compute import instances, server_groups
from dashboard.forms.base import Form
from dashboard.forms.instances import uuids
from dashboard.shell import attempt, page, portal_page
from identity.context import Context


def _base(ctx: Context) -> str:
    return f"/p/{ctx.needed_project.slug}/server-groups"


@require_http_methods(["GET", "HEAD", "POST"])
@portal_page
def index(request: HttpRequest, ctx: Context) -> HttpResponse:
    form = Form(request, name="", policy="anti-affinity")
    if form.posted and form.run(lambda: server_groups.create(ctx, name=form.text("name"), policy=form.text("policy"))):
        return HttpResponseRedirect(_base(ctx))
    context = {
        "form": form,
        "rows": [(row, server_groups.verdict(row)) for row in server_groups.list(ctx)],
        "free": instances.list(ctx).filter(group=None),
        "policies": server_groups.Policy.choices,
        "why": ctx.why_not("instances.update"),
    }
    return page(request, "portal/server_groups/list.html", context, status=form.status)


@require_POST
@portal_page
def put(request: HttpRequest, ctx: Context, id: UUID, key: str) -> HttpResponse:
    """`add` or `remove` an instance."""
    group = server_groups.get(ctx, id)
    chosen = uuids([request.POST.get("instance", "")])

    def act() -> object:
        if not chosen or key not in ("add", "remove"):
            raise Invalid("Choose the instance.")
        return (server_groups.add if key == "add" else server_groups.remove)(ctx, id, chosen[0])

    attempt(request, act, done=f"{group.name} is changed.")
    return HttpResponseRedirect(_base(ctx))


@require_POST
@portal_page
def delete(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    group = server_groups.get(ctx, id)
    attempt(request, lambda: server_groups.delete(ctx, id), done=f"{group.name} is deleted. Its instances go on.")
    return HttpResponseRedirect(_base(ctx))


urlpatterns = [
    path("/server-groups", index),
    path("/server-groups/<uuid:id>/delete", delete),
    path("/server-groups/<uuid:id>/<slug:key>", put),
]
