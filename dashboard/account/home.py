"""Where "/" leads: the project one was in last, else the first, else a page that says that there is none yet."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from cloudbox.common.errors import CloudError
from dashboard.shell import LAST_PROJECT, account_page, page
from identity import projects
from identity.context import Context


@account_page
def home(request: HttpRequest, ctx: Context) -> HttpResponse:
    slug = _last(request, ctx)
    if slug:
        return HttpResponseRedirect(f"/p/{slug}")
    return page(request, "account/no_project.html", {})


def _last(request: HttpRequest, ctx: Context) -> str:
    last = request.session.get(LAST_PROJECT, "")
    try:
        if last and projects.get(ctx, last):
            return str(last)
    except CloudError:
        del request.session[LAST_PROJECT]
    return projects.list(ctx).values_list("slug", flat=True).first() or ""
