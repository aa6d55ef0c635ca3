"""What every page has in common: the Context of its viewer, the frame around it, and errors as pages."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render

from cloudbox.common.errors import CloudError, NotFound, Unauthenticated
from dashboard import errors
from identity.authn.session import context_for
from identity.context import Context

View = Callable[..., HttpResponse]
LAST_PROJECT = "last-project"


def portal_page(view: View) -> View:
    """A view `(request, ctx, …)` of a project's page: `project` comes from the URL; strangers see what never was."""

    @functools.wraps(view)
    def wrapped(request: HttpRequest, project: str, **kwargs: Any) -> HttpResponse:
        def inner() -> HttpResponse:
            ctx = context_for(request, project)
            if request.session.get(LAST_PROJECT) != project:
                request.session[LAST_PROJECT] = project
            request.ctx = ctx  # type: ignore[attr-defined]
            return view(request, ctx, **kwargs)

        return _guarded(request, inner)

    return wrapped


def admin_page(view: View) -> View:
    """A view `(request, ctx, …)` of the admin console. For whoever may not look, it does not exist."""

    @functools.wraps(view)
    def wrapped(request: HttpRequest, **kwargs: Any) -> HttpResponse:
        def inner() -> HttpResponse:
            ctx = context_for(request)
            if not ctx.may("box.look"):
                raise NotFound("There is no such page, or it belongs to a project that you are not in.")
            request.ctx = ctx  # type: ignore[attr-defined]
            return view(request, ctx, **kwargs)

        return _guarded(request, inner)

    return wrapped


def account_page(view: View) -> View:
    """A view `(request, ctx, …)` about the person who is signed in."""

    @functools.wraps(view)
    def wrapped(request: HttpRequest, **kwargs: Any) -> HttpResponse:
        def inner() -> HttpResponse:
            ctx = context_for(request)
            request.ctx = ctx  # type: ignore[attr-defined]
            return view(request, ctx, **kwargs)

        return _guarded(request, inner)

    return wrapped


def _guarded(request: HttpRequest, inner: Callable[[], HttpResponse]) -> HttpResponse:
    try:
        return inner()
    except Unauthenticated:
        return HttpResponseRedirect(f"/sign-in?next={quote(request.get_full_path())}")
    except CloudError as error:
        return errors.of(request, error)


def page(request: HttpRequest, template: str, context: dict[str, Any], *, status: int = 200) -> HttpResponse:
    """A page in the frame; `crumbs` is a list of (title, url), the last one being the page itself."""
    return render(request, f"dashboard/{template}", context, status=status)


def attempt(request: HttpRequest, act: Callable[[], Any], *, done: str = "") -> bool:
    """Do it and say so in a toast; a domain error becomes a toast too. For actions on rows; forms show errors inline instead."""
    try:
        act()
    except CloudError as error:
        messages.error(request, error.message)
        return False
    if done:
        messages.success(request, done)
    return True


def context_of_request(request: HttpRequest) -> Context | None:
    return getattr(request, "ctx", None)
