"""What the lists and forms of the console share: cursor pages, filters as chips, errors beside their fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed

from cloudbox.common.errors import CloudError, Invalid
from dashboard.api import pages

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


def url_with(request: HttpRequest, query: Mapping[str, str], *, without: str = "") -> str:
    kept = {name: value for name, value in query.items() if name != without}
    return f"{request.path}?{urlencode(kept)}" if kept else request.path


@dataclass
class Form:
    """What was typed and what is wrong with it: errors at their fields, one for the whole at most."""

    values: dict[str, str] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    error: str = ""

    @classmethod
    def of(cls, request: HttpRequest, *names: str) -> Form:
        source = request.POST if request.method == "POST" else request.GET
        return cls(values={name: source.get(name, "").strip() for name in names})

    def fail(self, error: CloudError) -> None:
        if error.field in self.values:
            self.errors[error.field] = error.message
        else:
            self.error = error.message

    def whole(self, name: str, what: str) -> int:
        """A whole number, or Invalid at its field."""
        try:
            return int(self.values[name].replace(" ", "").replace(",", ""))
        except ValueError as error:
            raise Invalid(f"{what} is a whole number.", field=name) from error

    @property
    def status(self) -> int:
        return 422 if self.errors or self.error else 200


def only_post(request: HttpRequest) -> HttpResponse | None:
    """Answers anything but POST; a link never changes a thing."""
    return None if request.method == "POST" else HttpResponseNotAllowed(["POST"])
