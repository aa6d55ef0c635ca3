"""Projects that addresses name, as those of quotas do."""

from __future__ import annotations

from cloudbox.common.errors import Invalid
from compute.api.openstack.service import Caller
from identity.api.keystone.methods import id_of
from identity.models import Project


def project_of(caller: Caller, text: str) -> Project:
    """One's own, and any for who looks after the box. Services do not ask whether another is there; here it is said."""
    id = id_of(text)
    if id == caller.ctx.project_id:
        return caller.ctx.needed_project
    caller.ctx.require("projects.list_all")
    found = Project.objects.filter(id=id).first() if id else None
    if found is None:
        raise Invalid(f"There is no project {text[:64]}.")
    return found
