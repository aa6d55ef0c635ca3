"""Webhooks and the rules of buckets by the REST API. That events are sent is shown in tests/storage/test_events.py."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import pytest

from identity import credentials
from storage import deliveries
from storage.models import EventDelivery, Webhook
from tests.api.conftest import Api
from tests.world import World

Speak = Callable[..., Api]
HOOK = {"name": "thumbs", "url": "https://hooks.example.org/in"}


@pytest.fixture
def member(world: World, speak: Speak) -> Api:
    """A member with a bucket called media and a webhook called thumbs."""
    found = speak("member")
    assert found.post("/buckets", {"name": "media"}).status_code == 201
    assert found.post("/webhooks", HOOK).status_code == 201
    return found


def test_a_webhook_tells_its_secret_once(world: World, speak: Speak) -> None:
    member = speak("member")
    made = member.post("/webhooks", HOOK).json()
    assert deliveries.secret_of(Webhook.objects.get(id=made["id"])) == made["secret"]
    shown = member.get(f"/webhooks/{made['id']}").json()
    assert "secret" not in shown
    assert (shown["waiting"], shown["dead"], shown["delivered_at"]) == (0, 0, None)
    assert member.post("/webhooks", HOOK).json()["code"] == "already-exists"
    for url in ("ftp://a.example.org/", "http://u:p@a.example.org/", "nonsense"):
        assert member.post("/webhooks", {"name": "x", "url": url}).json()["field"] == "url"
    assert speak("reader").post("/webhooks", {**HOOK, "name": "y"}).status_code == 403


def test_the_rules_of_a_bucket(member: Api) -> None:
    rule = {"webhook": "thumbs", "events": ["ObjectCreated:*"], "prefix": "in/", "suffix": ".jpg"}
    (kept,) = member.put("/buckets/media/notifications", {"rules": [rule]}).json()
    assert kept["id"]
    assert kept["sentence"] == "When an object below in/ whose name ends with .jpg is written."
    assert member.get("/buckets/media/notifications").json()["items"] == [kept]
    assert [one["event"] for one in member.get("/deliveries?bucket=media").json()["items"]] == ["s3:TestEvent"]
    unknown = member.put("/buckets/media/notifications", {"rules": [rule | {"webhook": "nobody"}]})
    assert (unknown.status_code, "Make it first" in unknown.json()["detail"]) == (404, True)
    assert member.put("/buckets/media/notifications", {"rules": [rule | {"events": ["ObjectRestore:*"]}]}).status_code == 422
    hook = member.get("/webhooks").json()["items"][0]["id"]
    used = member.delete(f"/webhooks/{hook}")
    assert (used.status_code, "media" in used.json()["detail"]) == (409, True)
    assert member.put("/buckets/media/notifications", {"rules": []}).json() == []
    assert member.delete(f"/webhooks/{hook}").status_code == 204


def test_what_was_not_delivered_is_seen_and_sent_again(member: Api) -> None:
    hook = member.get("/webhooks").json()["items"][0]["id"]
    sent = member.post(f"/webhooks/{hook}/test", {})
    assert (sent.status_code, sent.json()["state"], sent.json()["due_at"] is not None) == (202, "waiting", True)
    assert member.patch(f"/webhooks/{hook}", {"is_enabled": False}).json()["dead"] == 1
    (dead,) = member.get("/deliveries?state=dead").json()["items"]
    assert dead["reason"] == deliveries.SWITCHED_OFF
    assert member.post(f"/webhooks/{hook}/deliveries/{dead['event_id']}/redeliver", {}).status_code == 409
    assert (
        member.patch(f"/webhooks/{hook}", {"is_enabled": True, "url": "https://other.example.org/"})
        .json()["url"]
        .startswith("https://other")
    )
    assert member.post(f"/webhooks/{hook}/redeliver", {}).json() == {"deliveries": 1}
    assert member.get(f"/webhooks/{hook}/deliveries/{dead['event_id']}").json()["document"]["Event"] == "s3:TestEvent"
    EventDelivery.objects.update(state="delivered")
    assert member.post(f"/webhooks/{hook}/deliveries/{dead['event_id']}/redeliver", {}).json()["state"] == "waiting"
    assert member.get(f"/deliveries?webhook={hook}&state=waiting").json()["items"][0]["attempts"] == 0


def test_another_projects_webhooks_are_not_there(member: Api, world: World) -> None:
    hook = member.get("/webhooks").json()["items"][0]["id"]
    row = member.post(f"/webhooks/{hook}/test", {}).json()["event_id"]
    other = Api(credentials.create_token(world.ctx("stranger", world.other), name="theirs", role="admin")[1], "elsewhere")
    assert other.get(f"/webhooks/{hook}").status_code == 404
    assert other.get(f"/webhooks/{hook}/deliveries/{row}").status_code == 404
    assert other.post(f"/webhooks/{hook}/deliveries/{row}/redeliver", {}).status_code == 404
    assert other.get("/deliveries").json()["items"] == []
    assert member.get(f"/webhooks/{uuid4()}").status_code == 404
    assert member.get(f"/webhooks/{hook}/deliveries/{uuid4()}").status_code == 404
