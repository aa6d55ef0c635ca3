"""Projects and domains."""

from __future__ import annotations

from dataclasses import replace

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from cloudbox.common.errors import Invalid, NotSupported
from cloudbox.common.fields import Fields, body_of
from identity import domains as domain_verbs
from identity import projects as verbs
from identity.api.keystone import render
from identity.api.keystone.base import Caller, answer, domain_at, flag, keystone, nothing, page, project_at
from identity.api.keystone.methods import domain_by_id
from identity.context import Context
from identity.models import Project


def _list(request: HttpRequest, caller: Caller) -> HttpResponse:
    rows: QuerySet[Project] = verbs.list(caller.ctx, all=True).select_related("domain")
    if name := request.GET.get("name"):
        rows = rows.filter(name__iexact=name)
    for key in ("domain_id", "parent_id"):
        if text := request.GET.get(key):
            domain = domain_by_id(text)
            rows = rows.filter(domain=domain) if domain else rows.none()
    if (enabled := flag(request, "enabled")) is not None:
        rows = rows.filter(status=Project.Status.ACTIVE) if enabled else rows.exclude(status=Project.Status.ACTIVE)
    if flag(request, "is_domain"):
        rows = rows.none()
    return page(request, "projects", [*rows], render.project)


def _create(request: HttpRequest, caller: Caller) -> HttpResponse:
    caller.ctx.require("projects.create")
    body = body_of(request).needed_object("project")
    if body.flag("is_domain"):
        raise NotSupported("A project is no domain here. Create a domain.")
    domain_id, parent_id = body.text("domain_id"), body.text("parent_id")
    if parent_id and domain_by_id(parent_id) is None:
        raise NotSupported("Projects have no projects below them here.")
    name = body.needed_text("name", length_max=64)
    domain = domain_at(domain_id or parent_id or "default")
    row = verbs.create(caller.ctx, name=name, slug=verbs.free_slug(name), description=body.text("description") or "", domain=domain)
    if body.flag("enabled") is False:
        verbs.suspend(caller.ctx, row)
    return answer("project", render.project(request, row), status=201)


def _show(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    return answer("project", render.project(request, project_at(caller, id)))


def _inside(caller: Caller, row: Project) -> Context:
    """The caller about that project: a role counts where it was given."""
    return replace(caller.ctx, project=row, role=caller.ctx.role if caller.ctx.project == row else None)


def _update(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    row = project_at(caller, id)
    ctx = _inside(caller, row)
    ctx.require("projects.update")
    body = body_of(request).needed_object("project")
    if (domain := body.text("domain_id")) and domain_by_id(domain) != row.domain:
        raise Invalid("A project stays in its domain.", field="project.domain_id")
    enabled = body.flag("enabled")
    name, description = body.text("name", length_max=64), body.text("description")
    if name is not None or description is not None:
        row = verbs.update(ctx, row, name=name, description=description)
    if enabled is not None and enabled != (row.status == Project.Status.ACTIVE):
        (verbs.resume if enabled else verbs.suspend)(ctx, row)
    return answer("project", render.project(request, row))


def _delete(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    caller.ctx.require("projects.delete")
    verbs.delete(caller.ctx, project_at(caller, id))
    return nothing()


def _tags(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    project_at(caller, id)
    return answer("tags", [])


def _list_domains(request: HttpRequest, caller: Caller) -> HttpResponse:
    rows = [*domain_verbs.list(caller.ctx)]
    if name := request.GET.get("name"):
        rows = [row for row in rows if render.domain_name(row).lower() == name.lower()]
    if (enabled := flag(request, "enabled")) is not None:
        rows = [row for row in rows if row.is_enabled == enabled]
    return page(request, "domains", rows, render.domain)


def _create_domain(request: HttpRequest, caller: Caller) -> HttpResponse:
    caller.ctx.require("domains.manage")
    body = body_of(request).needed_object("domain")
    row = domain_verbs.create(
        caller.ctx,
        name=body.needed_text("name", length_max=64),
        description=body.text("description") or "",
        is_enabled=body.flag("enabled") is not False,
    )
    return answer("domain", render.domain(request, row), status=201)


def _show_domain(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    if domain_by_id(id) is None:
        caller.ctx.require("users.list")
    return answer("domain", render.domain(request, domain_verbs.get(caller.ctx, domain_at(id).id)))


def _update_domain(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    caller.ctx.require("domains.manage")
    row, body = domain_at(id), body_of(request).needed_object("domain")
    row = domain_verbs.update(caller.ctx, row, name=_name(body), description=body.text("description"), is_enabled=body.flag("enabled"))
    return answer("domain", render.domain(request, row))


def _name(body: Fields) -> str | None:
    return body.text("name", length_max=64)


def _delete_domain(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    caller.ctx.require("domains.manage")
    domain_verbs.delete(caller.ctx, domain_at(id))
    return nothing()


projects = keystone.view(GET=_list, POST=_create)
project = keystone.view(GET=_show, PATCH=_update, DELETE=_delete)
tags = keystone.view(GET=_tags)
domains = keystone.view(GET=_list_domains, POST=_create_domain)
domain = keystone.view(GET=_show_domain, PATCH=_update_domain, DELETE=_delete_domain)
