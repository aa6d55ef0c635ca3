"""From a signed-in browser to a Context."""

from __future__ import annotations

from django.http import HttpRequest

from cloudbox.common.errors import NotFound, Unauthenticated
from cloudbox.common.requests import client_address, request_id
from identity.context import Context
from identity.models import Membership, Project, User


def context_for(request: HttpRequest, project_slug: str | None = None, *, api: str = "portal") -> Context:
    """The context of a request; with a slug, in that project. A stranger's project is NotFound, like one that never was."""
    user = request.user
    if not isinstance(user, User) or not user.is_active:
        raise Unauthenticated("Sign in first.")
    return context_of(
        user,
        project_slug,
        api=api,
        address=client_address(request),
        request_id=request_id(request),
        session_key=request.session.session_key or "",
    )


def context_of(
    user: User,
    project_slug: str | None = None,
    *,
    api: str,
    address: str | None = None,
    request_id: str = "",
    session_key: str = "",
) -> Context:
    """The same from a user alone (WebSockets, command line)."""
    project, role = None, None
    if project_slug is not None:
        project = Project.objects.exclude(status=Project.Status.DELETED).filter(slug=project_slug).first()
        if project is not None:
            member = Membership.objects.filter(user=user, project=project).first()
            role = member.role if member else None
        if project is None or (role is None and not user.box_role):
            raise NotFound(f"There is no project {project_slug}.")
    return Context(
        user=user,
        project=project,
        role=role,
        box_role=user.box_role,
        api=api,
        address=address,
        request_id=request_id,
        session_key=session_key,
    )
