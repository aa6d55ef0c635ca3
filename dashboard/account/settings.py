"""Profile and appearance."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from cloudbox.common.errors import CloudError
from dashboard import errors
from dashboard.forms.base import ChangeForm
from dashboard.shell import account_page, page
from identity import projects, users
from identity.context import Context


@account_page
def profile(request: HttpRequest, ctx: Context) -> HttpResponse:
    """The name that others see, and the projects one is in."""
    form = ChangeForm(request, name=ctx.needed_user.name)
    if form.posted:
        if form.run(lambda: users.update_me(ctx, name=form.text("name"))):
            messages.success(request, "Your name is saved.")
            return HttpResponseRedirect(request.path)
        ctx.needed_user.refresh_from_db()
    rows = projects.list(ctx).values("name", "slug", "status", "memberships__role")
    return page(request, "account/profile.html", {"form": form, "rows": rows}, status=form.status)


@account_page
def appearance(request: HttpRequest, ctx: Context) -> HttpResponse:
    """Theme and single-key shortcuts. The palette posts only the theme."""
    if request.method == "POST":
        if "theme" not in request.POST:
            return errors.page(request, 400, "That cannot be done as asked", "The form came without its fields. Nothing was changed.")
        keys = request.POST.get("single_keys", "") == "on" if "whole" in request.POST else None
        try:
            users.update_me(ctx, theme=request.POST.get("theme", ""), single_keys=keys)
            if keys is not None:
                messages.success(request, "The appearance is saved.")
        except CloudError as error:
            ctx.needed_user.refresh_from_db()
            messages.error(request, error.message)
        if "quiet" in request.POST:
            return HttpResponse(status=204)
        return HttpResponseRedirect(request.path)
    return page(request, "account/appearance.html", {})
