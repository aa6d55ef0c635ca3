"""Volumes by REST: a life, what may be done now and why not, and a request that is repeated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.test import Client

from tests.world import World, work

Speak = Callable[..., Any]


def test_a_volume_s_life(world: World, speak: Speak) -> None:
    api, instance = speak("member"), world.running()
    kinds = api.get("/api/v1/volume-types").json()["items"]
    assert [kind["name"] for kind in kinds] == ["standard"]
    body = {"name": "data", "size_gib": 2, "type_id": kinds[0]["id"]}
    made = api.post("/volumes", body, Idempotency_Key="one")
    assert (made.status_code, made.json()["status"]) == (202, "creating")
    assert api.post("/volumes", body, Idempotency_Key="one").json()["id"] == made.json()["id"]
    at = f"/volumes/{made.json()['id']}"
    work()
    shown = api.get(at).json()
    assert (shown["status"], shown["size_gib"], shown["serial"]) == ("available", 2, shown["id"].replace("-", "")[:20])
    assert shown["actions"]["detach"] == "data is available. It is attached to no instance."
    assert api.post(f"{at}/attach", {"instance_id": str(instance.id)}).status_code == 202
    work()
    shown = api.get(at).json()
    assert (shown["status"], shown["instance"]["name"]) == ("attached", "web")
    assert [row["name"] for row in api.get(f"/volumes?instance_id={instance.id}").json()["items"]] == ["data"]
    refused = api.delete(at)
    assert (refused.status_code, refused.json()["detail"]) == (409, "data is attached to web. Detach it first.")
    assert api.post(f"{at}/grow", {"size_gib": 1}).status_code == 422
    assert api.post(f"{at}/grow", {"size_gib": 3}).status_code == 202
    work()
    assert api.patch(at, {"name": "archive"}).json()["name"] == "archive"
    assert api.post(f"{at}/detach", {}).status_code == 202
    work()
    assert api.post(f"{at}/protect", {}).json()["is_protected"]
    assert api.delete(at).status_code == 409
    api.post(f"{at}/unprotect", {})
    assert api.delete(at).json()["status"] == "deleting"
    work()
    assert api.get(at).status_code == 404


def test_snapshots_and_copies(world: World, speak: Speak) -> None:
    api = speak("member")
    volume = api.post("/volumes", {"name": "data", "size_gib": 2}).json()
    work()
    body = {"volume_id": volume["id"], "name": "monday"}
    taken = api.post("/snapshots", body, Idempotency_Key="one")
    assert (taken.status_code, taken.json()["status"], taken.json()["volume"]["name"]) == (202, "creating", "data")
    assert api.post("/snapshots", body, Idempotency_Key="one").json()["id"] == taken.json()["id"]
    at = f"/snapshots/{taken.json()['id']}"
    assert api.get(at).json()["actions"]["restore"] == "monday is creating. Wait until that is done."
    work()
    shown = api.get(at).json()
    assert (shown["status"], shown["size_gib"], shown["is_consistent"], shown["parent"]) == ("ready", 2, None, None)
    assert api.get(f"/volumes/{volume['id']}").json()["base"]["name"] == "monday"
    assert api.post(f"{at}/restore", {}).status_code == 202
    assert api.get(f"/volumes/{volume['id']}").json()["status"] == "restoring"
    work()
    assert api.patch(at, {"name": "sunday"}).json()["name"] == "sunday"
    assert [row["name"] for row in api.get(f"/snapshots?volume_id={volume['id']}").json()["items"]] == ["sunday"]
    copy = api.post("/volumes", {"name": "copy", "snapshot_id": taken.json()["id"], "size_gib": 3}).json()
    assert api.post("/volumes", {"name": "odd", "snapshot_id": taken.json()["id"], "volume_id": copy["id"]}).status_code == 422
    work()
    assert api.get(f"/volumes/{copy['id']}").json()["size_gib"] == 3
    refused = api.delete(f"/volumes/{volume['id']}")
    assert (refused.status_code, "a snapshot, which goes with it" in refused.json()["detail"]) == (409, True)
    assert api.delete(f"/volumes/{volume['id']}?with_snapshots=true").json()["status"] == "deleting"
    work()
    assert api.get(at).status_code == 404


def test_types_and_offers(world: World, speak: Speak, browser: Callable[[str], Client]) -> None:
    api, other, box = speak("member"), speak("stranger"), browser("admin")
    types = "/api/v1/admin/volume-types"
    kind = box.post(types, {"name": "economy", "iops_max": 300, "price_micros": 30000}, "application/json").json()
    changed = box.patch(f"{types}/{kind['id']}", {"iops_max": 200}, "application/json")
    assert (changed.status_code, changed.json()["iops_max"], changed.json()["price_micros"]) == (200, 200, 30000)
    volume = api.post("/volumes", {"name": "data", "size_gib": 2}).json()
    work()
    at = f"/volumes/{volume['id']}"
    assert api.post(f"{at}/retype", {"type_id": kind["id"]}).json()["type"]["name"] == "economy"
    work()
    assert box.patch(f"{types}/{kind['id']}", {"iops_max": 100}, "application/json").status_code == 409
    assert api.get(f"{at}/offer").status_code == 404
    offered = api.post(f"{at}/offer", {})
    assert offered.status_code == 201
    assert "key" not in api.get(f"{at}/offer").json()
    assert other.post("/api/v1/projects/elsewhere/volume-offers", {"key": "wrong"}).status_code == 404
    taken = other.post("/api/v1/projects/elsewhere/volume-offers", {"key": offered.json()["key"], "name": "orders"})
    assert (taken.status_code, taken.json()["name"], taken.json()["project"]) == (200, "orders", "elsewhere")
    assert api.get(at).status_code == 404


def test_booting_from_volumes_and_whole_snapshots(world: World, speak: Speak) -> None:
    """Launched on a new volume, remembered as a whole, launched from that, and from the volume that was left."""
    api = speak("member")
    body = {"name": "web", "image_id": str(world.image.id), "flavor_id": str(world.flavor.id)}
    assert api.post("/instances", body | {"image_id": None}).status_code == 422
    instance = api.post("/instances", body | {"boot_on_volume": True}).json()["items"][0]
    work()
    volume = api.get(f"/volumes?instance_id={instance['id']}").json()["items"][0]
    assert (volume["name"], volume["is_boot"], volume["image"]["name"]) == ("web-boot", True, "Debian")
    whole = api.post(f"/instances/{instance['id']}/snapshots", {"name": "monday"})
    assert whole.status_code == 202
    work()
    at = f"/instance-snapshots/{whole.json()['id']}"
    shown = api.get(at).json()
    assert (shown["status"], [each["name"] for each in shown["volumes"]], shown["root_gib"]) == ("ready", ["web-boot"], 0)
    assert shown["actions"]["restore"] == "web is running. Stop it first."
    assert api.post(f"{at}/restore", {}).status_code == 409
    assert [row["name"] for row in api.get(f"/instances/{instance['id']}/snapshots").json()["items"]] == ["monday"]
    copy = api.post(f"{at}/launch", {"name": "copy", "flavor_id": str(world.flavor.id)})
    assert (copy.status_code, copy.json()["name"]) == (202, "copy")
    work()
    assert api.get(f"/instances/{copy.json()['id']}").json()["status"] == "running"
    assert api.delete(at).json()["status"] == "deleting"
    work()
    api.delete(f"/instances/{instance['id']}")
    work()
    again = api.post(
        "/instances", {"name": "again", "flavor_id": body["flavor_id"], "boot_volume_id": volume["id"], "boot_volume_dies": True}
    )
    assert again.status_code == 202
    work()
    shown = api.get(f"/volumes/{volume['id']}").json()
    assert (shown["instance"]["name"], shown["dies_with_instance"]) == ("again", True)
