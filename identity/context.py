"""Who asks, in which project, through which door: the first argument of every verb."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from cloudbox.common import events
from cloudbox.common.errors import Conflict, Forbidden
from cloudbox.common.events import Actor
from cloudbox.common.models import Event
from identity import policy
from identity.models import BoxRole, Project, User


@dataclass(frozen=True, kw_only=True)
class Context:
    user: User | None
    project: Project | None = None
    role: str | None = None
    box_role: str = ""
    api: str = "system"
    address: str | None = None
    request_id: str = ""
    session_key: str = ""
    # Signed in with an application credential that may not make or revoke credentials.
    restricted: bool = False

    @property
    def actor(self) -> Actor:
        name = self.user.email if self.user else "Cloudbox"
        return Actor(id=self.user.id if self.user else None, name=name, api=self.api, address=self.address, request_id=self.request_id)

    @property
    def project_id(self) -> UUID:
        """The id of the project that the request is about. A verb of a project is never called without one."""
        return self.needed_project.id

    @property
    def needed_project(self) -> Project:
        assert self.project is not None, "this verb needs a project"
        return self.project

    @property
    def needed_user(self) -> User:
        """The person who asks. The box itself never calls a verb that needs one."""
        assert self.user is not None, "this verb needs a user"
        return self.user

    def may(self, action: str) -> bool:
        return not self.why_not(action)

    def why_not(self, action: str) -> str:
        """Empty when the action is allowed, else the sentence that says why not."""
        if not policy.allows(action, role=self.role, box_role=self.box_role):
            if self.box_role == BoxRole.SUPPORT:
                return "Your role may look only."
            who = policy.least_name(action)
            return f"This needs the role {who}; yours is {self.role or 'none'}. Ask an admin of the project."
        if self.project and self.project.status == Project.Status.SUSPENDED and policy.changes(action):
            return f"The project {self.project.name} is suspended. Ask your provider to resume it."
        return ""

    def require(self, action: str) -> None:
        """Go on, or Forbidden (a suspended project: Conflict), with an audit row of the refusal."""
        reason = self.why_not(action)
        if not reason:
            return
        noun = action.split(".")[0]
        project_id = self.project.id if self.project else None
        events.publish(self.actor, action.split(".")[1], noun, project_id=project_id, outcome=Event.Outcome.REFUSED, detail=reason)
        if policy.allows(action, role=self.role, box_role=self.box_role):
            raise Conflict(reason)
        raise Forbidden(reason)


SYSTEM = Context(user=None, box_role=BoxRole.ADMIN)
