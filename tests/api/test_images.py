"""Images by REST: brought in from a bucket, refused for what is no source, told of once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from compute.jobs import export_image, import_image
from compute.models import Image
from tests.api.conftest import Api
from tests.buckets import Buckets
from tests.world import World, work

Speak = Callable[..., Any]


def test_bringing_one_in(world: World, speak: Speak, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Buckets({"disks": {"disk.raw": bytes(2**20)}})
    monkeypatch.setattr(import_image, "store_of", lambda project_id: store)
    api = speak("member")
    body = {"name": "Own", "bucket": "disks", "key": "disk.raw", "os": "debian"}
    made = api.post("/images", body, Idempotency_Key="one")
    assert (made.status_code, made.json()["status"], made.json()["progress"]) == (202, "importing", 0)
    assert api.post("/images", body, Idempotency_Key="one").json()["id"] == made.json()["id"]
    work()
    shown = api.get(f"/images/{made.json()['id']}").json()
    assert (shown["status"], shown["format"], shown["visibility"], shown["virtual_bytes"]) == ("ready", "raw", "private", 2**20)
    assert shown["facts"]["boot"]["sentence"].startswith("It has neither boot code nor partitions")
    assert speak("stranger").get(f"/images/{shown['id']}").status_code == 404
    assert speak("reader").post("/images", body).status_code == 403
    for wrong in ({"name": "x"}, body | {"url": "https://a.example/"}, {"name": "x", "url": "gopher://a"}, body | {"checksum": "1"}):
        assert api.post("/images", wrong).status_code == 422, wrong


def test_sharing(world: World, speak: Speak) -> None:
    image = Image.objects.create(project=world.project, name="Own", status="ready", virtual_bytes=2**20)
    api, other, at = speak("member"), speak("stranger"), f"/images/{image.id}"
    other.slug = world.other.slug
    made = api.post(f"{at}/members", {"project_id": str(world.other.id)})
    assert (made.status_code, made.json()["status"], made.json()["project_name"]) == (201, "pending", world.other.name)
    assert api.post(f"{at}/members", {"project_id": str(world.other.id)}).status_code == 409
    assert other.get(at).json()["visibility"] == "shared"
    assert [each["id"] for each in other.get("/images?member_status=pending").json()["items"]] == [str(image.id)]
    assert str(image.id) not in [each["id"] for each in other.get("/images").json()["items"]]
    assert other.post(f"{at}/accept", {}).json()["status"] == "accepted"
    assert str(image.id) in [each["id"] for each in other.get("/images").json()["items"]]
    assert other.patch(at, {"name": "Theirs"}).status_code == 403
    assert other.post(f"{at}/reject", {}).json()["status"] == "rejected"
    assert [each["status"] for each in api.get(f"{at}/members").json()["items"]] == ["rejected"]
    assert api.delete(f"{at}/members/{world.other.id}").status_code == 204
    assert api.delete(f"{at}/members/{world.other.id}").status_code == 404
    changed = api.patch(at, {"is_protected": True, "disk_bus": "scsi", "visibility": "community"}).json()
    assert (changed["is_protected"], changed["disk_bus"], changed["visibility"]) == (True, "scsi", "community")
    assert api.delete(at).status_code == 409
    assert [each["id"] for each in other.get("/images?visibility=community").json()["items"]] == [str(image.id)]
    assert api.patch(at, {"visibility": "public"}).status_code == 403
    assert api.patch(at, {"disk_bus": "floppy"}).status_code == 422


def test_exporting(world: World, speak: Speak, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Buckets({"disks": {}})
    monkeypatch.setattr(export_image, "store_of", lambda project_id: store)
    api, at = speak("member"), f"/images/{world.image.id}/exports"
    made = api.post(at, {"format": "qcow2", "bucket": "disks"})
    assert (made.status_code, made.json()["status"], made.json()["image"]["name"]) == (202, "exporting", world.image.name)
    one = f"/image-exports/{made.json()['id']}"
    work()
    shown = api.get(one).json()
    assert (shown["status"], shown["progress"], shown["size_bytes"]) == ("ready", 100, len(store.objects["disks"][shown["key"]]))
    assert [each["id"] for each in api.get(at).json()["items"]] == [shown["id"]]
    assert speak("reader").post(at, {"format": "qcow2", "bucket": "disks"}).status_code == 403
    assert speak("stranger").get(one).status_code == 404
    for wrong in ({}, {"format": "zip", "bucket": "disks"}, {"format": "raw"}, {"format": "raw", "bucket": ""}):
        assert api.post(at, wrong).status_code == 422, wrong
    assert api.delete(one).status_code == 204
    assert api.get(one).status_code == 404


def test_the_catalogue(world: World, speak: Speak) -> None:
    token = world.token("admin", reaches_box=True)
    api, at = Api(token, "shop"), "/api/v1/admin/image-catalogue"
    body = {"name": "Debian", "version": "12.1", "url": "https://images.example.org/debian.qcow2", "checksum": "0" * 64}
    made = api.post(at, body)
    assert (made.status_code, made.json()["image"]) == (201, None)
    one = f"{at}/{made.json()['id']}"
    assert api.post(at, body).status_code == 409
    assert api.patch(one, {"checksum": "1"}).status_code == 422
    assert api.patch(one, {"os": "debian"}).json()["os"] == "debian"
    fetched = api.post(f"{one}/fetch", {})
    assert (fetched.status_code, fetched.json()["status"], fetched.json()["visibility"]) == (202, "importing", "public")
    assert api.get(one).json()["image"]["id"] == fetched.json()["id"]
    assert api.post(f"{one}/fetch", {}).status_code == 409
    assert speak("owner").get(at).status_code == 403
    assert api.delete(one).status_code == 204
