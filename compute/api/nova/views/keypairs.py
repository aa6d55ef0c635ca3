"""Key pairs. Nova names them; here they are the project's."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse

from cloudbox.common.errors import Invalid, NotFound, NotSupported
from cloudbox.common.fields import body_of
from compute import keypairs as verbs
from compute.api.nova import render
from compute.api.nova.errors import nova, service
from compute.api.openstack import reading
from compute.api.openstack.service import Caller, answer, nothing
from compute.models import Keypair

LIMIT_MAX = 1000


def _find(caller: Caller, name: str) -> Keypair:
    row = verbs.list(caller.ctx).filter(name=name).first()
    if row is None:
        raise NotFound(f"There is no key pair {name[:64]}.")
    return row


def _list(request: HttpRequest, caller: Caller) -> HttpResponse:
    rows = list(verbs.list(caller.ctx))
    full = False
    if caller.minor >= 35:
        limit = reading.number(request, "limit")
        if marker := request.GET.get("marker"):
            names = [row.name for row in rows]
            if marker not in names:
                raise Invalid(f"There is no key pair {marker[:64]} to go on from.", field="marker")
            rows = rows[names.index(marker) + 1 :]
        full = limit is not None and len(rows) >= limit > 0
        rows = rows[: min(limit, LIMIT_MAX) if limit is not None else LIMIT_MAX]
    shape: dict[str, Any] = {"keypairs": [{"keypair": render.keypair(caller, row, listed=True)} for row in rows]}
    if full:
        href = reading.next_address(request, service.address(request, "os-keypairs"), rows[-1].name)
        shape["keypairs_links"] = [{"rel": "next", "href": href}]
    return answer(shape)


def _create(request: HttpRequest, caller: Caller) -> HttpResponse:
    asked = body_of(request).needed_object("keypair")
    name = asked.needed_text("name", length_max=255)
    if caller.minor >= 2 and (asked.text("type") or "ssh") != "ssh":
        raise NotSupported("Key pairs are for SSH here.") if asked.text("type") == "x509" else Invalid("type is ssh.", field="type")
    status = 200 if caller.minor < 2 else 201
    if "public_key" in asked.values:
        row = verbs.import_key(caller.ctx, name=name, public_key=asked.needed_text("public_key"))
        return answer({"keypair": render.keypair(caller, row)}, status=status)
    if caller.minor >= 92:
        raise Invalid("keypair.public_key is missing: key pairs are made by clients in this microversion.", field="public_key")
    row, private_key = verbs.create(caller.ctx, name=name, kind="rsa")
    return answer({"keypair": render.keypair(caller, row, private_key=private_key)}, status=status)


def _show(request: HttpRequest, caller: Caller, name: str) -> HttpResponse:
    return answer({"keypair": render.keypair(caller, _find(caller, name), whole=True)})


def _delete(request: HttpRequest, caller: Caller, name: str) -> HttpResponse:
    verbs.delete(caller.ctx, _find(caller, name).id)
    return nothing(202 if caller.minor < 2 else 204)


keypairs = nova.view(GET=_list, POST=_create)
keypair = nova.view(GET=_show, DELETE=_delete)
