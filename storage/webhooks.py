"""Webhooks: where a project's events are posted to. Verbs on the tables."""

from __future__ import annotations

import re
import secrets
import uuid
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Count, Max, Q, QuerySet

from cloudbox.common import events, outbound
from cloudbox.common.errors import AlreadyExists, Conflict, Invalid, NotFound, QuotaExceeded
from identity.context import Context
from storage import buckets, deliveries, notifications, vault
from storage.errors import NoSuchWebhook
from storage.models import Bucket, EventDelivery, Webhook

WEBHOOKS_MAX = 20  # Of a project.
SECRET_BYTES = 32
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
State = EventDelivery.State


def list_webhooks(ctx: Context) -> QuerySet[Webhook]:
    """By name, each with how many deliveries are `waiting_count` and `dead_count`, and when it last got one (`delivered_at`)."""
    ctx.require("buckets.list")
    counted = Webhook.objects.filter(project=ctx.project).annotate(
        waiting_count=Count("deliveries", filter=Q(deliveries__state=State.WAITING)),
        dead_count=Count("deliveries", filter=Q(deliveries__state=State.DEAD)),
        delivered_at=Max("deliveries__ended_at", filter=Q(deliveries__state=State.DELIVERED)),
    )
    return counted.order_by("name")


def get(ctx: Context, id: UUID) -> Webhook:
    """Raises NotFound."""
    hook = list_webhooks(ctx).filter(id=id).first()
    if hook is None:
        raise NotFound("There is no such webhook in this project.")
    return hook


def create(ctx: Context, *, name: str, url: str, secret: str = "") -> tuple[Webhook, str]:
    """A webhook, and the secret that its posts are signed with, which is shown this once. Without one it gets a good one."""
    ctx.require("buckets.manage")
    if not _NAME.fullmatch(name):
        raise Invalid("A webhook's name has 1 to 64 letters, digits, dots, hyphens or underscores.", field="name")
    outbound.parse(url)
    secret = _checked(secret) or secrets.token_urlsafe(SECRET_BYTES)
    if Webhook.objects.filter(project=ctx.project).count() >= WEBHOOKS_MAX:
        raise QuotaExceeded(f"A project has at most {WEBHOOKS_MAX} webhooks. Delete one first.")
    id = uuid.uuid4()
    try:
        with transaction.atomic():
            sealed = vault.seal(deliveries.PURPOSE, secret.encode(), about=id.bytes)
            hook = Webhook.objects.create(id=id, project=ctx.needed_project, name=name, url=url, sealed_secret=sealed)
            events.publish(ctx.actor, "create", "webhook", hook, project_id=ctx.project_id, detail=url)
    except IntegrityError as error:
        raise AlreadyExists(f"There is a webhook called {name} in this project.", field="name") from error
    return hook, secret


def _checked(secret: str) -> str:
    if secret and not 16 <= len(secret) <= 256:
        raise Invalid("A secret has 16 to 256 characters; leave it empty to be given a good one.", field="secret")
    return secret


def change(ctx: Context, id: UUID, *, url: str | None = None, is_enabled: bool | None = None, secret: str | None = None) -> Webhook:
    """Raises NotFound, Invalid. What waits goes to the new address; what waits while it is switched off is dead, and can be sent again."""
    ctx.require("buckets.manage")
    with transaction.atomic():
        hook = _locked(ctx, id)
        said = []
        if url is not None and url != hook.url:
            outbound.parse(url)
            hook.url = url
            said.append(url)
        if secret:
            hook.sealed_secret = vault.seal(deliveries.PURPOSE, _checked(secret).encode(), about=hook.id.bytes)
            said.append("a new secret")
        if is_enabled is not None and is_enabled != hook.is_enabled:
            hook.is_enabled = is_enabled
            said.append("switched on" if is_enabled else "switched off")
            if not is_enabled:
                deliveries.stop(hook)
        if said:
            hook.save()
            events.publish(ctx.actor, "configure", "webhook", hook, project_id=ctx.project_id, detail=", ".join(said))
    return hook


def delete(ctx: Context, id: UUID) -> None:
    """With its log. Raises Conflict while a bucket has a rule that names it."""
    ctx.require("buckets.manage")
    with transaction.atomic():
        hook = _locked(ctx, id)
        users = used_by(hook)
        if users:
            raise Conflict(f"Rules of {', '.join(users)} send events to it. Remove those first.")
        events.publish(ctx.actor, "delete", "webhook", hook, project_id=ctx.project_id, detail=hook.url)
        hook.delete()


def used_by(hook: Webhook) -> list[str]:
    """Names of the buckets whose rules name it."""
    rows = Bucket.objects.filter(project_id=hook.project_id, documents__has_key="notification").order_by("name")
    return [row.name for row in rows if any(rule["webhook"] == hook.name for rule in row.documents["notification"])]


def _locked(ctx: Context, id: UUID) -> Webhook:
    hook = Webhook.objects.select_for_update().filter(id=id, project=ctx.project).first()
    if hook is None:
        raise NotFound("There is no such webhook in this project.")
    return hook


# --- deliveries


def log_of(ctx: Context, *, webhook: UUID | None = None, bucket: str = "", state: str = "") -> QuerySet[EventDelivery]:
    """What was sent and is about to be, the newest first."""
    ctx.require("buckets.list")
    rows = EventDelivery.objects.filter(webhook__project=ctx.project).select_related("webhook").order_by("-id")
    rows = rows.filter(webhook_id=webhook) if webhook else rows
    rows = rows.filter(bucket=bucket) if bucket else rows
    return rows.filter(state=state) if state in State.values else rows


def delivery(ctx: Context, webhook: UUID, event: UUID) -> EventDelivery:
    """Raises NotFound."""
    row = log_of(ctx, webhook=webhook).filter(event_id=event).first()
    if row is None:
        raise NotFound("There is no such delivery; old ones are forgotten after a while.")
    return row


def send_test(ctx: Context, id: UUID, *, bucket: str = "") -> EventDelivery:
    """Have a test event sent to it; the log shows what came of it."""
    ctx.require("buckets.manage")
    hook = get(ctx, id)
    if not hook.is_enabled:
        raise Conflict("The webhook is switched off. Switch it on first.")
    return deliveries.add_test(hook, bucket, hook.project_id.hex)


def redeliver(ctx: Context, webhook: UUID, event: UUID) -> EventDelivery:
    """Send an event again, whatever came of it before. Raises NotFound, Conflict."""
    ctx.require("buckets.manage")
    row = delivery(ctx, webhook, event)
    _resend(row.webhook, EventDelivery.objects.filter(id=row.id))
    row.refresh_from_db()
    return row


def redeliver_dead(ctx: Context, id: UUID) -> int:
    """Send everything again that a webhook did not get. Returns how many events that are."""
    ctx.require("buckets.manage")
    hook = get(ctx, id)
    return _resend(hook, EventDelivery.objects.filter(webhook=hook, state=State.DEAD))


def _resend(hook: Webhook, rows: QuerySet[EventDelivery]) -> int:
    if not hook.is_enabled:
        raise Conflict("The webhook is switched off. Switch it on first.")
    count = deliveries.again(rows)
    events.touch("webhook", hook.id, hook.project_id)
    return count


# --- which events of a bucket go where


def rules_of(bucket: Bucket) -> list[dict[str, Any]]:
    """As the REST API and the forms have them: every field there."""
    return [{"prefix": "", "suffix": "", "kind": "topic"} | rule for rule in bucket.documents.get("notification") or []]


def set_rules(ctx: Context, bucket: Bucket, rules: Sequence[Mapping[str, Any]]) -> Bucket:
    """All rules of a bucket; none take the configuration away. Each webhook that a bucket had no rule for gets a test event."""
    ctx.require("buckets.manage")
    return buckets.change(ctx, bucket, editing(rules))


def editing(rules: Sequence[Mapping[str, Any]]) -> Any:
    """The same as an edit of the bucket's row. Raises EventUnknown, NoSuchWebhook, MalformedDocument."""
    kept = [{**rule, "id": rule.get("id") or notifications.new_id()} for rule in rules]

    def edit(row: Bucket) -> str:
        hooks = {hook.name: hook for hook in Webhook.objects.select_for_update().filter(project_id=row.project_id)}
        for rule in kept:
            if rule["webhook"] not in hooks:
                raise NoSuchWebhook(
                    f"There is no webhook called {rule['webhook']} in the bucket's project. Make it first.", field="webhook"
                )
        said = buckets.putting("notification", kept) if kept else buckets.removing("notification")
        known = {rule["webhook"] for rule in row.documents.get("notification") or []}
        detail = said(row)
        for name in {rule["webhook"] for rule in kept} - known:
            deliveries.add_test(hooks[name], row.name, row.project_id.hex)
        return detail

    return edit
