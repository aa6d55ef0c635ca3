"""What identity's things look like in Keystone's JSON. Ids are 32 hexadecimal digits; the default domain's is `default`."""

from __future__ import annotations

import datetime as dt
from typing import Any
from uuid import UUID

from django.http import HttpRequest

from identity import projects, roles
from identity.api.keystone import links
from identity.api.keystone.methods import DEFAULT_DOMAIN_ID
from identity.models import AccessKey, ApiToken, Domain, Project, Role, User
from identity.roles import Assignment, NamedRole
from identity.token_format import ScopeKind, Token
from identity.tokens import Standing

Shape = dict[str, Any]


def moment(value: dt.datetime | None) -> str | None:
    """As Keystone writes times: microseconds and Z."""
    return None if value is None else value.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def domain_id(id: UUID | None) -> str:
    return DEFAULT_DOMAIN_ID if id is None or id == projects.default_domain().id else id.hex


def domain_ref(domain: Domain | None) -> Shape:
    return {"id": domain_id(domain.id if domain else None), "name": domain_name(domain)}


def domain_name(domain: Domain | None) -> str:
    return "Default" if domain is None or domain.name == "default" else domain.name


def domain(request: HttpRequest, row: Domain) -> Shape:
    id = domain_id(row.id)
    return {
        "id": id,
        "name": domain_name(row),
        "description": row.description,
        "enabled": row.is_enabled,
        "tags": [],
        "options": {},
        "links": {"self": links.to(request, "domains", id)},
    }


def user_ref(row: User) -> Shape:
    return {"id": row.id.hex, "name": row.login_name, "domain": domain_ref(row.domain), "password_expires_at": None}


def user(request: HttpRequest, row: User) -> Shape:
    shape = {
        "id": row.id.hex,
        "name": row.login_name,
        "domain_id": domain_id(row.domain_id),
        "enabled": row.is_active,
        "email": row.email,
        "description": row.description,
        "password_expires_at": None,
        "options": {},
        "links": {"self": links.to(request, "users", row.id)},
    }
    return shape | ({"default_project_id": row.default_project_id.hex} if row.default_project_id else {})


def project_ref(row: Project) -> Shape:
    return {"id": row.id.hex, "name": row.name, "domain": domain_ref(row.domain)}


def project(request: HttpRequest, row: Project) -> Shape:
    return {
        "id": row.id.hex,
        "name": row.name,
        "domain_id": domain_id(row.domain_id),
        "parent_id": domain_id(row.domain_id),
        "description": row.description,
        "enabled": row.status == Project.Status.ACTIVE,
        "is_domain": False,
        "tags": [],
        "options": {},
        "links": {"self": links.to(request, "projects", row.id)},
    }


def role(request: HttpRequest, row: NamedRole) -> Shape:
    return {
        "id": row.id.hex,
        "name": row.name,
        "domain_id": None,
        "description": row.description,
        "options": {"immutable": True} if row.is_own else {},
        "links": {"self": links.to(request, "roles", row.id)},
    }


def role_refs(names: list[str]) -> list[Shape]:
    own = [name for name in names if name in Role.values]
    custom = {name: id.hex for id, name in _custom_ids([name for name in names if name not in own])}
    return [
        {"id": roles.own(name).id.hex if name in own else custom[name], "name": name} for name in names if name in own or name in custom
    ]


def _custom_ids(names: list[str]) -> list[tuple[UUID, str]]:
    return [*roles.custom_ids(names)] if names else []


def token(request: HttpRequest, standing: Standing, *, catalogue: bool) -> Shape:
    about = standing.token
    shape: Shape = {
        "methods": list(about.methods),
        "user": user_ref(standing.user),
        "audit_ids": about.audit_ids,
        "issued_at": moment(about.issued_at),
        "expires_at": moment(about.expires_at),
    }
    if about.scope.kind == ScopeKind.UNSCOPED:
        return shape
    shape["roles"] = role_refs(standing.role_names)
    if standing.project is not None:
        shape |= {"project": project_ref(standing.project), "is_domain": False}
    elif standing.scope_domain is not None:
        shape["domain"] = domain_ref(standing.scope_domain)
    else:
        shape["system"] = {"all": True}
    if standing.credential is not None:
        row = standing.credential
        shape["application_credential"] = {"id": row.id.hex, "name": row.name, "restricted": not row.unrestricted}
    if catalogue:
        shape["catalog"] = links.catalogue(request, standing.project.id if standing.project else None)
    return shape


def receipt(about: Token, row: User) -> Shape:
    return {
        "methods": list(about.methods),
        "user": user_ref(row),
        "issued_at": moment(about.issued_at),
        "expires_at": moment(about.expires_at),
    }


def application_credential(request: HttpRequest, row: ApiToken) -> Shape:
    return {
        "id": row.id.hex,
        "name": row.name,
        "description": row.description,
        "project_id": row.project_id.hex,
        "user_id": row.user_id.hex,
        "roles": [{"domain_id": None, **each} for each in role_refs([*roles.INCLUDED[Role(row.role)]])],
        # Without a zone, unlike every other time of Keystone's: clients compare it as text.
        "expires_at": (moment(row.expires_at) or "").removesuffix("Z") or None,
        "unrestricted": row.unrestricted,
        "system": None,
        "links": {"self": links.to(request, "users", row.user_id, "application_credentials", row.id)},
    }


def ec2_credential(request: HttpRequest, row: AccessKey, secret: str) -> Shape:
    return {
        "access": row.id,
        "secret": secret,
        "user_id": row.user_id.hex,
        "tenant_id": row.project_id.hex,
        "trust_id": None,
        "links": {"self": links.to(request, "users", row.user_id, "credentials", "OS-EC2", row.id)},
    }


def assignment(request: HttpRequest, row: Assignment, *, names: bool) -> Shape:
    granted = ["projects", row.project.id] if row.project else ["system"]
    shape: Shape = {
        "user": user_ref(row.user) if names else {"id": row.user.id.hex},
        "role": {"id": row.role.id.hex, **({"name": row.role.name} if names else {})},
        "links": {"assignment": links.to(request, *granted, "users", row.user.id, "roles", row.role.id)},
    }
    if names:
        shape["user"].pop("password_expires_at")
    if row.project is None:
        shape["scope"] = {"system": {"all": True}}
    else:
        shape["scope"] = {"project": project_ref(row.project) if names else {"id": row.project.id.hex}}
    return shape


def listing(request: HttpRequest, name: str, rows: list[Shape], *, following: str | None = None) -> Shape:
    return {name: rows, "links": {"self": f"{links.site(request)}{request.get_full_path()}", "previous": None, "next": following}}
