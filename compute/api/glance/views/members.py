"""Projects that an image is shared with, and what they say to it."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest, HttpResponse

from cloudbox.common.errors import Forbidden, Invalid, NotFound
from cloudbox.common.fields import body_of
from compute import image_members as verbs
from compute.api.glance import render
from compute.api.glance.errors import glance
from compute.api.glance.views.images import find
from compute.api.openstack.service import Caller, answer, nothing
from compute.models import Image, ImageMember
from identity.api.keystone.methods import id_of


def _list(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    rows = verbs.list(caller.ctx, find(caller, id).id)
    return answer({"members": [render.member(row) for row in rows], "schema": "/v2/schemas/members"})


def _project(text: str) -> UUID:
    id = id_of(text)
    if id is None:
        raise NotFound(f"There is no member {text[:64]}.")
    return id


def _find(caller: Caller, row: Image, text: str) -> ImageMember:
    found = verbs.list(caller.ctx, row.id).filter(project_id=_project(text)).first()
    if found is None:
        raise NotFound(f"There is no member {text[:64]}.")
    return found


def _offer(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    row = find(caller, id)
    caller.ctx.require("images.manage")
    member = verbs.offer(caller.ctx, row.id, project_id=_project(body_of(request).needed_text("member", length_max=64)))
    return answer(render.member(member))


def _show(request: HttpRequest, caller: Caller, id: str, project: str) -> HttpResponse:
    return answer(render.member(_find(caller, find(caller, id), project)))


def _say(request: HttpRequest, caller: Caller, id: str, project: str) -> HttpResponse:
    """The member itself says whether it takes the image."""
    row = find(caller, id)
    caller.ctx.require("images.manage")
    status = body_of(request).needed_text("status", length_max=64)
    member = _find(caller, row, project)
    if member.project_id != caller.ctx.project_id:
        raise Forbidden("Only the member itself accepts an image or turns it down.")
    if status == "pending":
        raise Forbidden("Say accepted or rejected: pending is before either.")
    if status not in ("accepted", "rejected"):
        raise Invalid("status is accepted or rejected.", field="status")
    said = verbs.accept(caller.ctx, row.id) if status == "accepted" else verbs.reject(caller.ctx, row.id)
    return answer(render.member(said))


def _withdraw(request: HttpRequest, caller: Caller, id: str, project: str) -> HttpResponse:
    verbs.withdraw(caller.ctx, find(caller, id).id, project_id=_project(project))
    return nothing()


members = glance.view(GET=_list, POST=_offer)
member = glance.view(GET=_show, PUT=_say, DELETE=_withdraw)
