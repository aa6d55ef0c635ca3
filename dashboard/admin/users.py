"""The people of the box. A password is shown once, in the answer to the request that made it, and kept nowhere."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.cache import never_cache

from dashboard import commands, downloads, lists
from dashboard.admin import tools
from dashboard.admin.tools import Act
from dashboard.forms.base import Form
from dashboard.shell import admin_page, page
from identity import activity, users
from identity.context import Context
from identity.models import User


@admin_page
def list(request: HttpRequest, ctx: Context) -> HttpResponse:
    filters, rows = _wanted(request, ctx)
    found = tools.listing(request, rows, filters, labels={"role": "Role", "state": "State"})
    shown = {"found": found, "filters": filters, "total": rows.count(), "why": ctx.why_not("users.manage")}
    shown["api_query"] = commands.query_of({"q": filters["q"]})
    return page(request, "admin/users/list.html", shown)


def _wanted(request: HttpRequest, ctx: Context) -> tuple[dict[str, str], QuerySet[User]]:
    """The filters of the URL, and the people who pass them."""
    filters = tools.asked(request, "q", "role", "state")
    rows = users.list(ctx, q=filters["q"])
    if filters["role"] in ("support", "admin"):
        rows = rows.filter(box_role=filters["role"])
    if filters["state"] in ("active", "suspended"):
        rows = rows.filter(is_active=filters["state"] == "active")
    return filters, rows


@admin_page
def export(request: HttpRequest, ctx: Context) -> HttpResponse:
    return downloads.csv(request, "users", lists.USERS, _wanted(request, ctx)[1])


@never_cache
@admin_page
def create(request: HttpRequest, ctx: Context) -> HttpResponse:
    form = Form(request, email="", name="", box_role="")
    if form.posted and form.run(
        lambda: users.create(ctx, email=form.text("email"), name=form.text("name"), box_role=form.text("box_role"))
    ):
        user, password = form.result
        return page(request, "admin/users/password.html", {"it": user, "password": password, "is_new": True}, status=201)
    shown = {"form": form, "why": ctx.why_not("users.manage")}
    return page(request, "admin/users/new.html", shown, status=form.status)


@admin_page
def detail(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    user = users.get(ctx, id)
    is_me = ctx.user is not None and user.id == ctx.user.id
    why = ctx.why_not("users.manage")
    shown: dict[str, Any] = {
        "it": user,
        "memberships": user.memberships.select_related("project").order_by("project__name"),
        "events": activity.list(ctx, all_projects=True, actor=user.email)[:15],
        "why": why,
        "why_suspend": why or ("You cannot suspend yourself." if is_me else ""),
        "why_reset": why or ("Change your own password on your security page." if is_me else ""),
    }
    return page(request, "admin/users/detail.html", shown)


@tools.action
def suspend(request: HttpRequest, ctx: Context, id: UUID) -> Act:
    user = users.get(ctx, id)
    return Act(lambda: users.suspend(ctx, user), f"{user.email} is suspended: signed out, and every key is off.", _page_of(user))


@tools.action
def resume(request: HttpRequest, ctx: Context, id: UUID) -> Act:
    user = users.get(ctx, id)
    return Act(lambda: users.resume(ctx, user), f"{user.email} may sign in again.", _page_of(user))


@never_cache
@tools.post_page
def reset_password(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    """The new password, told on this answer only."""
    ctx.require("users.manage")
    user = users.get(ctx, id)
    password = users.reset_password(ctx, user)
    return page(request, "admin/users/password.html", {"it": user, "password": password, "is_new": False})


def _page_of(user: User) -> str:
    return f"/admin/users/{user.id}"


urlpatterns = [
    path("/users", list, name="admin-users"),
    path("/users.csv", export, name="admin-users-csv"),
    path("/users/new", create, name="admin-users-new"),
    path("/users/<uuid:id>", detail, name="admin-user"),
    path("/users/<uuid:id>/suspend", suspend, name="admin-user-suspend"),
    path("/users/<uuid:id>/resume", resume, name="admin-user-resume"),
    path("/users/<uuid:id>/password", reset_password, name="admin-user-password"),
]
