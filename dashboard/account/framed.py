"""allauth's pages inside our frame: they get a Context like ours, and strangers are sent to sign in."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from dashboard.shell import account_page
from identity.context import Context


def framed(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """The view, for whoever is signed in."""

    @functools.wraps(view)
    def inner(request: HttpRequest, ctx: Context, **kwargs: Any) -> Any:
        return view(request, **kwargs)

    return account_page(inner)
