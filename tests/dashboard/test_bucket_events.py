"""The Events tab of a bucket: rules, webhooks, what was sent; and that a reader changes nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client

from storage import configurations, webhooks
from storage.models import Bucket, EventDelivery, Webhook
from tests.world import World

Browse = Callable[..., Client]
WHERE = "/p/shop/buckets/media/events"
RULE = {"form": "rule", "webhook": "thumbs", "prefix": "in/", "suffix": ".jpg", "id": "", "created": "on", "removed": "on"}


def _said(response: Any) -> str:
    text = re.sub(r"<[^>]+>", " ", response.content.decode())
    return re.sub(r"\s+", " ", text).replace("&#x27;", "'").replace("&quot;", '"')


@pytest.fixture
def media(world: World) -> Bucket:
    return configurations.create(world.ctx("owner"), name="media")


@pytest.fixture
def hook(world: World, media: Bucket) -> Webhook:
    return webhooks.create(world.ctx("owner"), name="thumbs", url="https://hooks.example.org/in")[0]


def test_a_webhook_is_made_with_its_secret_shown_once(browse: Browse, media: Bucket) -> None:
    client = browse("member")
    assert "Make a webhook first." in client.get(WHERE).content.decode()
    bad = client.post(WHERE, {"form": "hook", "name": "thumbs", "url": "hooks"})
    assert (bad.status_code, 'value="hooks"' in bad.content.decode()) == (400, True)
    made = client.post(WHERE, {"form": "hook", "name": "thumbs", "url": "https://hooks.example.org/in"})
    assert made["Cache-Control"] == "no-store"
    assert made.context["made"][1] in made.content.decode()
    assert made.context["made"][1] not in client.get(WHERE).content.decode()


def test_rules_come_and_go(browse: Browse, media: Bucket, hook: Webhook) -> None:
    client = browse("member")
    assert client.post(WHERE, RULE).status_code == 302
    page = client.get(WHERE)
    assert "When an object below in/ whose name ends with .jpg is written or is deleted." in _said(page)
    (rule,) = page.context["rules"]
    assert client.post(WHERE, {**RULE, "webhook": ""}).status_code == 400
    none = client.post(WHERE, {name: value for name, value in RULE.items() if value != "on"})
    assert "Choose at least one event." in _said(none)
    assert browse("reader").post(WHERE, {"form": "remove", "id": rule["id"]}).status_code == 403
    assert client.post(WHERE, {"form": "remove", "id": "never-was"}).status_code == 400
    assert client.post(WHERE, {"form": "remove", "id": rule["id"]}).status_code == 302
    assert client.get(WHERE).context["rules"] == []


def test_test_switch_off_send_again_delete(browse: Browse, media: Bucket, hook: Webhook) -> None:
    client = browse("member")

    def act(do: str) -> Any:
        return client.post(WHERE, {"form": "act", "webhook": str(hook.id), "do": do})

    assert act("test").status_code == 302
    assert "s3:TestEvent" in _said(client.get(WHERE))
    assert act("disable").status_code == 302
    assert "The webhook was switched off." in _said(client.get(f"{WHERE}?state=dead"))
    assert act("test").status_code == 409
    assert act("enable").status_code == 302
    assert act("redeliver").status_code == 302
    row = EventDelivery.objects.get()
    assert row.state == "waiting"
    EventDelivery.objects.update(state="delivered")
    assert client.post(WHERE, {"form": "again", "webhook": str(hook.id), "event": str(row.event_id)}).status_code == 302
    assert client.post(WHERE, {"form": "again", "webhook": str(hook.id), "event": str(uuid4())}).status_code == 404
    assert act("explode").status_code == 400
    assert client.post(WHERE, RULE).status_code == 302
    assert act("delete").status_code == 409
    webhooks.set_rules(hook_owner(hook), media, [])
    assert browse("reader").post(WHERE, {"form": "act", "webhook": str(hook.id), "do": "delete"}).status_code == 403
    assert act("delete").status_code == 302
    assert not Webhook.objects.exists()


def hook_owner(hook: Webhook) -> Any:
    from identity.context import Context
    from identity.models import Membership

    member = Membership.objects.filter(project=hook.project, role="admin").select_related("user").first()
    assert member is not None
    return Context(user=member.user, project=hook.project, role="admin")
