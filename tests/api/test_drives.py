"""The drives of the object store by the REST API: for administrators, as orders; support may look, tenants may not."""

from __future__ import annotations

import pytest
from django.test import Client

from cloudbox.common import clock
from cloudbox.common.models import Event
from storage.models import DriveOrder, StoreRounds
from tests.operations import store_drive
from tests.world import World

BASE = "/api/v1/admin"


def _client(world: World, who: str) -> Client:
    return Client(headers={"Authorization": f"Bearer {world.token(who, reaches_box=True)}"}, raise_request_exception=False)


@pytest.fixture
def admin(world: World) -> Client:
    return _client(world, "admin")


def test_drives_are_shown_and_changed_by_orders(admin: Client) -> None:
    row = store_drive()
    (shown,) = admin.get(f"{BASE}/drives").json()["items"]
    assert (shown["path"], shown["state"], shown["facts"]["bytes"]) == ("/srv/probe", "active", 2**30)
    made = admin.post(f"{BASE}/drives", {"path": "/srv/disk5", "weight": 2}, content_type="application/json")
    assert made.status_code == 202
    assert made.json()["arguments"] == {"path": "/srv/disk5", "weight": 2.0, "domain": ""}
    changed = admin.patch(f"{BASE}/drives/{row.id}", {"weight": 0.5}, content_type="application/json")
    assert (changed.status_code, changed.json()["verb"], changed.json()["arguments"]) == (202, "set", {"weight": 0.5})
    busy = admin.post(f"{BASE}/drives/{row.id}/drain", {}, content_type="application/json")
    assert (busy.status_code, "Wait until that has ended" in busy.json()["detail"]) == (409, True)
    DriveOrder.objects.update(state="done")
    few = admin.post(f"{BASE}/drives/{row.id}/drain", {}, content_type="application/json")
    assert "Only 0 drives would be left" in few.json()["detail"]
    swapped = admin.post(f"{BASE}/drives/{row.id}/replace", {"path": "/srv/disk6"}, content_type="application/json")
    assert swapped.json()["verb"] == "replace"
    assert [one["verb"] for one in admin.get(f"{BASE}/drive-orders").json()["items"]] == ["replace", "set", "add"]
    assert Event.objects.filter(noun="drive", api="rest").count() == 3


@pytest.mark.parametrize(
    ("path", "body"), [("/drives", {"path": "relative"}), ("/drives", {"path": "/proc/x"}), ("/drives", {"path": "/srv/a", "weight": 0})]
)
def test_what_makes_no_sense_is_refused(admin: Client, path: str, body: dict[str, object]) -> None:
    assert admin.post(BASE + path, body, content_type="application/json").status_code == 422
    assert not DriveOrder.objects.exists()


def test_rounds_are_told(admin: Client) -> None:
    assert admin.get(f"{BASE}/store/rounds").json() == {
        "seen_at": None, "waiting_pieces": 0, "waiting_bytes": 0, "audited_percent": 0, "rounds": [],
    }  # fmt: skip
    told = {"rebalance": {"at": "2026-11-23T05:00:00+00:00", "done": 3, "left": 1, "bytes": 100, "bytes_left": 50, "mended": 0, "lost": 0}}
    facts = {"rounds": told, "queue": {"pieces": 2, "bytes": 7}, "audit": {"percent": 40}}
    StoreRounds.objects.create(pk=1, facts=facts, seen_at=clock.now())
    shown = admin.get(f"{BASE}/store/rounds").json()
    assert (shown["waiting_pieces"], shown["audited_percent"]) == (2, 40)
    assert (shown["rounds"][0]["name"], shown["rounds"][0]["bytes_left"]) == ("rebalance", 50)


def test_support_looks_and_others_do_not(world: World) -> None:
    row = store_drive()
    support = Client(raise_request_exception=False)
    support.force_login(world.users["support"])
    assert support.get(f"{BASE}/drives/{row.id}").status_code == 200
    assert support.post(f"{BASE}/drives/{row.id}/keep", {}, content_type="application/json").status_code == 403
    member = Client(headers={"Authorization": f"Bearer {world.token('member', 'member')}"}, raise_request_exception=False)
    assert member.get(f"{BASE}/drives").status_code in (403, 404)
