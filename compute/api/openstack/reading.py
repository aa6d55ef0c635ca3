"""What addresses and queries say: ids, numbers, moments, pages; wrong ones are refused by name."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpRequest

from cloudbox.common.errors import Invalid, NotFound
from cloudbox.common.fields import Fields

NUMBER_MAX = 2**31 - 1


def id_of(text: str) -> UUID | None:
    """An id with or without hyphens; what else people put into addresses is none."""
    try:
        return UUID(text) if len(text) in (32, 36) else None
    except ValueError:
        return None


def need_id(text: str, noun: str) -> UUID:
    """The id in an address; a text that is none names nothing that is there."""
    found = id_of(text)
    if found is None:
        raise NotFound(f"There is no {noun} {text[:64]}.", resource=text[:64])
    return found


def number(request: HttpRequest, name: str, *, least: int = 0) -> int | None:
    """A number of the query, or None if it is not there."""
    text = request.GET.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and least <= int(text) <= NUMBER_MAX):
        raise Invalid(f"{name} is a number from {least} up.", field=name)
    return int(text)


def number_of(asked: Fields, name: str) -> int | None:
    """A number of a body from 1 up, which clients write as a number or as text; None if it is not there."""
    value = asked.values.get(name)
    if value is None:
        return None
    text = str(value)
    if isinstance(value, bool) or not isinstance(value, int | str) or not (text.isascii() and text.isdigit()) or not 0 < len(text) <= 6:
        raise Invalid(f"{asked.at(name)} is a number from 1 up.", field=name)
    if int(text) < 1:
        raise Invalid(f"{asked.at(name)} is a number from 1 up.", field=name)
    return int(text)


def limit_of(name: str, value: object) -> int | None:
    """A quota's limit as OpenStack writes it: -1 is none."""
    text = str(value)
    digits = text.removeprefix("-")
    if isinstance(value, bool) or not (digits.isascii() and digits.isdigit()) or len(text) > 12 or int(text) < -1:
        raise Invalid(f"{name[:64]} is a number, or -1 for no limit.", field=name)
    return None if int(text) == -1 else int(text)


def moment(request: HttpRequest, name: str) -> dt.datetime | None:
    """A time of the query in ISO 8601; without a zone it is in UTC."""
    text = request.GET.get(name)
    if text is None:
        return None
    try:
        found = dt.datetime.fromisoformat(text.replace(" ", "+"))
        return found.astimezone(dt.UTC) if found.tzinfo else found.replace(tzinfo=dt.UTC)
    except (ValueError, OverflowError) as error:
        raise Invalid(f"{name} is not a time in ISO 8601.", field=name) from error


def flag(request: HttpRequest, name: str) -> bool | None:
    """As clients write truth: 1, true, yes, on, in any case."""
    text = request.GET.get(name)
    return None if text is None else text.strip().lower() in ("1", "t", "true", "yes", "y", "on")


def order(rows: QuerySet[Any], columns: Mapping[str, str], pairs: Sequence[tuple[str, str]], *, default: Sequence[str]) -> QuerySet[Any]:
    """By (key, direction) pairs; a key that is not in `columns` is refused. The id ends it, so that pages fit together."""
    wanted = []
    for key, direction in pairs:
        if key not in columns:
            raise Invalid(f"Nothing is sorted by {key[:64]!r}. Take one of {', '.join(columns)}.", field="sort_key")
        if direction not in ("asc", "desc"):
            raise Invalid("The direction is asc or desc.", field="sort_dir")
        wanted.append(("-" if direction == "desc" else "") + columns[key])
    return rows.order_by(*(wanted or default), "id")


def sort_pairs(request: HttpRequest, *, default_direction: str = "desc") -> list[tuple[str, str]]:
    """Of `sort_key` and `sort_dir`, each as often as one likes, or of `sort=key:direction,…`."""
    if "sort" in request.GET:
        found = []
        for each in request.GET["sort"].split(","):
            key, _, direction = each.strip().partition(":")
            found.append((key, direction or default_direction))
        return found
    keys, directions = request.GET.getlist("sort_key"), request.GET.getlist("sort_dir")
    return [(key, directions[min(place, len(directions) - 1)] if directions else default_direction) for place, key in enumerate(keys)]


def page(request: HttpRequest, rows: QuerySet[Any], *, limit_max: int) -> tuple[list[Any], bool]:
    """Those after `marker`, as many as `limit`, and whether the page is full. An unknown marker is refused."""
    asked = number(request, "limit")
    limit = limit_max if asked is None else min(asked, limit_max)
    start = 0
    if marker := request.GET.get("marker"):
        id = id_of(marker)
        ids = list(rows.values_list("id", flat=True)) if id is not None else []
        if id not in ids:
            raise Invalid(f"There is no {marker[:64]!r} to go on from.", field="marker")
        start = ids.index(id) + 1
    if number(request, "offset"):
        start += int(request.GET["offset"])
    found = list(rows[start : start + limit]) if limit else []
    return found, bool(found) and len(found) == limit


def next_address(request: HttpRequest, address: str, last: object) -> str:
    """The same question, from the last one seen on."""
    query = [(name, value) for name, values in request.GET.lists() for value in values if name not in ("marker", "offset")]
    return f"{address}?{urlencode([*query, ('marker', str(last))])}"
