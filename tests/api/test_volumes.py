"""Volumes by REST: a life, what may be done now and why not, and a request that is repeated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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
