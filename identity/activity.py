"""Reading the audit log."""

from __future__ import annotations

from uuid import UUID

from django.db.models import Q, QuerySet

from cloudbox.common import events
from cloudbox.common.events import ChainReport
from cloudbox.common.models import Event
from identity.context import Context


def list(
    ctx: Context,
    *,
    subject_id: UUID | None = None,
    q: str = "",
    verb: str = "",
    actor: str = "",
    outcome: str = "",
    api: str = "",
    all_projects: bool = False,
) -> QuerySet[Event]:
    """What happened in the project, newest first; with `all_projects`, in the whole box."""
    ctx.require("activity.all" if all_projects else "activity.list")
    rows = Event.objects.order_by("-id")
    if not all_projects:
        rows = rows.filter(project_id=ctx.project_id)
    if subject_id is not None:
        rows = rows.filter(subject_id=subject_id)
    if q:
        rows = rows.filter(Q(subject__icontains=q) | Q(actor__icontains=q) | Q(detail__icontains=q) | Q(request_id=q))
    exact = {"verb": verb, "outcome": outcome, "api": api}
    rows = rows.filter(**{name: value for name, value in exact.items() if value})
    return rows.filter(actor__iexact=actor) if actor else rows


def verify(ctx: Context) -> ChainReport:
    """Check the seal of every row."""
    ctx.require("activity.all")
    return events.verify()
