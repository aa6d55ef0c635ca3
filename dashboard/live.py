"""From an event to the fragments of a page that it changes.

Events carry ids; this reads the rows anew, for the person who looks, with the templates of the page itself. Every rendering checks
the person's right again, so whoever was taken out of a project sees nothing further.

A page knows its place in the log: the number of the last sealed event that it was told of. Seals are given in the order of commits
(ids are not), so what has a higher number or none yet is exactly what the page may have missed. `look` finds it; messages of the
channel layer only say that looking is worth while, and one that is lost costs seconds, never the truth.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from time import monotonic, sleep, thread_time
from typing import Any, ParamSpec, TypeVar
from uuid import UUID

from django.conf import settings
from django.contrib.sessions.backends.db import SessionStore
from django.db.models import Q
from django.template.loader import render_to_string

from cloudbox.common.errors import Invalid, NotFound, Unauthenticated
from compute import instances, metrics
from dashboard.admin import instance_rows as admin_rows
from dashboard.live_board import Board, Rendering
from dashboard.portal import instance_rows
from identity import activity
from identity.authn.session import context_of
from identity.context import Context
from identity.models import User

P = ParamSpec("P")
T = TypeVar("T")

# What a page shows: rows of instances, one instance, itself as a whole, how much is new in a log; or nothing that lives but samples.
PARTS = ("row", "detail", "page", "log", "none")
IDS_MAX = 200
MISSED_MAX = 400
NEWS_MAX = 1000
ACTIVITY_LINES = 6
# Stands for the page as a whole.
PAGE = UUID(int=0)
# Another release has other templates and scripts: its pages are loaded anew.
RELEASE = settings.BASE_DIR.name
# After a single question of monstrous cost the others do not wait for ever.
REST_SECONDS_MAX = 0.5
_rest_until = 0.0
_SETTLED = {"running", "stopped", "paused", "suspended", "error"}


@dataclass(frozen=True, kw_only=True)
class Subscription:
    """What a page shows. `project` is a slug, empty in the admin console; `since` its place in the log (of a log: its newest event).

    `moving` are those of the ids that it shows at work: how far they are is no event, so it is read again on coming back.
    """

    project: str
    part: str
    ids: frozenset[UUID] = frozenset()
    since: int | None = None
    moving: frozenset[UUID] = frozenset()
    metrics: UUID | None = None


@dataclass(frozen=True, kw_only=True)
class Mark:
    """Something that has changed: how, and when we heard of it (seconds of the monotonic clock)."""

    verb: str
    heard: float


@dataclass(frozen=True, kw_only=True)
class Missed:
    """What has changed since the page's place. `at` is its place when it has been told; `news` counts for a log.

    `too_much`: more than is worth telling one by one; the page is loaded anew.
    """

    changed: set[UUID]
    at: int
    news: int = 0
    too_much: bool = False


def parse(message: Any) -> Subscription:
    """A subscription as the page wrote it; Invalid when it is not one."""
    asked = message.get("subscribe") if isinstance(message, dict) else None
    if not isinstance(asked, dict):
        raise Invalid("Say what to subscribe to.")
    project, part, since = asked.get("project", ""), asked.get("part", "none"), asked.get("since")
    if not isinstance(project, str) or len(project) > 100 or "\0" in project or part not in PARTS:
        raise Invalid("That subscription makes no sense.")
    if since is not None and (isinstance(since, bool) or not isinstance(since, int) or not 0 <= since < 2**62):
        raise Invalid("That subscription makes no sense.")
    wanted = asked.get("metrics")
    ids = _uuids(asked.get("ids", []))
    return Subscription(
        project=project,
        part=part,
        ids=ids,
        since=since,
        moving=ids & _uuids(asked.get("moving", [])),
        metrics=_uuid(wanted) if wanted is not None else None,
    )


def _uuids(texts: Any) -> frozenset[UUID]:
    if not isinstance(texts, list) or len(texts) > IDS_MAX:
        raise Invalid(f"A page follows at most {IDS_MAX} things.")
    return frozenset(map(_uuid, texts))


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


def groups(session_key: str, asked: Subscription) -> frozenset[str]:
    """Check the right to look, and say which groups of the channel layer tell of it."""
    ctx = context(session_key, asked.project)
    found = {f"project.{ctx.project_id.hex}" if asked.project else "admin"}
    if asked.metrics is not None:
        instances.get(ctx, asked.metrics)
        found.add(f"metrics.{asked.metrics.hex}")
    return frozenset(found)


def _paced(function: Callable[P, T]) -> Callable[P, T]:
    """Rest as long as one has worked: however many tabs look on at a storm, half of the processor is for those who do something.

    Sockets take turns in one thread, each with one question at a time. The rest falls between two turns that follow at once, and what
    waits meanwhile is told together.
    """

    @functools.wraps(function)
    def paced(*args: P.args, **kwargs: P.kwargs) -> T:
        global _rest_until
        sleep(min(REST_SECONDS_MAX, max(0.0, _rest_until - monotonic())))
        began = thread_time()
        try:
            return function(*args, **kwargs)
        finally:
            _rest_until = monotonic() + thread_time() - began

    return paced


@_paced
def look(session_key: str, asked: Subscription, since: int | None, *, heard: Collection[int] = ()) -> Missed:
    """Check the right to look, and find what the page has missed since that place, but for the events that were `heard` of."""
    ctx = context(session_key, asked.project)
    if asked.metrics is not None:
        metrics.watch()
    at = activity.place()  # before the events are read: what comes in between is found twice, not never
    if asked.part == "log":
        new = activity.list(ctx, all_projects=not asked.project).filter(id__gt=asked.since or 0)
        news = new[:NEWS_MAX].count()
        return Missed(changed={PAGE} if news else set(), at=at, news=news)
    if since is None or asked.part == "none":
        return Missed(changed=set(), at=at)
    missed = activity.since(ctx, since, all_projects=not asked.project).exclude(id__in=[*heard])
    if asked.part == "page":
        return Missed(changed={PAGE} if missed.exists() else set(), at=at)
    mine = Q(subject_id__in=asked.ids) | Q(verb="launch") if asked.part == "row" else Q(subject_id__in=asked.ids)
    found = missed.filter(mine, noun="instance").order_by().values_list("subject_id", flat=True).distinct()[:MISSED_MAX]
    changed = {key for key in found if key}
    return Missed(changed=changed, at=at, too_much=len(changed) == MISSED_MAX)


@_paced
def render(session_key: str, asked: Subscription, changed: Mapping[UUID, Mark]) -> tuple[list[dict[str, Any]], set[UUID]]:
    """The fragments of these instances, for this person, now; and which of them are at work.

    What is gone or was never theirs is only told as gone if they had it.
    """
    ctx = context(session_key, asked.project)
    if not changed or asked.part not in ("row", "detail"):
        return [], set()
    wanted = {key: mark.heard for key, mark in changed.items() if asked.part == "row" or key in asked.ids}
    view = (asked.part, not asked.project, ctx.role, ctx.box_role)
    found = _board.take(view, wanted)
    if asked.project:  # whoever moved to another project since is read anew, and not found
        found = {key: made for key, made in found.items() if made.project_id == ctx.project_id}
    missing = wanted.keys() - found.keys()
    if missing:
        began = monotonic()
        made = _make(ctx, asked, missing, began)
        _board.put(view, made)
        found |= made
    prefix = "row-" if asked.part == "row" else "head-"
    fragments: list[dict[str, Any]] = [{"id": f"{prefix}{key}", "gone": True} for key in wanted if key not in found and key in asked.ids]
    for key, rendering in found.items():
        told = [{"id": id, "html": html, "fresh": key not in asked.ids} for id, html in rendering.fragments]
        told[0] |= _sentence(rendering, changed[key].verb)
        fragments += told
    return fragments, {key for key, rendering in found.items() if rendering.is_moving}


_board = Board()
# An instance, whether work is under way on it, and its fragments as (id, HTML).
_Made = tuple[Any, bool, tuple[tuple[str, str], ...]]


def _make(ctx: Context, asked: Subscription, ids: Collection[UUID], began: float) -> dict[UUID, Rendering]:
    rows = instances.list(ctx, all_projects=not asked.project).filter(id__in=list(ids))
    if asked.part == "detail":
        made = _details(ctx, rows)
    else:
        made = _rows(ctx, [*instance_rows.lean(rows)]) if asked.project else _admin_rows(ctx, [*rows])
    return {
        one.id: Rendering(
            began=began,
            project_id=one.project_id,
            name=one.name,
            status=one.status,
            word=one.get_status_display().lower(),
            is_moving=is_moving,
            fragments=fragments,
        )
        for one, is_moving, fragments in made
    }


def _sentence(made: Rendering, verb: str) -> dict[str, str]:
    """What is said aloud: that a thing has come to rest."""
    return {"say": f"{made.name} is {made.word}"} if verb in _SETTLED and verb == made.status else {}


def _rows(ctx: Context, found: list[Any]) -> Iterable[_Made]:
    for row in instance_rows.rows(ctx, found):
        one = row.instance
        shown = {"row": row, "i": one, "base": f"/p/{one.project.slug}", "ctx": ctx}
        html = render_to_string("dashboard/portal/instances/_row.html", shown)
        yield one, row.progress is not None, ((f"row-{one.id}", html),)


def _admin_rows(ctx: Context, found: list[Any]) -> Iterable[_Made]:
    for line in admin_rows.lines(ctx, found):
        html = render_to_string("dashboard/admin/instances/_row.html", {"line": line, "it": line.it, "ctx": ctx, "back": ""})
        yield line.it, line.progress is not None, ((f"row-{line.it.id}", html),)


def _details(ctx: Context, found: Iterable[Any]) -> Iterable[_Made]:
    for one in found:
        shown = {"base": f"/p/{one.project.slug}", "ctx": ctx} | instance_rows.head(ctx, one)
        shown["events"] = activity.list(ctx, subject_id=one.id)[:ACTIVITY_LINES]
        parts = ("head", "props", "recent", "screen")
        made = ((f"{part}-{one.id}", render_to_string(f"dashboard/portal/instances/_{part}.html", shown)) for part in parts)
        yield one, shown["progress"] is not None, tuple(made)


def with_ids(asked: Subscription, more: Iterable[UUID]) -> Subscription:
    """The page has got new rows."""
    return dataclasses.replace(asked, ids=asked.ids | frozenset(more))
