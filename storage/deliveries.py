"""Events on their way to webhooks: taken over from the outbox, sent by the worker every second, tried again for a day.

A delivery is one POST with one record as S3 tells it, signed with the webhook's secret; any 2xx is good. The pauses between attempts
grow from a second to an hour. Events of one webhook leave in the order of their changes; one that is tried again does not hold up the
others, so who needs the order compares `sequencer` (of one key; longer or greater is later). After a day the delivery is dead and
waits for a person; see `webhooks.redeliver`.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import json
import logging
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction

from cloudbox.common import clock, events, outbound
from storage import notifications, vault
from storage.loading import visiting
from storage.models import EventDelivery, Webhook

log = logging.getLogger(__name__)
State = EventDelivery.State
PURPOSE = "webhooks"
PAUSES_SECONDS = (1, 5, 15, 60, 300, 900, 3600)
GIVE_UP = dt.timedelta(hours=24)
KEPT_DELIVERED, KEPT_DEAD = dt.timedelta(days=7), dt.timedelta(days=30)
LEASE = dt.timedelta(seconds=120)  # After a kill in the middle of a round, what it had claimed is due again.
TOGETHER = 8  # So many webhooks are posted to at once,
EACH = 50  # and each gets so many events in a round.
SWITCHED_OFF = "The webhook was switched off."


# --- taking over


@visiting
def accept(found: Sequence[tuple[UUID, dict[str, Any]]]) -> int:
    """Write deliveries for these events of the outbox; doing so again changes nothing. Returns how many are new."""
    owners = {event["owner"] for _, event in found}
    hooks = {(row.project_id.hex, row.name): row for row in Webhook.objects.filter(project_id__in=[UUID(hex=owner) for owner in owners])}
    now = clock.now()
    rows = []
    for id, event in found:
        for name, rule in event["to"]:
            hook = hooks.get((event["owner"], name))
            if hook is None:
                log.warning("an event of bucket %s was for the webhook %s, which is gone", event["bucket"], name)
                continue
            key = bytes.fromhex(event["name"]).decode("utf-8", "replace").replace("\0", "\ufffd")
            row = _row(hook, event["event"], {"Records": [notifications.record(event, rule)]}, now)
            row.event_id, row.bucket, row.key = id, event["bucket"], key
            rows.append(row)
    before = EventDelivery.objects.order_by("-id").values_list("id", flat=True).first() or 0
    EventDelivery.objects.bulk_create(rows, ignore_conflicts=True, batch_size=500)
    return EventDelivery.objects.filter(id__gt=before).count()


def _row(hook: Webhook, event: str, document: dict[str, Any], now: dt.datetime) -> EventDelivery:
    row = EventDelivery(webhook=hook, event=event, document=document, made_at=now, since=now, due_at=now)
    if not hook.is_enabled:
        row.state, row.said, row.ended_at = State.DEAD, SWITCHED_OFF, now
    return row


def add_test(hook: Webhook, bucket: str, owner: str) -> EventDelivery:
    """Have a test event sent, as S3 does when a rule is stored. `bucket` may be empty."""
    now = clock.now()
    document = {"Service": "Cloudbox", "Event": "s3:TestEvent", "Time": now.isoformat(), "Bucket": bucket, "Owner": owner}
    row = _row(hook, "s3:TestEvent", document, now)
    row.bucket = bucket
    row.save()
    return row


# --- sending


def deliver() -> int:
    """One round: everything that is due, as far as the limits go. Returns how many were delivered. Called by the worker's ticker."""
    claimed = _claim()
    if not claimed:
        return 0
    with ThreadPoolExecutor(min(TOGETHER, len(claimed)), thread_name_prefix="webhooks") as pool:
        return sum(pool.map(_send_in_thread, claimed.values()))


def _claim() -> dict[UUID, list[EventDelivery]]:
    """What is due, by webhook, the oldest first; nobody else sends it for as long as the lease lasts."""
    now = clock.now()
    waiting = EventDelivery.objects.filter(state=State.WAITING, due_at__lte=now)
    found: dict[UUID, list[EventDelivery]] = defaultdict(list)
    with transaction.atomic():
        hooks = list(waiting.order_by().values_list("webhook_id", flat=True).distinct()[: TOGETHER * 4])
        for hook in hooks:
            rows = waiting.filter(webhook_id=hook).select_for_update(skip_locked=True, of=("self",)).select_related("webhook")
            found[hook] = list(rows.order_by("id")[:EACH])
        ids = [row.id for rows in found.values() for row in rows]
        EventDelivery.objects.filter(id__in=ids).update(due_at=now + LEASE)
    return {hook: rows for hook, rows in found.items() if rows}


def _send_in_thread(rows: list[EventDelivery]) -> int:
    try:
        return _send_all(rows)
    finally:
        connection.close()


def _send_all(rows: list[EventDelivery]) -> int:
    """To one webhook, in order. When it cannot be reached, the others are not tried: they are due again with the first."""
    hook = rows[0].webhook
    allowed = outbound.networks(settings.WEBHOOK_NETWORKS)
    sent = 0
    for at, row in enumerate(rows):
        reached = _send(hook, row, allowed)
        sent += row.state == State.DELIVERED
        if not reached:
            _put_off(hook, rows[at + 1 :], row.due_at)
            break
    events.touch("webhook", hook.id, hook.project_id)
    return sent


def _send(hook: Webhook, row: EventDelivery, allowed: Sequence[outbound.Network]) -> bool:
    """One attempt, and what came of it written down; False if nobody answered."""
    body = json.dumps(row.document, separators=(",", ":")).encode()
    row.attempts += 1
    reached = False
    try:
        row.status = outbound.post(hook.url, body, headers(hook, row, body), allowed, trust=settings.WEBHOOK_CA)
        reached = row.status < 500 and row.status != 429
        row.said = "" if 200 <= row.status < 300 else f"It answered with {row.status}."
    except outbound.Refused as refused:
        row.status, row.said = None, str(refused)[:300]
    now = clock.now()
    if not row.said:
        row.state, row.ended_at = State.DELIVERED, now
    elif now - row.since >= GIVE_UP:
        row.state, row.ended_at = State.DEAD, now
    else:
        row.due_at = now + dt.timedelta(seconds=PAUSES_SECONDS[min(row.attempts, len(PAUSES_SECONDS)) - 1])
    row.save(update_fields=["attempts", "status", "said", "state", "ended_at", "due_at"])
    return reached


def _put_off(hook: Webhook, rows: Sequence[EventDelivery], due: dt.datetime) -> None:
    EventDelivery.objects.filter(id__in=[row.id for row in rows]).update(due_at=due)
    now = clock.now()
    # Those whose day is over while nobody answers need no attempt of their own.
    late = EventDelivery.objects.filter(webhook=hook, state=State.WAITING, since__lte=now - GIVE_UP)
    late.update(state=State.DEAD, ended_at=now, said="It could not be reached for a day.")


def headers(hook: Webhook, row: EventDelivery, body: bytes) -> dict[str, str]:
    """`X-Cloudbox-Signature` is `t=<seconds>,v1=<HMAC-SHA256 in hex of "<seconds>." and the body>`, by the webhook's secret."""
    at = str(int(clock.now().timestamp()))
    return {
        "Content-Type": "application/json",
        "User-Agent": "Cloudbox-Events/1",
        "X-Cloudbox-Event": row.event,
        "X-Cloudbox-Event-Id": str(row.event_id),
        "X-Cloudbox-Attempt": str(row.attempts),
        "X-Cloudbox-Signature": f"t={at},v1={signature(secret_of(hook), at, body)}",
    }


def signature(secret: str, at: str, body: bytes) -> str:
    return hmac.new(secret.encode(), at.encode() + b"." + body, hashlib.sha256).hexdigest()


def secret_of(hook: Webhook) -> str:
    return vault.open_sealed(PURPOSE, bytes(hook.sealed_secret), about=hook.id.bytes).decode()


def stop(hook: Webhook) -> None:
    """It was switched off: what waits for it is not sent."""
    EventDelivery.objects.filter(webhook=hook, state=State.WAITING).update(state=State.DEAD, said=SWITCHED_OFF, ended_at=clock.now())


def prune() -> int:
    """Forget old deliveries. Returns how many."""
    now = clock.now()
    old = EventDelivery.objects.filter(state=State.DELIVERED, ended_at__lt=now - KEPT_DELIVERED)
    dead = EventDelivery.objects.filter(state=State.DEAD, ended_at__lt=now - KEPT_DEAD)
    return old.delete()[0] + dead.delete()[0]


def again(rows: Any) -> int:
    """Have these deliveries (a queryset) sent again, with a day of attempts before them."""
    now = clock.now()
    return int(rows.exclude(state=State.WAITING).update(state=State.WAITING, since=now, due_at=now, ended_at=None, attempts=0))
