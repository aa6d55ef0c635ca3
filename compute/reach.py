"""For who looks after the box and names a thing of any project by its id: the same question, asked in the thing's own project."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from compute.models import FloatingIp, Network, Port, Router, SecurityGroup
from identity.context import Context
from identity.models import BoxRole, Project

_MODELS = (Network, Port, Router, FloatingIp, SecurityGroup)


def to_project(ctx: Context, id: UUID) -> Context:
    """An administrator's, turned to this project; of anybody else, and if there is no such project, as it was."""
    if ctx.box_role != BoxRole.ADMIN or id == ctx.project_id:
        return ctx
    found = Project.objects.filter(id=id).exclude(status=Project.Status.DELETED).first()
    return replace(ctx, project=found) if found is not None else ctx


def to_owner(ctx: Context, id: UUID) -> Context:
    """As `to_project`, of the project that owns the network, subnet, port, router, floating IP or security group with this id."""
    if ctx.box_role != BoxRole.ADMIN:
        return ctx
    for model in _MODELS:
        owner = model.objects.filter(id=id).values_list("project_id", flat=True).first()  # type: ignore[attr-defined]
        if owner is not None:
            return to_project(ctx, owner)
    owner = Network.objects.filter(subnet_id=id).values_list("project_id", flat=True).first()
    return to_project(ctx, owner) if owner is not None else ctx
