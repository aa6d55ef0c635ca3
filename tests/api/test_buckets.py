"""Buckets by the REST API: made, configured, judged, emptied; and what is refused in which words. Objects lie on a real data plane."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from cloudbox.common.errors import Unavailable
from cloudbox.common.models import Event
from storage import clients, removal
from tests.api.conftest import Api
from tests.fixtures import DEAD_STORE
from tests.world import World, work

Speak = Callable[..., Api]


def _policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [*statements]})


def _open(bucket: str, sid: str = "Open") -> dict[str, Any]:
    return {"Sid": sid, "Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"}


@pytest.fixture
def media(world: World, speak: Speak) -> Api:
    """The member, with a bucket called media."""
    member = speak("member")
    assert member.post("/buckets", {"name": "media"}).status_code == 201
    return member


def test_a_bucket_is_made_with_lists_off_and_found(media: Api, speak: Speak) -> None:
    answer = media.get("/buckets/media").json()
    assert answer["ownership"] == "enforced"
    assert answer["storage_class"] == "replicated-3"
    assert answer["is_public"] is False
    assert [one["name"] for one in speak("reader").get("/buckets").json()["items"]] == ["media"]
    assert media.post("/buckets", {"name": "media"}).json()["code"] == "already-exists"
    refused = media.post("/buckets", {"name": "Not Good"}).json()
    assert refused["field"] == "name"
    assert "lower-case" in refused["detail"]


def test_the_same_key_makes_one_bucket(speak: Speak, world: World) -> None:
    member = speak("member")
    first = member.post("/buckets", {"name": "twice"}, Idempotency_Key="one")
    again = member.post("/buckets", {"name": "twice"}, Idempotency_Key="one")
    assert first.status_code == again.status_code == 201
    assert first.json() == again.json()


def test_settings_change_together_or_not_at_all(media: Api) -> None:
    """A bad part of a change leaves the good part undone as well."""
    wanted = {"versioning": "enabled", "quota_bytes": 1000, "tags": {"env": "prod"}, "encryption": {"algorithm": "aws:kms", "key": "none"}}
    assert media.patch("/buckets/media", wanted).status_code == 404
    assert media.get("/buckets/media").json()["versioning"] == "off"
    assert media.post("/encryption-keys", {"name": "none"}).status_code == 201
    changed = media.patch("/buckets/media", wanted).json()
    assert (changed["versioning"], changed["quota_bytes"], changed["tags"]) == ("enabled", 1000, {"env": "prod"})
    assert changed["encryption"] == {"algorithm": "aws:kms", "key": "none"}
    cleared = media.patch("/buckets/media", {"quota_bytes": None, "encryption": None, "tags": {}}).json()
    assert (cleared["quota_bytes"], cleared["encryption"], cleared["tags"], cleared["versioning"]) == (None, None, {}, "enabled")


def test_object_lock_needs_versions_and_stays(media: Api) -> None:
    retention = {"mode": "GOVERNANCE", "days": 3}
    assert media.patch("/buckets/media", {"object_lock": True}).status_code == 409
    assert media.patch("/buckets/media", {"default_retention": retention}).status_code == 409
    locked = media.patch("/buckets/media", {"versioning": "enabled", "object_lock": True, "default_retention": retention}).json()
    assert locked["object_lock"] is True
    assert locked["default_retention"]["days"] == 3
    assert media.patch("/buckets/media", {"object_lock": False}).status_code == 422
    assert media.patch("/buckets/media", {"versioning": "suspended"}).status_code == 409


def test_a_policy_is_checked_line_by_line(media: Api) -> None:
    good, bad = _open("media"), {**_open("media"), "Effect": "Perhaps"}
    text = json.dumps({"Version": "2012-10-17", "Statement": [good, bad]}, indent=2)
    found = media.post("/buckets/media/policy/check", {"policy": text}).json()
    line = 1 + text[: text.index('"Perhaps"')].count("\n")
    assert found["ok"] is False
    assert 0 < line - found["mistakes"][0]["line"] <= 3
    assert "Allow or Deny" in found["mistakes"][0]["sentence"]
    broken = media.post("/buckets/media/policy/check", {"policy": '{\n"Version": ,\n}'}).json()
    assert broken["mistakes"][0]["line"] == 2
    assert media.put("/buckets/media/policy", {"policy": text}).status_code == 422


def test_a_public_policy_and_its_block(media: Api) -> None:
    block = {"block_acls": False, "ignore_acls": False, "block_policy": True, "restrict": False}
    assert media.patch("/buckets/media", {"public_access_block": block}).json()["public_access_block"]["block_policy"] is True
    refused = media.put("/buckets/media/policy", {"policy": _policy(_open("media"))})
    assert refused.status_code == 403
    assert "blocks public policies" in refused.json()["detail"]
    assert media.patch("/buckets/media", {"public_access_block": {}}).status_code == 422
    media.patch("/buckets/media", {"public_access_block": block | {"block_policy": False}})
    kept = media.put("/buckets/media/policy", {"policy": _policy(_open("media"))}).json()
    assert kept["is_public"] is True
    assert kept["statements"] == ["Anybody may read."]
    assert media.get("/buckets/media").json()["is_public"] is True
    assert media.delete("/buckets/media/policy").status_code == 204


def test_the_simulator_names_its_reason(media: Api, world: World) -> None:
    def ask(**question: Any) -> Any:
        return media.post("/buckets/media/simulate", question).json()

    assert ask(kind="anonymous", key="a")["allowed"] is False
    media.put("/buckets/media/policy", {"policy": _policy(_open("media"))})
    opened = ask(kind="anonymous", key="a")
    assert opened["allowed"] is True
    assert opened["statement"] == "Open"
    assert ask(kind="user", user="reader@example.org", action="s3:PutObject", key="a")["allowed"] is False
    assert ask(kind="user", user="member@example.org", action="s3:PutObject", key="a")["allowed"] is True
    deny = {"Sid": "Tls", "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::media/*"}
    deny |= {"Condition": {"Bool": {"aws:SecureTransport": "false"}}}
    draft = _policy(_open("media"), deny)
    assert ask(kind="anonymous", key="a", secure=False, policy=draft)["denied"] is True
    assert ask(kind="anonymous", key="a", secure=True, policy=draft)["allowed"] is True
    # Of another project nothing is told that is not said by the bucket itself: one that is there answers as one that is not.
    there, nowhere = ask(kind="project", project="elsewhere", key="a"), ask(kind="project", project="nowhere", key="a")
    assert there["reason"] == nowhere["reason"]
    assert there["allowed"] is nowhere["allowed"] is True
    unknown = media.post("/buckets/media/simulate", {"kind": "user", "user": "stranger@example.org"})
    assert unknown.status_code == 422
    assert unknown.json()["field"] == "user"


def test_lifecycle_and_cors_come_back_as_they_were_set(media: Api) -> None:
    rules = [{"prefix": "logs/", "days": 30}, {"id": "old", "noncurrent_days": 7, "noncurrent_keep": 2, "tags": {"a": "b"}}]
    kept = media.put("/buckets/media/lifecycle", {"rules": rules}).json()
    assert [(one["prefix"], one["days"], one["noncurrent_keep"], one["tags"]) for one in kept] == [
        ("logs/", 30, None, {}),
        ("", None, 2, {"a": "b"}),
    ]
    assert kept[0]["sentence"] == "Objects below logs/ expire 30 days after they were written."
    assert media.put("/buckets/media/lifecycle", {"rules": [{"prefix": "x"}]}).status_code == 422
    cors = {"rules": [{"origins": ["https://a.example"], "methods": ["GET"], "max_age_seconds": 60}]}
    assert media.put("/buckets/media/cors", cors).json()[0]["max_age_seconds"] == 60
    assert media.put("/buckets/media/cors", {"rules": []}).json() == []
    assert media.get("/buckets/media/cors").json()["items"] == []


def test_keys_rotate_and_rest(media: Api) -> None:
    key = media.post("/encryption-keys", {"name": "invoices"}).json()
    assert media.post(f"/encryption-keys/{key['id']}/rotate", {}).json()["version"] == 2
    assert media.post(f"/encryption-keys/{key['id']}/disable", {}).json()["is_enabled"] is False
    assert media.post(f"/encryption-keys/{key['id']}/enable", {}).json()["is_enabled"] is True
    assert Event.objects.filter(noun="encryption-key").count() == 4


def test_without_a_store_its_absence_is_said(media: Api, settings: Any) -> None:
    settings.STORE_URL = ""
    assert media.delete("/buckets/media").status_code == 422
    settings.STORE_URL = DEAD_STORE
    assert media.delete("/buckets/media").status_code == 503


class Refusing:
    """A store whose one object is locked and whose other can go, in two pages."""

    def __init__(self) -> None:
        from cloudbox.common.object_client import Entry, Failure, Page

        self.pages = {"": Page([Entry("a", version="1"), Entry("b", version="1")], [], "b"), "b": Page([Entry("c", version="1")], [])}
        self.locked = Failure("a", "1", "AccessDenied", "locked")
        self.deleted: list[str] = []
        self.down = False

    def list_versions(self, bucket: str, *, after: str, after_version: str, limit: int) -> Any:
        if self.down:
            raise Unavailable("The object store does not answer. Try again in a moment.")
        return self.pages[after]

    def delete_many(self, bucket: str, wanted: list[tuple[str, str]]) -> list[Any]:
        self.deleted += [key for key, _ in wanted if key != "a"]
        return [self.locked] if ("a", "1") in wanted else []

    def list_uploads(self, bucket: str) -> list[Any]:
        return []


def test_emptying_counts_what_stays_and_can_be_cancelled(media: Api, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a job: page after page, with what a lock keeps counted; a cancelled one deletes nothing more."""
    store = Refusing()
    monkeypatch.setattr(clients, "of_service", lambda project_id: store)
    assert media.get("/buckets/media/emptying").json()["sentence"] == "It was never emptied."
    assert media.post("/buckets/media/emptying", {}).json()["under_way"] is True
    assert media.post("/buckets/media/emptying", {}).status_code == 409
    assert media.delete("/buckets/media").status_code == 409
    work()
    found = media.get("/buckets/media/emptying").json()
    assert (found["under_way"], found["deleted"], found["kept"], found["percent"]) == (False, 2, 1, 100)
    assert store.deleted == ["b", "c"]
    assert "1 stay" in found["sentence"]
    media.post("/buckets/media/emptying", {})
    assert media.delete("/buckets/media/emptying").status_code == 204
    work()
    assert store.deleted == ["b", "c"]
    assert media.get("/buckets/media/emptying").json()["cancelled"] is True
    assert media.delete("/buckets/media/emptying").status_code == 409


def test_emptying_says_why_it_broke_off(media: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Refusing()
    store.down = True
    monkeypatch.setattr(clients, "of_service", lambda project_id: store)
    media.post("/buckets/media/emptying", {})
    work()
    found = media.get("/buckets/media/emptying").json()
    assert found["under_way"] is False
    assert "does not answer" in found["sentence"]
    assert removal.NEVER.percent == 0
