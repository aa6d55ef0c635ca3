"""Application credentials, EC2 credentials, and the older /v3/credentials."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse

from cloudbox.common.errors import AlreadyExists, Forbidden, Invalid, NotFound, NotSupported
from cloudbox.common.fields import Fields, body_of
from identity import credentials as verbs
from identity import roles, tokens
from identity.api.keystone import links, render
from identity.api.keystone.base import Caller, answer, is_self, keystone, need_id, nothing, page, project_at
from identity.api.keystone.methods import id_of
from identity.context import Context
from identity.models import AccessKey, ApiToken, Role, User
from identity.token_format import Scope, ScopeKind


def _own(caller: Caller, user: str) -> User:
    """Credentials are their user's business; not even administrators see or make others'."""
    if not is_self(caller, user):
        raise Forbidden("Credentials are seen and made by their own user only.")
    return caller.ctx.needed_user


def _list(request: HttpRequest, caller: Caller, user: str) -> HttpResponse:
    caller.ctx.require("credentials.list")
    rows = verbs.application_credentials(_own(caller, user))
    if name := request.GET.get("name"):
        rows = rows.filter(name=name)
    return page(request, "application_credentials", [*rows], render.application_credential)


def _create(request: HttpRequest, caller: Caller, user: str) -> HttpResponse:
    owner, body = _own(caller, user), body_of(request).needed_object("application_credential")
    if caller.ctx.project is None:
        raise Forbidden("An application credential belongs to a project. Use a token of that project.")
    if body.items("access_rules"):
        raise NotSupported("Access rules are not kept here. Give the credential a smaller role instead.")
    name = body.needed_text("name", length_max=255)
    if verbs.application_credentials(owner).filter(name=name).exists():
        raise AlreadyExists(f"You have an application credential called {name}.", field="name")
    row, text = verbs.create_token(
        caller.ctx,
        name=name,
        role=_role(body, caller),
        description=body.text("description") or "",
        unrestricted=body.flag("unrestricted") or False,
        secret=body.text("secret", length_max=1024) or "",
        expires_at=body.moment("expires_at"),
        reaches_box=False,
    )
    secret = body.text("secret") or text.removeprefix(f"cbx_{row.id.hex}_")
    return answer("application_credential", render.application_credential(request, row) | {"secret": secret}, status=201)


def _role(body: Fields, caller: Caller) -> str:
    """The greatest of the roles that are asked for; all that the token has when none is named."""
    mine = [name for name in caller.standing.role_names if name in Role.values]
    asked = []
    for each in body.objects("roles"):
        id = each.text("id")
        named = (
            roles.get(caller.ctx, need_id(id, "role")) if id else next(iter(roles.list(caller.ctx, name=each.needed_text("name"))), None)
        )
        if named is None or not named.is_own:
            raise Invalid("An application credential has the roles reader, member or admin.", field=each.place)
        asked.append(named.name)
    order = list(Role.values)
    return max(asked or mine or [Role.READER], key=order.index)


def _find(caller: Caller, user: str, id: str) -> ApiToken:
    row = verbs.application_credentials(_own(caller, user)).filter(id=need_id(id, "application credential")).first()
    if row is None:
        raise NotFound("You have no such application credential.")
    return row


def _show(request: HttpRequest, caller: Caller, user: str, id: str) -> HttpResponse:
    return answer("application_credential", render.application_credential(request, _find(caller, user, id)))


def _delete(request: HttpRequest, caller: Caller, user: str, id: str) -> HttpResponse:
    row = _find(caller, user, id)
    verbs.revoke_token(replace(caller.ctx, project=row.project), row.id)
    return nothing()


def _access_rules(request: HttpRequest, caller: Caller, user: str) -> HttpResponse:
    _own(caller, user)
    return page(request, "access_rules", [], lambda _request, row: row)


# --- EC2 credentials


def _ec2_list(request: HttpRequest, caller: Caller, user: str) -> HttpResponse:
    caller.ctx.require("credentials.list")
    rows = [render.ec2_credential(request, row, verbs.secret_of(row)) for row in _keys(caller, _own(caller, user))]
    return JsonResponse(render.listing(request, "credentials", rows))


def _keys(caller: Caller, user: User) -> list[AccessKey]:
    """All of the user's; of an application credential's token, those of its project, and none if it is restricted."""
    if caller.ctx.restricted:
        raise Forbidden("You signed in with an application credential that may not see other credentials.")
    rows = verbs.access_keys(user)
    return [*(rows.filter(project=caller.ctx.project) if caller.standing.credential else rows)]


def _project_context(caller: Caller, project_id: str | None) -> Context:
    """The caller in the project that a key shall be for. A token is for one project; who signed in with the password may name another."""
    if project_id is None:
        if caller.ctx.project is None:
            raise Invalid("tenant_id is missing.", field="tenant_id")
        return caller.ctx
    row = project_at(caller, project_id)
    if caller.ctx.project == row:
        return caller.ctx
    if caller.standing.credential is not None:
        raise Forbidden("You signed in with an application credential of another project.")
    return replace(caller.ctx, project=row, role=roles.in_project(caller.ctx.needed_user, row)[0])


def _ec2_create(request: HttpRequest, caller: Caller, user: str) -> HttpResponse:
    _own(caller, user)
    body = body_of(request)
    ctx = _project_context(caller, body.text("tenant_id", length_max=64))
    row, secret = verbs.create_access_key(ctx, name="EC2 credentials")
    return answer("credential", render.ec2_credential(request, row, secret), status=201)


def _ec2_find(caller: Caller, user: str, access: str) -> AccessKey:
    row = next((row for row in _keys(caller, _own(caller, user)) if row.id == access), None)
    if row is None:
        raise NotFound("You have no such EC2 credentials.")
    return row


def _ec2_show(request: HttpRequest, caller: Caller, user: str, access: str) -> HttpResponse:
    row = _ec2_find(caller, user, access)
    return answer("credential", render.ec2_credential(request, row, verbs.secret_of(row)))


def _ec2_delete(request: HttpRequest, caller: Caller, user: str, access: str) -> HttpResponse:
    row = _ec2_find(caller, user, access)
    verbs.delete_access_key(replace(caller.ctx, project=row.project), row.id)
    return nothing()


# --- /v3/credentials: the same rows under an id that is the digest of the access key's


def _blob_id(row: AccessKey) -> str:
    return hashlib.sha256(row.id.encode()).hexdigest()


def _blob(request: HttpRequest, row: AccessKey) -> dict[str, Any]:
    return {
        "id": _blob_id(row),
        "type": "ec2",
        "user_id": row.user_id.hex,
        "project_id": row.project_id.hex,
        "blob": json.dumps({"access": row.id, "secret": verbs.secret_of(row)}),
        "links": {"self": links.to(request, "credentials", _blob_id(row))},
    }


def _blobs(request: HttpRequest, caller: Caller) -> HttpResponse:
    rows = _keys(caller, caller.ctx.needed_user)
    if request.GET.get("type", "ec2") != "ec2" or ((user := request.GET.get("user_id")) and not is_self(caller, user)):
        rows = []
    return JsonResponse(render.listing(request, "credentials", [_blob(request, row) for row in rows]))


def _blob_create(request: HttpRequest, caller: Caller) -> HttpResponse:
    """The pair is made here: an access key that a client thought of could be somebody else's."""
    body = body_of(request).needed_object("credential")
    if body.needed_text("type") != "ec2":
        raise NotSupported("Only credentials of the type ec2 are kept here.")
    if (user := body.text("user_id", length_max=64)) and id_of(user) != caller.ctx.needed_user.id:
        raise Forbidden("Credentials are seen and made by their own user only.")
    row, _ = verbs.create_access_key(_project_context(caller, body.text("project_id", length_max=64)), name="EC2 credentials")
    return answer("credential", _blob(request, row), status=201)


def _blob_find(caller: Caller, id: str) -> AccessKey:
    row = next((row for row in _keys(caller, caller.ctx.needed_user) if _blob_id(row) == id), None)
    if row is None:
        raise NotFound("You have no such credential.")
    return row


def _blob_show(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    return answer("credential", _blob(request, _blob_find(caller, id)))


def _blob_delete(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    row = _blob_find(caller, id)
    verbs.delete_access_key(replace(caller.ctx, project=row.project), row.id)
    return nothing()


# --- for services outside that speak S3 or EC2: whose signature is this?


def _s3_token(request: HttpRequest, caller: Caller) -> HttpResponse:
    """Only for who may look at users: an answer is a token of the key's user."""
    caller.ctx.require("users.manage")
    body = body_of(request)
    shown = body.object("credentials") or body.needed_object("ec2Credentials")
    key = verbs.signed_key(
        access=shown.needed_text("access", length_max=128),
        signature=shown.needed_text("signature", length_max=256),
        to_sign=shown.needed_text("token"),
    )
    scope = Scope(ScopeKind.PROJECT, key.project_id)
    text, standing = tokens.issue(key.user, methods=("ec2credential",), scope=scope)
    response = answer("token", render.token(request, standing, catalogue=True))
    response["X-Subject-Token"] = text
    return response


application_credentials = keystone.view(GET=_list, POST=_create)
application_credential = keystone.view(GET=_show, DELETE=_delete)
access_rules = keystone.view(GET=_access_rules)
ec2_credentials = keystone.view(GET=_ec2_list, POST=_ec2_create)
ec2_credential = keystone.view(GET=_ec2_show, DELETE=_ec2_delete)
blobs = keystone.view(GET=_blobs, POST=_blob_create)
blob = keystone.view(GET=_blob_show, DELETE=_blob_delete)
s3tokens = keystone.view(POST=_s3_token)
