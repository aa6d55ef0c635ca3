"""Reading the audit log."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from django.db.models import Max, Q, QuerySet, Subquery

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


def place() -> int:
    """Where the log stands: the number of its last sealed event.

    Whatever has a lower one could be read before this was called, since seals follow commits. Ids do not: they are given before.
    """
    return Event.objects.aggregate(last=Max("chain"))["last"] or 0


def latest(ctx: Context, count: int, *, all_projects: bool = False) -> tuple[Sequence[Event], int]:
    """The newest events, and where the log stood as they were read: one look at the tables."""
    stood = Event.objects.exclude(chain=None).order_by("-chain").values("chain")[:1]
    rows = [*list(ctx, all_projects=all_projects).annotate(stood=Subquery(stood))[:count]]
    return rows, (rows[0].stood or 0) if rows else 0  # type: ignore[attr-defined]


def since(ctx: Context, place: int, *, all_projects: bool = False) -> QuerySet[Event]:
    """What happened since the log stood there, newest first: events with a higher number, and those that have none yet."""
    return list(ctx, all_projects=all_projects).filter(Q(chain__gt=place) | Q(chain=None))


def verify(ctx: Context) -> ChainReport:
    """Check the seal of every row."""
    ctx.require("activity.all")
    return events.verify()
