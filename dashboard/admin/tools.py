"""What the lists and forms of the console share: cursor pages, filters as chips, numbers."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect

from cloudbox.common.errors import Invalid
from dashboard.api import pages
from dashboard.forms.base import Form
from dashboard.shell import View, admin_page, attempt
from identity.context import Context

PAGE_ROWS = 50
TEXT_MAX = 200


@dataclass(frozen=True)
class Chip:
    """A filter that is on: its words, and the URL without it."""

    label: str
    url: str


@dataclass(frozen=True)
class Rows:
    """A page of a list, with the URL of the next one."""

    rows: Sequence[Any]
    next_url: str
    is_first: bool
    is_filtered: bool
    chips: Sequence[Chip] = ()


def asked(request: HttpRequest, *names: str) -> dict[str, str]:
    """The filters of the URL, trimmed; what is not there is empty."""
    return {name: request.GET.get(name, "").strip()[:TEXT_MAX] for name in names}


def listing(request: HttpRequest, rows: QuerySet[Any], filters: Mapping[str, str], *, labels: Mapping[str, str]) -> Rows:
    """One cursor page; the filters stay in the URL of the next."""
    after = request.GET.get("after", "")
    found, cursor = pages.page(rows, limit=PAGE_ROWS, cursor=after)
    on = {name: value for name, value in filters.items() if value}
    chips = [Chip(f"{labels[name]}: {value}", url_with(request, on, without=name)) for name, value in on.items() if name in labels]
    next_url = url_with(request, on | {"after": cursor}) if cursor else ""
    return Rows(rows=found, next_url=next_url, is_first=not after, is_filtered=bool(on), chips=chips)


def live(part: str, since: int, *, insert: bool = False) -> dict[str, Any]:
    """What the page asks of the live channel, about the box: the part that lives, and where the log stood before it was read."""
    return {"project": "", "part": part, "since": since, "insert": insert}


def url_with(request: HttpRequest, query: Mapping[str, str], *, without: str = "") -> str:
    kept = {name: value for name, value in query.items() if name != without}
    return f"{request.path}?{urlencode(kept)}" if kept else request.path


def whole(form: Form, name: str, what: str) -> int:
    """A whole number that must be there, or Invalid at its field."""
    number = form.number(name)
    if number is None:
        raise Invalid(f"{what} is missing.", field=name)
    return number


@dataclass(frozen=True)
class Act:
    """One thing to do, the sentence when it is done, and the page where it leads either way."""

    do: Callable[[], Any]
    done: str
    back: str


def action(prepare: Callable[..., Act]) -> View:
    """The view of a button: `prepare(request, ctx, …)` finds the thing, then it is done, and how it went is said in a toast."""

    @post_page
    @functools.wraps(prepare)
    def view(request: HttpRequest, ctx: Context, **kwargs: Any) -> HttpResponse:
        act = prepare(request, ctx, **kwargs)
        attempt(request, act.do, done=act.done)
        return HttpResponseRedirect(act.back)

    return view


def post_page(view: View) -> View:
    """A page of the console that only answers a POST: a link never changes a thing."""

    @admin_page
    @functools.wraps(view)
    def checked(request: HttpRequest, ctx: Context, **kwargs: Any) -> HttpResponse:
        return view(request, ctx, **kwargs) if request.method == "POST" else HttpResponseNotAllowed(["POST"])

    return checked
