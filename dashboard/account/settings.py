"""Profile and appearance."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from cloudbox.common.errors import CloudError
from dashboard.shell import account_page, page
from identity import projects, users
from identity.context import Context


@account_page
def profile(request: HttpRequest, ctx: Context) -> HttpResponse:
    """The name that others see, and the projects one is in."""
    form: dict[str, object] = {"name": ctx.needed_user.name}
    if request.method == "POST":
        form = {"name": request.POST.get("name", "")}
        try:
            users.update_me(ctx, name=str(form["name"]))
            messages.success(request, "Your name is saved.")
            return HttpResponseRedirect(request.path)
        except CloudError as error:
            ctx.needed_user.refresh_from_db()
            form["errors"] = {error.field or "": error.message}
    rows = projects.list(ctx).filter(memberships__user=ctx.user).values("name", "slug", "status", "memberships__role")
    return page(request, "account/profile.html", {"form": form, "rows": rows}, status=400 if "errors" in form else 200)


@account_page
def appearance(request: HttpRequest, ctx: Context) -> HttpResponse:
    """Theme and single-key shortcuts. The palette posts only the theme."""
    if request.method == "POST":
        keys = request.POST.get("single_keys", "") == "on" if "whole" in request.POST else None
        try:
            users.update_me(ctx, theme=request.POST.get("theme", ""), single_keys=keys)
            messages.success(request, "The appearance is saved.")
        except CloudError as error:
            ctx.needed_user.refresh_from_db()
            messages.error(request, error.message)
        return HttpResponseRedirect(request.path)
    return page(request, "account/appearance.html", {})
