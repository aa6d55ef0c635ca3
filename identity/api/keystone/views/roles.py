"""Roles, and who has which where."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest, HttpResponse, JsonResponse

from cloudbox.common.errors import Forbidden, NotFound
from cloudbox.common.fields import body_of
from identity import projects as project_verbs
from identity import roles as verbs
from identity.api.keystone import links, render
from identity.api.keystone.base import Caller, answer, domain_at, flag, keystone, need_id, nothing, page, project_at, user_at
from identity.api.keystone.methods import domain_by_id, id_of
from identity.models import BoxRole, Role, User
from identity.roles import Assignment, NamedRole


def _list(request: HttpRequest, caller: Caller) -> HttpResponse:
    rows = [] if request.GET.get("domain_id") else verbs.list(caller.ctx, name=request.GET.get("name", ""))
    return page(request, "roles", rows, render.role)


def _create(request: HttpRequest, caller: Caller) -> HttpResponse:
    caller.ctx.require("roles.manage")
    body = body_of(request).needed_object("role")
    row = verbs.create(caller.ctx, name=body.needed_text("name", length_max=64), description=body.text("description") or "")
    return answer("role", render.role(request, row), status=201)


def _show(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    return answer("role", render.role(request, verbs.get(caller.ctx, need_id(id, "role"))))


def _update(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    caller.ctx.require("roles.manage")
    body = body_of(request).needed_object("role")
    row = verbs.update(caller.ctx, need_id(id, "role"), name=body.text("name", length_max=64), description=body.text("description"))
    return answer("role", render.role(request, row))


def _delete(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    caller.ctx.require("roles.manage")
    verbs.delete(caller.ctx, need_id(id, "role"))
    return nothing()


def _brief(request: HttpRequest, role: NamedRole) -> dict[str, object]:
    return {"id": role.id.hex, "name": role.name, "links": {"self": links.to(request, "roles", role.id)}}


def _inference(request: HttpRequest, role: NamedRole) -> dict[str, object]:
    """Each of the house's own roles includes the next smaller one."""
    included = verbs.INCLUDED[Role(role.name)][1:2] if role.is_own else []
    return {"prior_role": _brief(request, role), "implies": [_brief(request, verbs.own(name)) for name in included]}


def _inferences(request: HttpRequest, caller: Caller) -> HttpResponse:
    caller.ctx.require("users.list")
    found = [_inference(request, role) for role in verbs.OWN]
    return answer("role_inferences", [each for each in found if each["implies"]])


def _implies(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    return answer("role_inference", _inference(request, verbs.get(caller.ctx, need_id(id, "role"))))


# --- assignments


def _assignments(request: HttpRequest, caller: Caller) -> HttpResponse:
    query = request.GET
    names, effective = bool(flag(request, "include_names")), bool(flag(request, "effective"))
    rows = [*verbs.assignments(caller.ctx, user=_id(request, "user.id"), project=_id(request, "scope.project.id"))]
    if "scope.system" in query:
        rows = [row for row in rows if row.project is None]
    if text := query.get("scope.domain.id"):
        # Of the domains only the default one has roles: they are those on the system, which were told as such.
        rows = [row for row in rows if row.project is None] if domain_by_id(text) == project_verbs.default_domain() else []
    if "group.id" in query or "scope.OS-INHERIT:inherited_to" in query:
        rows = []
    if effective:
        rows = [each for row in rows for each in _effective(row)]
    if text := query.get("role.id"):
        rows = [row for row in rows if row.role.id == id_of(text)]
    body = [render.assignment(request, row, names=names) for row in rows]
    return JsonResponse(render.listing(request, "role_assignments", body))


def _id(request: HttpRequest, name: str) -> UUID | None:
    text = request.GET.get(name)
    return (id_of(text) or UUID(int=0)) if text else None


def _effective(row: Assignment) -> list[Assignment]:
    if not row.role.is_own:
        return [row]
    return [Assignment(row.user, verbs.own(name), row.project) for name in verbs.INCLUDED[Role(row.role.name)]]


# --- grants: in a project, and on the system or the default domain, where they are roles of the box


def _project_roles(request: HttpRequest, caller: Caller, project: str, user: str) -> HttpResponse:
    row, about = project_at(caller, project), _user(user)
    found = verbs.assignments(caller.ctx, user=about.id, project=row.id)
    return page(request, "roles", [each.role for each in found], render.role)


def _user(text: str) -> User:
    id = id_of(text)
    row = User.objects.select_related("domain").filter(id=id).first() if id else None
    if row is None:
        raise NotFound("There is no such user.")
    return row


def _grant(request: HttpRequest, caller: Caller, project: str, user: str, role: str) -> HttpResponse:
    where, named = project_at(caller, project), verbs.get(caller.ctx, need_id(role, "role"))
    verbs.grant(caller.ctx, user=_user(user), project=where, role=named)
    return nothing()


def _check(request: HttpRequest, caller: Caller, project: str, user: str, role: str) -> HttpResponse:
    where, about, named = project_at(caller, project), _user(user), verbs.get(caller.ctx, need_id(role, "role"))
    next(iter(verbs.assignments(caller.ctx, user=about.id, project=where.id)), None)
    if not verbs.has(user=about, project=where, role=named):
        raise NotFound("The user does not have this role here.")
    return nothing()


def _withdraw(request: HttpRequest, caller: Caller, project: str, user: str, role: str) -> HttpResponse:
    where, named = project_at(caller, project), verbs.get(caller.ctx, need_id(role, "role"))
    verbs.withdraw(caller.ctx, user=_user(user), project=where, role=named)
    return nothing()


_BOX_ROLE = {"admin": BoxRole.ADMIN, "reader": BoxRole.SUPPORT}


def _box_role(caller: Caller, role: str, domain: str) -> BoxRole:
    if domain and domain_at(domain) != project_verbs.default_domain():
        raise Forbidden("Roles are given in projects, on the system, or on the default domain.")
    named = verbs.get(caller.ctx, need_id(role, "role"))
    if named.name not in _BOX_ROLE:
        raise Forbidden("On the system there are two roles: admin (administrators of the box) and reader (its support).")
    return _BOX_ROLE[named.name]


def _grant_box(request: HttpRequest, caller: Caller, user: str, role: str, domain: str = "") -> HttpResponse:
    caller.ctx.require("users.manage")
    about, wanted = user_at(caller, user), _box_role(caller, role, domain)
    if about.box_role != BoxRole.ADMIN:
        verbs.set_box_role(caller.ctx, about, wanted)
    return nothing()


def _check_box(request: HttpRequest, caller: Caller, user: str, role: str, domain: str = "") -> HttpResponse:
    about, wanted = user_at(caller, user), _box_role(caller, role, domain)
    if not about.box_role or (wanted == BoxRole.ADMIN and about.box_role != BoxRole.ADMIN):
        raise NotFound("The user does not have this role here.")
    return nothing()


def _withdraw_box(request: HttpRequest, caller: Caller, user: str, role: str, domain: str = "") -> HttpResponse:
    caller.ctx.require("users.manage")
    about, wanted = user_at(caller, user), _box_role(caller, role, domain)
    if about.box_role != wanted:
        raise NotFound("The user does not have this role here.")
    verbs.set_box_role(caller.ctx, about, "")
    return nothing()


def _box_roles(request: HttpRequest, caller: Caller, user: str, domain: str = "") -> HttpResponse:
    about = user_at(caller, user)
    here = not domain or domain_at(domain) == project_verbs.default_domain()
    rows = [verbs.own(verbs.of_box_role(about.box_role))] if about.box_role and here else []
    return page(request, "roles", rows, render.role)


roles = keystone.view(GET=_list, POST=_create)
role = keystone.view(GET=_show, PATCH=_update, DELETE=_delete)
inferences = keystone.view(GET=_inferences)
implies = keystone.view(GET=_implies)
assignments = keystone.view(GET=_assignments)
of_project = keystone.view(GET=_project_roles)
in_project = keystone.view(GET=_check, PUT=_grant, DELETE=_withdraw)
of_box = keystone.view(GET=_box_roles)
in_box = keystone.view(GET=_check_box, PUT=_grant_box, DELETE=_withdraw_box)
