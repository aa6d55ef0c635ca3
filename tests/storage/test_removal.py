"""Emptying, deleting and previewing buckets on a running data plane: what goes, what a lock keeps, and what is said."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from cloudbox.common.errors import Forbidden
from storage import buckets, clients, configurations, policy_drafts, previews, removal, simulator
from storage.errors import BucketNotEmpty, NoSuchBucket
from storage.models import Bucket
from storage.simulator import Question
from tests.storage.conftest import Cloud, cloud  # noqa: F401
from tests.world import work


@pytest.fixture
def shop(cloud: Cloud, settings: Any) -> Cloud:  # noqa: F811
    settings.STORE_URL = cloud.url
    return cloud


def _row(shop: Cloud, name: str) -> Bucket:
    return buckets.get(shop.me.ctx, name)


def test_everything_goes_and_then_the_bucket(shop: Cloud) -> None:
    """More than a page of objects, versions, delete markers and an unfinished upload; names that XML cannot carry are among them."""
    ctx = shop.me.ctx
    row = configurations.create(ctx, name="old-media", versioning=True)
    client = clients.of(ctx)
    for n in range(12):
        client.put("old-media", f"folder/{n}", b"x" * n)
    for name in ("a\x01b", "<b>&amp;", "snow ☃", "twice"):
        client.put("old-media", name, b"1")
    client.put("old-media", "twice", b"2")
    client.delete("old-media", "snow ☃")
    client.put_part("old-media", "half", client.create_upload("old-media", "half"), 1, b"y" * 10)
    with pytest.raises(BucketNotEmpty, match=r"old-media holds 15 objects\. Empty it first\."):
        removal.delete(ctx, row)
    removal.empty(ctx, row)
    work(row.id)
    found = removal.emptying(row)
    assert found is not None
    assert (found.under_way, found.deleted, found.kept, found.error) == (False, 18, 0, "")
    assert not client.list_versions("old-media").entries
    assert [*client.list_uploads("old-media")] == []
    removal.delete(ctx, row)
    with pytest.raises(NoSuchBucket):
        buckets.get(ctx, "old-media")


def test_a_page_that_ends_at_a_nul(shop: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it goes on is written down between two pages, whatever the name there holds; what is kept is not asked for again."""
    monkeypatch.setattr(removal, "DELETE_MAX", 2)
    ctx = shop.me.ctx
    row = configurations.create(ctx, name="odd", object_lock=True)
    client = clients.of(ctx)
    names = ["a\x00", "a\x00b", "a%00", "a\x01", "a\x7f ☃", "b%2F%"]
    for name in names:
        client.put("odd", name, b"1", headers={"x-amz-object-lock-legal-hold": "ON"} if name == "a\x00b" else {})
    removal.empty(ctx, row)
    work(row.id)
    found = removal.emptying(row)
    assert found is not None
    assert (found.under_way, found.deleted, found.kept, found.error) == (False, 5, 1, "")
    assert [one.key for one in client.list_versions("odd").entries] == ["a\x00b"]


def test_what_a_lock_keeps_stays_and_is_counted(shop: Cloud) -> None:
    ctx = shop.me.ctx
    row = configurations.create(ctx, name="ledger", object_lock=True)
    row = configurations.set_lock(ctx, row, {"mode": "COMPLIANCE", "days": 1})
    client = clients.of(ctx)
    client.put("ledger", "kept", b"1")
    row = configurations.set_lock(ctx, row, None)
    client.put("ledger", "free", b"2")
    removal.empty(ctx, row)
    work(row.id)
    found = removal.emptying(row)
    assert found is not None
    assert (found.deleted, found.kept) == (1, 1)
    assert [entry.key for entry in client.list_versions("ledger").entries] == ["kept"]
    with pytest.raises(BucketNotEmpty):
        removal.delete(ctx, row)


def test_a_container_of_the_project_alone_is_reached_as_well(shop: Cloud) -> None:
    ctx = shop.me.ctx
    row = buckets.create(ctx, name="Mein Ordner ☃", shared_name=False)
    clients.of(ctx).put(clients.s3_name(row), "a", b"1")
    removal.empty(ctx, row)
    work(row.id)
    removal.delete(ctx, _row(shop, "Mein Ordner ☃"))
    assert not Bucket.objects.filter(pk=row.pk).exists()


def test_a_preview_sees_ages_sizes_tags_and_versions(shop: Cloud) -> None:
    ctx = shop.me.ctx
    row = configurations.create(ctx, name="logs", versioning=True)
    client = clients.of(ctx)
    for name in ("app/1", "app/2", "keep/1"):
        client.put("logs", name, b"x" * 100)
    client.put_tags("logs", "app/2", {"keep": "no"})
    client.put("logs", "app/1", b"x" * 50)
    past = {"status": "Enabled", "date": "2020-01-01T00:00:00Z", "id": "old"}
    found = previews.lifecycle_preview(ctx, row, [{**past, "filter": {"prefix": "app/"}}])
    assert (found.seen, found.due, found.hidden, found.complete) == (4, 2, 2, True)
    assert [name for name, _ in found.first] == ["app/1", "app/2"]
    tagged = previews.lifecycle_preview(ctx, row, [{**past, "filter": {"tags": [["keep", "no"]]}}])
    assert [name for name, _ in tagged.first] == ["app/2"]
    large = previews.lifecycle_preview(ctx, row, [{**past, "filter": {"larger_than": 60}}])
    assert [name for name, _ in large.first] == ["app/2", "keep/1"]
    assert previews.lifecycle_preview(ctx, row, [{"status": "Enabled", "days": 1}]).due == 0


def test_the_simulator_says_what_the_data_plane_does(shop: Cloud) -> None:
    """The same question to both, for everybody, before and after a policy."""
    ctx = shop.me.ctx
    row = configurations.create(ctx, name="shared")
    clients.of(ctx).put("shared", "out/a", b"1")
    allow = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{shop.stranger.project.slug}:root"}}
    allow |= {"Action": "s3:GetObject", "Resource": "arn:aws:s3:::shared/out/*"}
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:DeleteObject", "Resource": "arn:aws:s3:::shared/*"}
    policy = json.dumps({"Statement": [allow, deny]})
    for text in ("", policy):
        row = configurations.set_policy(ctx, row, text)
        for person, question in (
            (shop.me, Question(kind="user", user=shop.me.user.email, key="out/a", secure=False)),
            (shop.reader, Question(kind="user", user=shop.reader.user.email, key="out/a", secure=False)),
            (shop.stranger, Question(kind="project", project=shop.stranger.project.slug, key="out/a", secure=False)),
        ):
            told = simulator.ask(ctx, row, question).allowed
            try:
                clients.of(person.ctx).head("shared", "out/a")
                done = True
            except Forbidden:
                done = False
            assert told is done, (text, question)
    denied = simulator.ask(ctx, row, Question(kind="user", user=shop.me.user.email, action="s3:DeleteObject", key="out/a"))
    assert denied.decision.denied is True
    with pytest.raises(Forbidden):
        clients.of(ctx).delete("shared", "out/a")


def test_the_simulator_looks_at_the_object(shop: Cloud) -> None:
    """Access control lists and tags as objects have them, asked of both for everybody; what cannot be seen is assumed, and said."""
    ctx = shop.me.ctx
    row = configurations.create(ctx, name="gallery")
    s3 = shop.client()
    s3.put_bucket_ownership_controls(Bucket="gallery", OwnershipControls={"Rules": [{"ObjectOwnership": "ObjectWriter"}]})
    s3.delete_public_access_block(Bucket="gallery")
    s3.put_bucket_acl(Bucket="gallery", ACL="public-read-write")
    s3.put_object(Bucket="gallery", Key="mine", Body=b"1")
    s3.put_object(Bucket="gallery", Key="shown", Body=b"1", ACL="public-read")
    s3.put_object(Bucket="gallery", Key="friends", Body=b"1", GrantRead=f"id={shop.stranger.project.id.hex}", Tagging="team=a")
    theirs = shop.client(shop.stranger)
    theirs.put_object(Bucket="gallery", Key="theirs", Body=b"1", ACL="bucket-owner-full-control")
    theirs.put_object(Bucket="gallery", Key="hidden", Body=b"1")
    allow = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::gallery/*"}
    allow |= {"Condition": {"StringEquals": {"s3:ExistingObjectTag/team": "a"}}}
    for policy in ("", json.dumps({"Statement": [allow]})):
        row = configurations.set_policy(ctx, _row(shop, "gallery"), policy)
        for key in ("mine", "shown", "friends", "theirs"):
            for person, question in (
                (shop.me, Question(kind="user", user=shop.me.user.email, key=key, secure=False)),
                (shop.stranger, Question(kind="project", project=shop.stranger.project.slug, key=key, secure=False)),
            ):
                found = simulator.ask(ctx, row, question)
                assert found.assumed == ()
                try:
                    clients.of(person.ctx).head("gallery", key)
                    done = True
                except Forbidden:
                    done = False
                assert found.allowed is done, (policy, question, found)
            anybody = simulator.ask(ctx, row, Question(key=key, secure=False)).allowed
            assert anybody is (key == "shown" or (key == "friends" and bool(policy))), (policy, key)
    acl = Question(kind="project", project=shop.stranger.project.slug, action="s3:PutObjectAcl", key="friends")
    assert not simulator.ask(ctx, row, acl).allowed
    assert simulator.ask(ctx, row, replace(acl, key="theirs")).allowed
    (told,) = simulator.ask(ctx, row, Question(key="hidden")).assumed
    assert told.startswith("you may not see its access control list; ")
    (told,) = simulator.ask(ctx, row, Question(key="never-was")).assumed
    assert told.startswith("there is no such object; ")
    assert simulator.ask(ctx, row, Question(key="mine", object_acl="public-read")).allowed


def test_tls_only_lets_the_box_itself_in(shop: Cloud) -> None:
    """Its pages and jobs reach the store on the same machine, without TLS; from elsewhere that is refused."""
    ctx = shop.me.ctx
    row = configurations.create(ctx, name="vault")
    row = configurations.set_policy(ctx, row, policy_drafts.added("", policy_drafts.statements("https-only", bucket="vault")))
    assert policy_drafts.told(policy_drafts.listed(configurations.policy_text(row))[0]) == (
        "Anybody may not do anything without TLS, from outside of the box."
    )
    clients.of(ctx).put("vault", "a", b"1")
    ask = Question(kind="user", user=shop.me.user.email, action="s3:PutObject", key="a")
    for secure, source, allowed in ((False, "203.0.113.5", False), (True, "203.0.113.5", True), (False, "127.0.0.1", True)):
        assert simulator.ask(ctx, row, replace(ask, secure=secure, source_ip=source)).allowed is allowed
    removal.empty(ctx, row)
    work(row.id)
    removal.delete(ctx, row)
