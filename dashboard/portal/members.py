"""Who belongs to the project, and how far each may go."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path
from django.views.decorators.http import require_POST, require_safe

from dashboard.forms.base import Form
from dashboard.shell import attempt, page, portal_page
from identity import projects
from identity.context import Context
from identity.models import Role

ABOUT = {
    "reader": "Looks at everything, changes nothing.",
    "member": "Launches, changes and deletes instances, networks and keys.",
    "admin": "Also manages members and the project itself.",
}


def _base(ctx: Context) -> str:
    return f"/p/{ctx.needed_project.slug}/members"


@require_safe
@portal_page
def index(request: HttpRequest, ctx: Context) -> HttpResponse:
    context = {"rows": projects.members(ctx), "roles": Role.choices, "why": ctx.why_not("members.manage")}
    return page(request, "portal/members/list.html", context)


@portal_page
def add(request: HttpRequest, ctx: Context) -> HttpResponse:
    form = Form(request, email="", role="member")
    if form.posted and form.run(lambda: projects.add_member(ctx, email=form.text("email"), role=form.text("role"))):
        attempt(request, lambda: None, done=f"{form.result.user.email} is in the project now.")
        return HttpResponseRedirect(_base(ctx))
    roles = [(value, label, ABOUT[value]) for value, label in Role.choices]
    context = {"form": form, "roles": roles, "why": ctx.why_not("members.manage")}
    return page(request, "portal/members/add.html", context, status=form.status)


@require_POST
@portal_page
def set_role(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    role = request.POST.get("role", "")
    attempt(request, lambda: projects.set_role(ctx, id, role), done=f"The role is {role} now.")
    return HttpResponseRedirect(_base(ctx))


@require_POST
@portal_page
def remove(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    """Taking oneself out leads home: the project is a stranger's now."""
    done = attempt(request, lambda: projects.remove_member(ctx, id), done="The person is out of the project.")
    return HttpResponseRedirect("/" if done and id == ctx.needed_user.id and not ctx.box_role else _base(ctx))


urlpatterns = [
    path("/members", index, name="members"),
    path("/members/add", add, name="member-add"),
    path("/members/<uuid:id>/role", set_role, name="member-role"),
    path("/members/<uuid:id>/remove", remove, name="member-remove"),
]
