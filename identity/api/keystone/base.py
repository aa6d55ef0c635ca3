"""What the views of this dialect share: who calls, ids in addresses, lists."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.http import HttpRequest, HttpResponse, JsonResponse

from cloudbox.common.dialect import Dialect
from cloudbox.common.errors import Invalid, NotFound
from identity import users
from identity.api.keystone import errors, links, render
from identity.api.keystone.methods import domain_by_id, id_of
from identity.authn import keystone as authn
from identity.context import Context
from identity.models import Domain, Project, User
from identity.tokens import Standing

LIST_MAX = 10_000


@dataclass(frozen=True)
class Caller:
    """Who calls, and with which token."""

    ctx: Context
    standing: Standing


def _authenticate(request: HttpRequest) -> Caller:
    standing = authn.standing_for(request)
    return Caller(authn.context_of(request, standing, api="keystone"), standing)


keystone = Dialect("keystone", _authenticate, errors.render, errors.finish)


def answer(name: str, shape: Any, *, status: int = 200) -> HttpResponse:
    return JsonResponse({name: shape}, status=status)


def nothing() -> HttpResponse:
    """204, which has no body and so no type of one."""
    response = HttpResponse(status=204)
    del response["Content-Type"]
    return response


def need_id(text: str, noun: str) -> UUID:
    id = id_of(text)
    if id is None:
        raise NotFound(f"There is no such {noun}.")
    return id


def is_self(caller: Caller, text: str) -> bool:
    return caller.ctx.user is not None and id_of(text) == caller.ctx.user.id


def user_at(caller: Caller, text: str) -> User:
    """Everybody sees themselves; others need a right, and without it do not learn whether there is such a user."""
    if is_self(caller, text):
        return caller.ctx.needed_user
    caller.ctx.require("users.list")
    return users.get(caller.ctx, need_id(text, "user"))


def project_at(caller: Caller, text: str) -> Project:
    """One's own projects, and every one for who may look at all."""
    rows = Project.objects.select_related("domain").exclude(status=Project.Status.DELETED)
    id = id_of(text)
    row = rows.filter(id=id).first() if id else None
    if row is None or not _belongs(caller, row):
        caller.ctx.require("projects.list_all")
        raise NotFound("There is no such project.")
    return row


def _belongs(caller: Caller, row: Project) -> bool:
    if caller.ctx.may("projects.list_all"):
        return True
    if caller.standing.credential is not None:
        return caller.ctx.project == row
    user = caller.ctx.needed_user
    return user.memberships.filter(project=row).exists() or user.custom_grants.filter(project=row).exists()


def domain_at(text: str) -> Domain:
    row = domain_by_id(text)
    if row is None:
        raise NotFound("There is no such domain.")
    return row


def flag(request: HttpRequest, name: str) -> bool | None:
    """A query flag as Keystone reads it: there without a value, or anything but 0 and false, is true."""
    if name not in request.GET:
        return None
    return request.GET[name].lower() not in ("0", "false", "no", "off")


def page(request: HttpRequest, name: str, rows: Sequence[Any], shape: Callable[[HttpRequest, Any], Any]) -> HttpResponse:
    """A list, by `limit` and `marker` if the client asks so; `rows` are in a fixed order."""
    try:
        limit = min(int(request.GET.get("limit", LIST_MAX)), LIST_MAX)
        if limit < 1:
            raise ValueError(limit)
    except ValueError as error:
        raise Invalid("limit is a number from 1 up.", field="limit") from error
    ids = [row.id for row in rows]
    start = 0
    if marker := request.GET.get("marker"):
        if id_of(marker) not in ids:
            raise Invalid("marker is the id of the last one seen.", field="marker")
        start = ids.index(id_of(marker)) + 1
    kept = rows[start : start + limit]
    following = None
    if start + limit < len(rows):
        query = request.GET.dict() | {"marker": kept[-1].id.hex, "limit": str(limit)}
        following = f"{links.site(request)}{request.path}?{urlencode(query)}"
    return JsonResponse(render.listing(request, name, [shape(request, row) for row in kept], following=following))
