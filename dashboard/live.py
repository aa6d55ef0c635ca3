"""From an event to the fragments of a page that it changes.

Events carry ids; this reads the rows anew, for the person who looks, with the templates of the page itself. Every rendering checks
the person's right again, so whoever was taken out of a project sees nothing further.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib.sessions.backends.db import SessionStore
from django.template.loader import render_to_string

from cloudbox.common.errors import Invalid, NotFound, Unauthenticated
from compute import instances, metrics
from dashboard.portal import instance_rows
from identity import activity
from identity.authn.session import context_of
from identity.context import Context
from identity.models import User

PARTS = ("row", "detail", "page", "none")
IDS_MAX = 200
# Ids of events are given before commits: one that was committed late may be lower than the last one seen.
LATE = 50
ACTIVITY_LINES = 6
_SETTLED = {"running", "stopped", "paused", "suspended", "error"}


@dataclass(frozen=True, kw_only=True)
class Subscription:
    """What a page shows. `project` is a slug, empty in the admin console; `since` the last event it knows."""

    project: str
    part: str
    ids: frozenset[UUID] = frozenset()
    since: int | None = None
    metrics: UUID | None = None


@dataclass(frozen=True, kw_only=True)
class Opened:
    """The answer to a subscription: groups to listen to, what has changed since the page was made, the last event."""

    groups: frozenset[str]
    changed: dict[UUID, str]
    last: int


def parse(message: Any) -> Subscription:
    """A subscription as the page wrote it; Invalid when it is not one."""
    asked = message.get("subscribe") if isinstance(message, dict) else None
    if not isinstance(asked, dict):
        raise Invalid("Say what to subscribe to.")
    project, part, since, ids = asked.get("project", ""), asked.get("part", "none"), asked.get("since"), asked.get("ids", [])
    if not isinstance(project, str) or len(project) > 100 or part not in PARTS or not isinstance(ids, list) or len(ids) > IDS_MAX:
        raise Invalid("That subscription makes no sense.")
    if since is not None and (isinstance(since, bool) or not isinstance(since, int) or not 0 <= since < 2**62):
        raise Invalid("That subscription makes no sense.")
    wanted = asked.get("metrics")
    return Subscription(
        project=project, part=part, ids=frozenset(map(_uuid, ids)), since=since, metrics=_uuid(wanted) if wanted is not None else None
    )


def _uuid(text: Any) -> UUID:
    try:
        return UUID(str(text))
    except ValueError as error:
        raise Invalid("That is no id.") from error


def context(session_key: str, project: str) -> Context:
    """Who looks, as of now: the session must stand, the user be active, the project be theirs. Else Unauthenticated or NotFound."""
    from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
    from django.utils.crypto import constant_time_compare

    session = SessionStore(session_key)
    key = session.get(SESSION_KEY)
    user = User.objects.filter(pk=str(key), is_active=True).first() if key else None
    if user is None or not constant_time_compare(session.get(HASH_SESSION_KEY, ""), user.get_session_auth_hash()):
        raise Unauthenticated("You are signed out. Sign in again.")
    ctx = context_of(user, project or None, api="portal", session_key=session_key)
    if not project and not ctx.may("box.look"):
        raise NotFound("There is no such page.")
    return ctx


def open(session_key: str, asked: Subscription) -> Opened:
    """Check the right to look, and find what the page has missed."""
    ctx = context(session_key, asked.project)
    group = f"project.{ctx.project_id.hex}" if asked.project else "admin"
    groups = {group}
    if asked.metrics is not None:
        instances.get(ctx, asked.metrics)
        metrics.watch()
        groups.add(f"metrics.{asked.metrics.hex}")
    last = last_event(ctx)
    changed: dict[UUID, str] = {}
    if asked.since is not None and (last > asked.since):
        missed = activity.list(ctx, all_projects=not asked.project).filter(id__gt=max(0, asked.since - LATE), noun="instance")
        changed = {key: verb for key, verb in missed.order_by("id").values_list("subject_id", "verb") if key}
        changed = {key: verb for key, verb in changed.items() if key in asked.ids or verb == "launch"}
    return Opened(groups=frozenset(groups), changed=changed, last=last)


def last_event(ctx: Context) -> int:
    """The newest event that the person may see: where a page that is made now stands."""
    return activity.list(ctx, all_projects=ctx.project is None).values_list("id", flat=True).first() or 0


def render(session_key: str, asked: Subscription, changed: Mapping[UUID, str]) -> list[dict[str, Any]]:
    """The fragments of these instances, for this person, now. What is gone or was never theirs is only told as gone if they had it."""
    ctx = context(session_key, asked.project)
    if not changed or asked.part not in ("row", "detail"):
        return []
    wanted = instances.list(ctx, all_projects=not asked.project).filter(id__in=list(changed))
    found = {one.id: one for one in (instance_rows.lean(wanted) if asked.part == "row" else wanted)}
    gone = [{"id": f"{_prefix(asked)}{key}", "gone": True} for key in changed if key not in found and key in asked.ids]
    make = _rows if asked.part == "row" else _detail
    return gone + [fragment | _sentence(found[key], changed[key]) for key, fragment in make(ctx, asked, found.values())]


def _prefix(asked: Subscription) -> str:
    return "row-" if asked.part == "row" else "head-"


def _sentence(instance: Any, verb: str) -> dict[str, str]:
    """What is said aloud: that a thing has come to rest."""
    if verb in _SETTLED and verb == instance.status:
        return {"say": f"{instance.name} is {instance.get_status_display().lower()}"}
    return {}


def _rows(ctx: Context, asked: Subscription, found: Iterable[Any]) -> list[tuple[UUID, dict[str, Any]]]:
    made = []
    for row in instance_rows.rows(ctx, list(found)):
        base = f"/p/{row.instance.project.slug}"
        html = render_to_string("dashboard/portal/instances/_row.html", {"row": row, "i": row.instance, "base": base, "ctx": ctx})
        fragment = {"id": f"row-{row.instance.id}", "html": html, "fresh": row.instance.id not in asked.ids}
        made.append((row.instance.id, fragment))
    return made


def _detail(ctx: Context, asked: Subscription, found: Iterable[Any]) -> list[tuple[UUID, dict[str, Any]]]:
    made: list[tuple[UUID, dict[str, Any]]] = []
    for instance in found:
        if instance.id not in asked.ids:
            continue
        shown = {"base": f"/p/{instance.project.slug}", "ctx": ctx} | instance_rows.head(ctx, instance)
        shown["events"] = activity.list(ctx, subject_id=instance.id)[:ACTIVITY_LINES]
        for part in ("head", "props", "recent", "screen"):
            html = render_to_string(f"dashboard/portal/instances/_{part}.html", shown)
            made.append((instance.id, {"id": f"{part}-{instance.id}", "html": html}))
    return made


def with_ids(asked: Subscription, more: Iterable[UUID]) -> Subscription:
    """The page has got new rows."""
    return dataclasses.replace(asked, ids=asked.ids | frozenset(more))
