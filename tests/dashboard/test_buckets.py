"""The pages of buckets: what they do and refuse, that forms keep what was typed, and that a reader changes nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from cloudbox.common import clock
from cloudbox.common.models import Job
from storage import buckets, configurations, keys, removal
from storage.models import Bucket, BucketUsage, DriveOrder, StoreDrive
from tests.fixtures import DEAD_STORE
from tests.world import World

Browse = Callable[..., Client]
TABS = ("overview", "access", "versioning", "lifecycle", "events", "usage", "website", "settings")
QUERIES_MAX = 12


def _said(response: Any) -> str:
    text = re.sub(r"<[^>]+>", " ", response.content.decode())
    return re.sub(r"\s+", " ", text).replace("&#x27;", "'").replace("&quot;", '"')


def _row(name: str = "media") -> Bucket:
    return Bucket.objects.select_related("project").get(name=name)


@pytest.fixture
def media(world: World) -> Bucket:
    return configurations.create(world.ctx("owner"), name="media")


def test_a_bucket_is_made_with_what_the_form_says(browse: Browse, world: World) -> None:
    wanted = {"name": "first", "storage_class": "replicated-2", "versioning": "on", "object_lock": "", "encryption": "AES256", "key": ""}
    answer = browse("member").post("/p/shop/buckets/new", wanted)
    assert (answer.status_code, answer["Location"]) == (302, "/p/shop/buckets/first/overview")
    row = _row("first")
    assert (row.storage_class, row.versioning, row.ownership) == ("replicated-2", "enabled", "enforced")
    assert row.documents["encryption"]["algorithm"] == "AES256"
    bad = browse("member").post("/p/shop/buckets/new", {**wanted, "name": "Bad Name"})
    assert bad.status_code == 400
    assert 'value="Bad Name"' in bad.content.decode()
    assert "begins and ends with a letter or digit" in _said(bad)


def test_a_bucket_called_new_has_pages_of_its_own(browse: Browse, world: World) -> None:
    configurations.create(world.ctx("owner"), name="new")
    assert "Create a bucket" in _said(browse("member").get("/p/shop/buckets/new"))
    assert browse("member").get("/p/shop/buckets/new/overview").context["bucket"].name == "new"
    assert browse("member").get("/p/shop/buckets/never-was").status_code == 404


@pytest.mark.parametrize("tab", TABS)
def test_every_tab_asks_little_and_is_for_the_project_only(browse: Browse, media: Bucket, tab: str) -> None:
    for who in ("member", "reader", "support"):
        assert browse(who).get(f"/p/shop/buckets/media/{tab}").status_code == 200, who
    assert browse("stranger").get(f"/p/shop/buckets/media/{tab}").status_code == 404
    client = browse("member")
    client.get(f"/p/shop/buckets/media/{tab}")
    with CaptureQueriesContext(connection) as asked:
        client.get(f"/p/shop/buckets/media/{tab}")
    assert len(asked) <= QUERIES_MAX, [query["sql"][:100] for query in asked]


FORMS = (
    ("access", {"form": "block", "restrict": "on"}),
    ("access", {"form": "ownership", "ownership": "writer", "acl": "private"}),
    ("access", {"form": "wizard", "wish": "public-list", "prefix": "", "project": "", "addresses": ""}),
    ("versioning", {"form": "versioning", "versioning": "enabled"}),
    ("lifecycle", {"form": "add", "days": "3", **dict.fromkeys("id prefix tags larger_than smaller_than date".split(), "")}
        | dict.fromkeys("noncurrent_days noncurrent_keep abort_days".split(), "")),
    ("website", {"form": "website", "index": "index.html", "error": "", "redirect_host": ""}),
    ("website", {"form": "cors", "origins": "*", "headers": "", "exposed": "", "max_age_seconds": "", "GET": "on"}),
    ("settings", {"form": "encryption", "algorithm": "AES256", "key": ""}),
    ("settings", {"form": "quota", "quota_gib": "0.5", "quota_objects": "10"}),
    ("settings", {"form": "tags", "tags": "env=prod\nrole=web"}),
)  # fmt: skip


@pytest.mark.parametrize(("tab", "form"), FORMS, ids=lambda value: value if isinstance(value, str) else value["form"])
def test_a_form_changes_its_part_for_members_and_nothing_for_readers(browse: Browse, media: Bucket, tab: str, form: dict[str, str]) -> None:
    before = Bucket.objects.values().get(name="media")
    refused = browse("reader").post(f"/p/shop/buckets/media/{tab}", form)
    assert refused.status_code == 403, _said(refused)
    assert Bucket.objects.values().get(name="media") == before
    done = browse("member").post(f"/p/shop/buckets/media/{tab}", form)
    assert done.status_code == 302, _said(done)
    assert Bucket.objects.values().get(name="media") != before
    # A body that was cut off takes nothing away.
    now = Bucket.objects.values().get(name="media")
    if len(form) > 2 and form["form"] != "block":
        assert browse("member").post(f"/p/shop/buckets/media/{tab}", {"form": form["form"]}).status_code == 400
        assert Bucket.objects.values().get(name="media") == now


def test_the_wizard_adds_once_and_a_statement_is_taken_out(browse: Browse, media: Bucket) -> None:
    client, where = browse("member"), "/p/shop/buckets/media/access"
    wish = {"form": "wizard", "wish": "share-read", "prefix": "out/", "project": "elsewhere", "addresses": ""}
    for _ in range(2):
        assert client.post(where, wish).status_code == 302
    statements = json.loads(configurations.policy_text(_row()))["Statement"]
    assert [one["Sid"] for one in statements] == ["CloudboxListElsewhereBelowOut", "CloudboxShareElsewhereBelowOut"]
    assert "Project elsewhere may read below out/." in _said(client.get(where))
    assert client.post(where, {"form": "statement", "position": "0"}).status_code == 302
    assert client.post(where, {"form": "statement", "position": "7"}).status_code == 400
    assert client.post(where, {"form": "statement", "position": "0"}).status_code == 302
    assert configurations.policy_text(_row()) == ""
    bad = client.post(where, {**wish, "project": "Not A Slug!"})
    assert bad.status_code == 400
    assert "short name of a project" in _said(bad)


def test_a_bad_policy_is_kept_in_the_field_with_its_line(browse: Browse, media: Bucket) -> None:
    text = '{\n "Version": "2012-10-17",\n "Statement": [\n  {"Effect": "Perhaps"}\n ]\n}'
    answer = browse("member").post("/p/shop/buckets/media/access", {"form": "policy", "policy": text})
    assert answer.status_code == 400
    assert "Line 4: The Effect of a statement is Allow or Deny." in _said(answer)
    assert "Perhaps" in answer.content.decode()
    good = json.dumps({"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::media/*"}]})
    checked = browse("member").post("/p/shop/buckets/media/access", {"form": "policy", "policy": good, "check": "on"})
    assert "This policy can be stored." in _said(checked)
    assert configurations.policy_text(_row()) == ""
    assert browse("member").post("/p/shop/buckets/media/access", {"form": "policy", "policy": good}).status_code == 302
    asked = browse("reader").get("/p/shop/buckets/media/access?kind=anonymous&action=s3:GetObject&key=a&secure=on")
    assert "Somebody who is not signed in: allowed." in _said(asked)
    assert "Public" in _said(browse("reader").get("/p/shop/buckets/media/overview"))


def test_what_cannot_be_says_why(browse: Browse, media: Bucket, world: World, settings: Any) -> None:
    client = browse("member")
    assert "Switch versioning on first" in _said(client.get("/p/shop/buckets/media/versioning"))
    lock = {"form": "lock", "mode": "GOVERNANCE", "amount": "3", "unit": "days"}
    assert client.post("/p/shop/buckets/media/versioning", lock).status_code == 409
    configurations.set_versioning(world.ctx("owner"), media, True)
    assert client.post("/p/shop/buckets/media/versioning", lock).status_code == 302
    assert "so versioning stays on" in client.get("/p/shop/buckets/media/versioning").content.decode()
    settings.STORE_URL = DEAD_STORE
    rules = {"form": "add", "preview": "on", "days": "1"} | dict.fromkeys("id prefix tags larger_than smaller_than date".split(), "")
    rules |= dict.fromkeys("noncurrent_days noncurrent_keep abort_days".split(), "")
    preview = client.post("/p/shop/buckets/media/lifecycle", rules)
    assert preview.status_code == 503
    assert "does not answer" in _said(preview)
    assert client.post("/p/shop/buckets/media/delete").status_code == 302
    assert Bucket.objects.filter(name="media").exists()


def test_emptying_is_begun_shown_and_cancelled(browse: Browse, media: Bucket) -> None:
    client = browse("member")
    assert browse("reader").post("/p/shop/buckets/media/empty").status_code == 302
    assert not Job.objects.filter(kind=removal.EMPTY).exists()
    client.post("/p/shop/buckets/media/empty")
    page = _said(client.get("/p/shop/buckets/media/settings"))
    assert "Emptying: 0 of 0 versions are gone" in page
    assert "being emptied. Wait for that, or cancel it" in client.get("/p/shop/buckets/media/settings").content.decode()
    client.post("/p/shop/buckets/media/cancel")
    found = removal.emptying(_row())
    assert found is not None
    assert found.cancelled is True


def test_the_list_filters_and_exports(browse: Browse, world: World, media: Bucket) -> None:
    buckets.create(world.ctx("owner"), name="<b>odd ☃", shared_name=False)
    page = browse("reader").get("/p/shop/buckets?q=odd")
    assert "&lt;b&gt;odd ☃" in page.content.decode()
    assert "media" not in [line["row"].name for line in page.context["lines"]]
    odd = browse("member").get("/p/shop/buckets/%3Cb%3Eodd%20%E2%98%83/overview")
    assert odd.context["bucket"].name == "<b>odd ☃"
    text = b"".join(browse("member").get("/p/shop/buckets.csv").streaming_content).decode()
    assert text.splitlines()[0].startswith("id,name,storage_class")
    assert len(text.splitlines()) == 3


def test_keys_are_made_rotated_and_disabled(browse: Browse, world: World) -> None:
    client = browse("member")
    assert client.post("/p/shop/encryption-keys", {"name": "invoices"}).status_code == 302
    key = keys.list_keys(world.ctx("owner")).get()
    client.post(f"/p/shop/encryption-keys/{key.id}/rotate")
    client.post(f"/p/shop/encryption-keys/{key.id}/disable")
    found = keys.get(world.ctx("owner"), key.id)
    assert (found.newest_version, found.is_enabled) == (2, False)  # type: ignore[attr-defined]
    assert client.post("/p/shop/encryption-keys", {"name": "no spaces!"}).status_code == 400
    assert client.post(f"/p/shop/encryption-keys/{key.id}/melt").status_code == 404


def test_the_palette_finds_buckets(browse: Browse, media: Bucket) -> None:
    found = browse("member").get("/palette?q=medi&at=/p/shop").json()
    urls = [item.get("url") for group in found["groups"] for item in group["items"]]
    assert "/p/shop/buckets/media/overview" in urls


def test_the_admin_console_sees_every_bucket_and_whether_the_store_works(browse: Browse, world: World, media: Bucket) -> None:
    configurations.create(world.ctx("stranger", world.other), name="theirs")
    BucketUsage.objects.create(bucket=media, objects_count=3, versions_count=4, bytes=5 * 2**20, counted_at=clock.now())
    for who in ("admin", "support"):
        page = browse(who).get("/admin/store")
        assert "5.0 MiB" in _said(page)
        assert "It does not answer" in _said(page)
    rows = browse("admin").get("/admin/buckets").context["lines"]
    assert [line["row"].name for line in rows] == ["media", "theirs"]
    assert [line["row"].name for line in browse("admin").get("/admin/buckets?project=shop").context["lines"]] == ["media"]
    assert browse("owner").get("/admin/buckets").status_code == 404
    assert "Object store" in _said(browse("admin").get("/admin/health"))
    text = b"".join(browse("admin").get("/admin/buckets.csv").streaming_content).decode()
    assert text.splitlines()[1].startswith("shop,")


def test_drives_are_shown_and_ordered_by_administrators_only(browse: Browse, world: World) -> None:
    """The page shows what the data plane saw, disables what cannot be with its reason, and writes orders."""
    facts = {"fill": 0.91, "free": 2**30, "total": 10 * 2**30, "errors": 2, "write_p50_ms": 1.5, "write_p99_ms": 9.25, "shares_with": []}
    rows = [
        StoreDrive.objects.create(id=uuid4(), path=f"/srv/disk{n}", state=state, facts=facts, seen_at=clock.now())
        for n, state in enumerate(["active", "active", "active", "active", "active", "missing"])
    ]
    page = browse("support").get("/admin/drives")
    assert "Nearly full" in _said(page)
    assert "Your role may look only." in page.content.decode()
    assert "9.2 ms" in _said(page) or "9.3 ms" in _said(page)
    assert browse("support").post(f"/admin/drives/{rows[0].id}/drain").status_code == 302
    assert not DriveOrder.objects.exists()
    admin = browse("admin")
    assert admin.post("/admin/drives", {"form": "add", "path": "relative", "weight": "1", "domain": ""}).status_code == 400
    assert admin.post("/admin/drives", {"form": "add", "path": "/srv/disk9", "weight": "x", "domain": ""}).status_code == 400
    assert admin.post("/admin/drives", {"form": "add", "path": "/srv/disk9", "weight": "0,5", "domain": "shelf"}).status_code == 302
    assert admin.post(f"/admin/drives/{rows[0].id}/drain").status_code == 302
    assert admin.post(f"/admin/drives/{rows[5].id}", {"form": "replace", "path": "/srv/disk8"}).status_code == 302
    assert admin.post(f"/admin/drives/{rows[1].id}", {"form": "set", "weight": "2", "domain": ""}).status_code == 302
    assert [order.verb for order in DriveOrder.objects.order_by("asked_at")] == ["add", "drain", "replace", "set"]
    shown = admin.get("/admin/drives")
    assert "Something else is being done with this drive." in shown.content.decode()
    assert "/srv/disk5 by /srv/disk8" in _said(shown)
    assert "is missing. Look at the drives." in _said(admin.get("/admin/health"))
    assert browse("owner").get("/admin/drives").status_code == 404
