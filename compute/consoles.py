"""Consoles: a single-use token of one minute opens one; the log and the last picture need only the right to look."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import secrets
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from django.conf import settings
from django.core.cache import cache
from django.db import transaction

from cloudbox.common import clock, events
from cloudbox.common.errors import Conflict, Invalid, NotFound, Unavailable
from compute import actions, instances
from compute.models import ConsoleToken, Instance
from identity.authn.session import context_of
from identity.context import Context

KINDS = ("serial", "vnc")
TOKEN_SECONDS = 60
LOG_BYTES_MAX = 1024 * 1024
HUB_SECONDS = 5
SCREENS_WATCHED_SECONDS = 20


@dataclass(frozen=True)
class Opened:
    """What the browser needs: the path of the WebSocket, good once, for a minute."""

    token: str
    path: str
    expires_at: dt.datetime


@dataclass(frozen=True)
class Grant:
    """A redeemed token: whose console, of what kind, and who holds it."""

    instance: Instance
    kind: str
    write: bool
    ctx: Context


def open(ctx: Context, instance_id: UUID, kind: str, *, write: bool = True) -> Opened:
    """A key to the console of a running instance. To only watch it takes no more than the right to read its log, which says the same."""
    ctx.require(_right(write=write))
    if kind not in KINDS:
        raise Invalid("A console is serial or vnc.", field="kind")
    if kind != "serial" and not write:
        raise Invalid("Only the serial line can be watched without typing: a screen is a talk of both sides.", field="write")
    instance = instances.get(ctx, instance_id)
    reason = actions.why_not(ctx, instance, "console" if write else "watch")
    if reason:
        raise Conflict(reason, resource=str(instance_id))
    assert ctx.user is not None
    token, expires = secrets.token_urlsafe(32), clock.now() + dt.timedelta(seconds=TOKEN_SECONDS)
    with transaction.atomic():
        ConsoleToken.objects.create(
            digest=_digest(token),
            instance=instance,
            user=ctx.user,
            session_key=ctx.session_key,
            kind=kind,
            write=write,
            expires_at=expires,
        )
        events.publish(ctx.actor, "open-console" if write else "watch-console", "instance", instance, detail=kind)
    return Opened(token=token, path=f"/console/{token}", expires_at=expires)


def _right(*, write: bool) -> str:
    return "instances.console" if write else "instances.watch"


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def redeem(token: str) -> Grant:
    """Use the token up. It is good once, within its minute, and only while its user may still open the console."""
    with transaction.atomic():
        rows = ConsoleToken.objects.select_for_update(of=("self",)).select_related("instance__project", "user")
        row = rows.filter(digest=_digest(token)).first()
        if row is None or row.expires_at < clock.now():
            raise NotFound("This link to a console has been used or is over a minute old. Open the console again.")
        row.delete()
    ctx = context_of(row.user, row.instance.project.slug, api="console", session_key=row.session_key)
    grant = Grant(instance=row.instance, kind=row.kind, write=row.write, ctx=ctx)
    check(grant)
    return grant


def check(grant: Grant) -> None:
    """Raise unless the holder may still have this console: signed in, a member with the right, the instance there."""
    from django.contrib.sessions.models import Session

    user, key = grant.ctx.user, grant.ctx.session_key
    assert user is not None
    user.refresh_from_db(fields=["is_active", "box_role"])
    if not user.is_active or (key and not Session.objects.filter(session_key=key, expire_date__gt=clock.now()).exists()):
        raise NotFound("You are signed out. Sign in and open the console again.")
    ctx = context_of(user, grant.instance.project.slug, api="console", session_key=key)
    ctx.require(_right(write=grant.write))
    instances.get(ctx, grant.instance.id)


def log(ctx: Context, instance_id: UUID, *, tail_bytes: int = 64 * 1024) -> str:
    """The end of all that the serial line ever said, across restarts, with a line at each start."""
    ctx.require("instances.log")
    instance = instances.get(ctx, instance_id)
    return _ask_hub({"instance": str(instance.id), "kind": "log", "bytes": min(tail_bytes, LOG_BYTES_MAX)}).decode("utf-8", "replace")


def _ask_hub(ask: dict[str, object]) -> bytes:
    """One question to the worker's console hub, and all that follows its answer; the log belongs to the machine, not to web processes."""
    try:
        with socket.socket(socket.AF_UNIX) as hub:
            hub.settimeout(HUB_SECONDS)
            hub.connect(str(settings.RUN_DIR / "console.sock"))
            hub.sendall(json.dumps(ask).encode() + b"\n")
            with hub.makefile("rb") as stream:
                answer = json.loads(stream.readline())
                return stream.read() if answer["ok"] else b""
    except (OSError, ValueError, KeyError) as error:
        raise Unavailable("The console service does not answer. It is started again by itself; try in a few seconds.") from error


def watch_screens(ctx: Context, ids: Iterable[UUID]) -> None:
    """Somebody looks at these pictures side by side: take them every few seconds for a while. Call again while they look."""
    ctx.require("instances.list")
    cache.set_many({screen_key(id): True for id in ids}, SCREENS_WATCHED_SECONDS)


def screen_key(id: UUID) -> str:
    """Where the cache says that the pictures of this instance are watched."""
    return f"screen-watched:{id}"


def screenshot(ctx: Context, instance_id: UUID) -> bytes | None:
    """The machine's last picture, at most a minute old, from the box's cache; None when there is none."""
    ctx.require("instances.list")
    path = Path(settings.HOME) / "screens" / f"{instances.get(ctx, instance_id).id}.png"
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
