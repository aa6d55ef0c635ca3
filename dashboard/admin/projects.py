"""All projects: who they belong to, what they use, what they may use; create, suspend, resume."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path

from compute import instances
from dashboard import commands, downloads, lists
from dashboard.admin import tools
from dashboard.admin.tools import Act
from dashboard.forms.base import Form
from dashboard.shell import admin_page, page
from identity import activity, projects, quotas
from identity.context import Context
from identity.models import Project, Role

FIELDS = ("name", "slug", "owner_email", "description")


@admin_page
def list(request: HttpRequest, ctx: Context) -> HttpResponse:
    filters, rows = _wanted(request, ctx)
    found = tools.listing(request, rows, filters, labels={"status": "State"})
    lines = quotas.of_all([project.id for project in found.rows])
    use = {id: {line.resource: line for line in of} for id, of in lines.items()}
    shown = {"found": found, "filters": filters, "use": use, "total": rows.count(), "why": ctx.why_not("projects.create")}
    shown["api_query"] = commands.query_of({"q": filters["q"]})
    return page(request, "admin/projects/list.html", shown)


def _wanted(request: HttpRequest, ctx: Context) -> tuple[dict[str, str], QuerySet[Project]]:
    """The filters of the URL, and the projects that pass them."""
    filters = tools.asked(request, "q", "status")
    rows = projects.list(ctx, all=True, q=filters["q"])
    if filters["status"] in (Project.Status.ACTIVE, Project.Status.SUSPENDED):
        rows = rows.filter(status=filters["status"])
    return filters, rows


@admin_page
def export(request: HttpRequest, ctx: Context) -> HttpResponse:
    return downloads.csv(request, "projects", lists.PROJECTS, _wanted(request, ctx)[1])


@admin_page
def create(request: HttpRequest, ctx: Context) -> HttpResponse:
    form = Form(request, **dict.fromkeys(FIELDS, ""))
    name, slug, owner_email, description = (form.text(field) for field in FIELDS)
    if form.posted and form.run(lambda: projects.create(ctx, name=name, slug=slug, owner_email=owner_email, description=description)):
        messages.success(request, f"{form.result.name} is there, with the default quota.")
        return HttpResponseRedirect(f"/admin/projects/{form.result.slug}")
    shown = {"form": form, "why": ctx.why_not("projects.create"), "defaults": quotas.RESOURCES}
    return page(request, "admin/projects/new.html", shown, status=form.status)


def _shown(ctx: Context, project: Project, tab: str) -> dict[str, Any]:
    """What the heading of every tab needs."""
    return {"it": project, "tab": tab, "why_suspend": ctx.why_not("projects.suspend")}


@admin_page
def detail(request: HttpRequest, ctx: Context, slug: str) -> HttpResponse:
    project = projects.get(ctx, slug)
    inside = replace(ctx, project=project)
    members = projects.members(inside)
    shown = _shown(ctx, project, "overview") | {
        "lines": quotas.of(project),
        "counts": instances.counts(inside),
        "members": members[:6],
        "member_count": members.count(),
        "events": activity.list(inside)[:8],
    }
    return page(request, "admin/projects/detail.html", shown)


@admin_page
def quota(request: HttpRequest, ctx: Context, slug: str) -> HttpResponse:
    """The limits, one field each; empty means no limit."""
    project = projects.get(ctx, slug)
    lines = quotas.of(project)
    form = Form(request, **{line.resource: "" if line.limit is None else str(line.limit) for line in lines})

    def act() -> None:
        """Only what was sent is set, so that half a form takes no limit away."""
        sent = [line.resource for line in lines if line.resource in request.POST]
        quotas.set_limits(ctx, project, {resource: form.number(resource) for resource in sent})

    if form.posted and form.run(act):
        messages.success(request, f"The quota of {project.name} is set.")
        return HttpResponseRedirect(request.path)
    fields = [(line, form[line.resource]) for line in lines]
    shown = _shown(ctx, project, "quota") | {"fields": fields, "form": form, "why": ctx.why_not("quotas.set")}
    return page(request, "admin/projects/quota.html", shown, status=form.status)


@admin_page
def members(request: HttpRequest, ctx: Context, slug: str) -> HttpResponse:
    """Who is in it; a POST adds somebody."""
    project = projects.get(ctx, slug)
    inside = replace(ctx, project=project)
    form = Form(request, email="", role=Role.MEMBER)
    if form.posted and form.run(lambda: projects.add_member(inside, email=form.text("email"), role=form.text("role"))):
        row = form.result
        messages.success(request, f"{row.user.email} is in {project.name} as {row.get_role_display().lower()}.")
        return HttpResponseRedirect(request.path)
    shown = _shown(ctx, project, "members") | {
        "members": projects.members(inside),
        "roles": Role.choices,
        "form": form,
        "why": inside.why_not("members.manage"),
    }
    return page(request, "admin/projects/members.html", shown, status=form.status)


@tools.action
def member(request: HttpRequest, ctx: Context, slug: str, user_id: UUID) -> Act:
    """Another role, or out."""
    project = projects.get(ctx, slug)
    inside, role, back = replace(ctx, project=project), request.POST.get("role", ""), f"/admin/projects/{project.slug}/members"
    if role:
        return Act(lambda: projects.set_role(inside, user_id, role), "The role is changed.", back)
    return Act(lambda: projects.remove_member(inside, user_id), "Removed. Their keys of this project stop to work.", back)


@admin_page
def happened(request: HttpRequest, ctx: Context, slug: str) -> HttpResponse:
    project = projects.get(ctx, slug)
    rows = activity.list(replace(ctx, project=project))
    shown = _shown(ctx, project, "activity") | {"found": tools.listing(request, rows, {}, labels={})}
    return page(request, "admin/projects/activity.html", shown)


@tools.action
def suspend(request: HttpRequest, ctx: Context, slug: str) -> Act:
    project = projects.get(ctx, slug)
    done = f"{project.name} is suspended. What runs goes on; nothing can be changed."
    return Act(lambda: projects.suspend(ctx, project), done, f"/admin/projects/{project.slug}")


@tools.action
def resume(request: HttpRequest, ctx: Context, slug: str) -> Act:
    project = projects.get(ctx, slug)
    return Act(lambda: projects.resume(ctx, project), f"{project.name} is active again.", f"/admin/projects/{project.slug}")


urlpatterns = [
    path("/projects", list, name="admin-projects"),
    path("/projects.csv", export, name="admin-projects-csv"),
    path("/projects/new", create, name="admin-projects-new"),
    path("/projects/<slug:slug>", detail, name="admin-project"),
    path("/projects/<slug:slug>/quota", quota, name="admin-project-quota"),
    path("/projects/<slug:slug>/members", members, name="admin-project-members"),
    path("/projects/<slug:slug>/members/<uuid:user_id>", member, name="admin-project-member"),
    path("/projects/<slug:slug>/activity", happened, name="admin-project-activity"),
    path("/projects/<slug:slug>/suspend", suspend, name="admin-project-suspend"),
    path("/projects/<slug:slug>/resume", resume, name="admin-project-resume"),
]
