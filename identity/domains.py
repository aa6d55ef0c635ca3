"""Domains: namespaces of users and projects, as OpenStack has them. Every box has `default`; few need another."""

from __future__ import annotations

from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from cloudbox.common import events
from cloudbox.common.errors import AlreadyExists, Conflict, NotFound
from identity.context import Context
from identity.models import Domain, Project, User
from identity.names import clean_name, clean_text
from identity.projects import default_domain


def list(ctx: Context, *, name: str = "") -> QuerySet[Domain]:
    ctx.require("users.list")
    default_domain()
    rows = Domain.objects.order_by("name")
    return rows.filter(name__iexact=name) if name else rows


def get(ctx: Context, id: UUID) -> Domain:
    """Administrators see all, everybody their own."""
    default = default_domain()
    if ctx.user is not None and id != (ctx.user.domain_id or default.id):
        ctx.require("users.list")
    row = Domain.objects.filter(id=id).first()
    if row is None:
        raise NotFound("There is no such domain.")
    return row


def create(ctx: Context, *, name: str, description: str = "", is_enabled: bool = True) -> Domain:
    ctx.require("domains.manage")
    name = clean_name(name)
    if Domain.objects.filter(name__iexact=name).exists():
        raise AlreadyExists(f"There is a domain called {name}.", field="name")
    try:
        with transaction.atomic():
            row = Domain.objects.create(name=name, description=clean_text(description, field="description"), is_enabled=is_enabled)
            events.publish(ctx.actor, "create", "domain", row)
    except IntegrityError as error:
        raise AlreadyExists(f"There is a domain called {name}.", field="name") from error
    return row


def update(
    ctx: Context, domain: Domain, *, name: str | None = None, description: str | None = None, is_enabled: bool | None = None
) -> Domain:
    """A domain can be disabled when nobody in it can sign in any more: so it locks nobody out by surprise."""
    ctx.require("domains.manage")
    default = domain.id == default_domain().id
    if name is not None and name.lower() != domain.name.lower():
        if default:
            raise Conflict("The default domain keeps its name.")
        if Domain.objects.filter(name__iexact=name).exclude(id=domain.id).exists():
            raise AlreadyExists(f"There is a domain called {name}.", field="name")
        domain.name = clean_name(name)
    if description is not None:
        domain.description = clean_text(description, field="description")
    if is_enabled is False and domain.is_enabled:
        if default:
            raise Conflict("The default domain cannot be disabled: the box would lock everybody out.")
        if User.objects.filter(domain=domain, is_active=True).exists():
            raise Conflict("Users of this domain can still sign in. Suspend them first.")
    domain.is_enabled = domain.is_enabled if is_enabled is None else is_enabled
    with transaction.atomic():
        domain.save()
        events.publish(ctx.actor, "update", "domain", domain)
    return domain


def delete(ctx: Context, domain: Domain) -> None:
    """Only a disabled one without users and projects: nothing goes with it unseen."""
    ctx.require("domains.manage")
    if domain.is_enabled:
        raise Conflict("The domain is enabled. Disable it first.")
    if User.objects.filter(domain=domain).exists() or Project.objects.filter(domain=domain).exclude(status="deleted").exists():
        raise Conflict("There are users or projects in this domain. Delete them first.")
    with transaction.atomic():
        Project.objects.filter(domain=domain).update(domain=default_domain())
        events.publish(ctx.actor, "delete", "domain", domain)
        domain.delete()
