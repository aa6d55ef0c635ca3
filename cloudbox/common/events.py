"""What happened: an audit row now, a live message on commit; and the hash chain over all rows.

Live messages carry ids, never data: receivers read the database. Losing one costs freshness, not truth.
"""

from __future__ import annotations

import asyncio
import atexit
import hashlib
import json
import logging
import os
import threading
from concurrent.futures import Future, wait
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from channels.layers import get_channel_layer
from django.db import connection, transaction
from django.db.models import Max

from cloudbox.common import clock
from cloudbox.common.models import Event

log = logging.getLogger(__name__)

SEAL_BATCH = 500
PENDING_MAX = 1000
_SEAL_LOCK = 0x5EA1  # any number: the advisory lock of the one sealer


@dataclass(frozen=True, kw_only=True)
class Actor:
    """Who acts, and through which door."""

    id: UUID | None = None
    name: str = "Cloudbox"
    api: str = "system"
    address: str | None = None
    request_id: str = ""


SYSTEM = Actor()


class Subject(Protocol):
    """Anything with an id can be the subject of an event."""

    @property
    def pk(self) -> Any: ...


def publish(
    actor: Actor,
    verb: str,
    noun: str,
    subject: Subject | None = None,
    *,
    project_id: UUID | None = None,
    detail: str = "",
    outcome: str = Event.Outcome.OK,
) -> Event:
    """Write the audit row in the present transaction, and tell the live channel once it commits."""
    key = getattr(subject, "pk", None)
    event = Event.objects.create(
        at=clock.now(),
        actor_id=actor.id,
        actor=actor.name[:254],
        project_id=project_id if project_id is not None else getattr(subject, "project_id", None),
        verb=verb,
        noun=noun,
        subject_id=key if isinstance(key, UUID) else None,
        subject=str(subject)[:255] if subject is not None else "",
        api=actor.api,
        address=actor.address,
        request_id=actor.request_id,
        outcome=outcome,
        detail=detail[:500],
    )
    transaction.on_commit(lambda: _announce(event), robust=True)
    return event


def touch(noun: str, subject_id: UUID, project_id: UUID) -> None:
    """Tell the live channel that a thing looks different, without an audit row (progress, a new thumbnail)."""
    message = {"type": "event", "id": None, "noun": noun, "verb": "touch", "subject": str(subject_id), "project": str(project_id)}
    transaction.on_commit(lambda: _send(message, project_id), robust=True)


def _announce(event: Event) -> None:
    message = {
        "type": "event",
        "id": event.id,
        "noun": event.noun,
        "verb": event.verb,
        "subject": str(event.subject_id) if event.subject_id else "",
        "project": str(event.project_id) if event.project_id else "",
    }
    _send(message, event.project_id)


def _send(message: dict[str, Any], project_id: UUID | None) -> None:
    groups = ["admin"] + ([f"project.{project_id.hex}"] if project_id else [])
    for group in groups:
        send_to(group, message)


class _Sender:
    """A thread with a loop of its own that speaks to the channel layer, so that no verb or job waits for Redis.

    A layer that is down costs freshness only; more than PENDING_MAX messages on their way are dropped.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = 0
        self._pending: set[Future[None]] = set()

    def send(self, group: str, message: dict[str, Any]) -> None:
        if len(self._pending) >= PENDING_MAX:
            log.warning("live message to %s was dropped: %s are waiting", group, PENDING_MAX)
            return
        future = asyncio.run_coroutine_threadsafe(self._deliver(group, message), self._running_loop())
        self._pending.add(future)
        future.add_done_callback(self._pending.discard)

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        """The loop of this process; a fork starts its own."""
        with self._lock:
            if self._loop is None or self._pid != os.getpid():
                self._loop, self._pid, self._pending = asyncio.new_event_loop(), os.getpid(), set()
                threading.Thread(target=self._loop.run_forever, name="live-messages", daemon=True).start()
                atexit.register(self.flush)
            return self._loop

    async def _deliver(self, group: str, message: dict[str, Any]) -> None:
        try:
            await get_channel_layer().group_send(group, message)
        except Exception:  # the message is a hint, and Redis may be restarting
            log.warning("live message to %s was lost", group, exc_info=True)

    def flush(self, seconds: float = 2.0) -> None:
        """Wait until what was sent is out; a command that ends at once would lose its last messages."""
        wait({*self._pending}, timeout=seconds)


_sender = _Sender()


def send_to(group: str, message: dict[str, Any]) -> None:
    """Send to a channel group, soon and without waiting. The message names its group, for who listens to several by one channel."""
    _sender.send(group, message | {"group": group})


def flush() -> None:
    """Wait until what this process has sent is out, two seconds at most."""
    _sender.flush()


def digest_of(event: Event, previous: str) -> str:
    """The seal of a row: SHA-256 over the digest before it and every field that a reader relies on."""
    fields = [
        event.chain,
        event.id,
        event.at.isoformat(),
        str(event.actor_id or ""),
        event.actor,
        str(event.project_id or ""),
        event.verb,
        event.noun,
        str(event.subject_id or ""),
        event.subject,
        event.api,
        event.address or "",
        event.request_id,
        event.outcome,
        event.detail,
    ]
    return hashlib.sha256(json.dumps([previous, *fields], ensure_ascii=False).encode()).hexdigest()


def seal() -> int:
    """Chain the rows that were committed since the last call; returns how many. One sealer at a time: the others return 0.

    Sealing after the commit, not in it, keeps every writer of the house from queueing for the end of the chain.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_SEAL_LOCK])
        if not cursor.fetchone()[0]:
            return 0
        rows = list(Event.objects.filter(chain=None).order_by("id")[:SEAL_BATCH])
        if not rows:
            return 0
        last = Event.objects.aggregate(Max("chain"))["chain__max"] or 0
        previous = Event.objects.get(chain=last).digest if last else ""
        for number, row in enumerate(rows, start=last + 1):
            row.chain = number
            row.digest = previous = digest_of(row, previous)
        Event.objects.bulk_update(rows, ["chain", "digest"])
        return len(rows)


@dataclass(frozen=True)
class ChainReport:
    """The verdict on the audit log: whether it is whole, how many rows were checked, and where it breaks."""

    ok: bool
    checked: int
    broken_at: int | None = None


def verify() -> ChainReport:
    """Walk the whole chain: a missing number, a changed field or a changed digest breaks it."""
    previous, expected = "", 1
    for row in Event.objects.exclude(chain=None).order_by("chain").iterator(chunk_size=2000):
        if row.chain != expected or row.digest != digest_of(row, previous):
            return ChainReport(ok=False, checked=expected - 1, broken_at=row.id)
        previous, expected = row.digest, expected + 1
    return ChainReport(ok=True, checked=expected - 1)
