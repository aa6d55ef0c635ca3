"""Resize, rebuild, rescue and shelve by REST: what is on trial until when, what may be done now, and why not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from compute import flavors
from identity.context import SYSTEM
from tests.world import World, work

Speak = Callable[..., Any]


def test_another_machine(world: World, speak: Speak) -> None:
    larger = flavors.create(SYSTEM, name="m1.large", vcpus=2, memory_mib=1024, disk_gib=9)
    api, at = speak("member"), f"/instances/{world.running().id}"
    assert api.get(at).json()["actions"]["confirm-resize"] == "web has not been resized lately."
    asked = api.post(f"{at}/resize", {"flavor_id": str(larger.id)})
    assert (asked.status_code, asked.json()["status"]) == (202, "resizing")
    work()
    shown = api.get(at).json()
    assert (shown["vcpus"], shown["disk_gib"], shown["flavor"]["name"]) == (2, 9, "m1.large")
    [row] = shown["reversals"]
    assert (row["kind"], row["flavor"]["name"], row["image"]) == ("resize", "m1.tiny", None)
    refused = api.post(f"{at}/resize", {"flavor_id": str(world.flavor.id)})
    assert (refused.status_code, "Keep or take back" in refused.json()["detail"]) == (409, True)
    assert api.post(f"{at}/confirm-resize", {}).json()["reversals"] == []
    assert api.post(f"{at}/rebuild", {"keep": "yes"}).status_code == 422
    assert api.post(f"{at}/rebuild", {}).json()["status"] == "rebuilding"
    work()
    assert api.get(at).json()["reversals"][0]["image"]["name"] == "Debian"
    assert api.post(f"{at}/undo-rebuild", {}).status_code == 202
    work()
    assert api.post(f"{at}/rescue", {}).json()["status"] == "rescuing"
    work()
    assert api.get(at).json()["rescue_image"]["name"] == "Debian"
    assert api.post(f"{at}/unrescue", {}).status_code == 202
    work()
    assert api.post(f"{at}/shelve", {}).json()["status"] == "shelving"
    work()
    assert api.get(at).json()["shelved_at"]
    assert api.post(f"{at}/start", {}).json()["detail"] == "web is shelved. Unshelve it first."
    assert api.post(f"{at}/unshelve", {}).status_code == 202
    work()
    assert api.get(at).json()["status"] == "running"
