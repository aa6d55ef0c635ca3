"""Pages by key: a cursor names the last row that was seen, so no row is skipped or told twice while others come and go."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from typing import Any

from django.core import signing
from django.db.models import Model, Q, QuerySet

from cloudbox.common.errors import Invalid

LIMIT_DEFAULT, LIMIT_MAX = 50, 200
_SALT = "dashboard.api.pages"


def page(rows: QuerySet[Any], *, limit: int, cursor: str) -> tuple[Sequence[Any], str | None]:
    """Up to `limit` rows after the cursor, and the cursor of the next page if there is one."""
    order = _order(rows)
    if cursor:
        rows = rows.filter(_after(rows.model, order, _open(cursor, order)))
    found = list(rows.order_by(*order)[: limit + 1])
    more = len(found) > limit
    return found[:limit], _seal(found[limit - 1], order) if more else None


def _order(rows: QuerySet[Any]) -> list[str]:
    """The order of the rows, made total by the primary key."""
    order = [str(name) for name in rows.query.order_by or rows.model._meta.ordering]
    names = {name.lstrip("-") for name in order}
    key = rows.model._meta.pk.name
    return order if names & {"pk", key} else [*order, key]


def _seal(row: Any, order: list[str]) -> str:
    """Signed, so that what comes back is what was given; and URL-safe."""
    values = [_plain(_value(row, name)) for name in order]
    return base64.urlsafe_b64encode(signing.dumps([order, values], salt=_SALT).encode()).decode().rstrip("=")


def _value(row: Any, name: str) -> Any:
    for part in name.lstrip("-").split("__"):
        row = getattr(row, part)
    return row


def _plain(value: Any) -> Any:
    if isinstance(value, int | bool):
        return value
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _open(cursor: str, order: list[str]) -> list[Any]:
    try:
        before, values = signing.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode(), salt=_SALT)
    except (signing.BadSignature, binascii.Error, ValueError, json.JSONDecodeError) as error:
        raise Invalid("This cursor was not given out here. Start again without one.", field="cursor") from error
    if before != order:
        raise Invalid("This cursor belongs to another order. Start again without one.", field="cursor")
    return values  # type: ignore[no-any-return]


def _after(model: type[Model], order: list[str], values: list[Any]) -> Q:
    """(a, b, c) > (x, y, z), each in its own direction: a > x, or a = x and b > y, or …"""
    match, equal = Q(), Q()
    for name, value in zip(order, values, strict=True):
        column = name.lstrip("-")
        match |= equal & Q(**{f"{column}__{'lt' if name.startswith('-') else 'gt'}": value})
        equal &= Q(**{column: value})
    return match
