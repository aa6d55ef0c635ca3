"""Instances over REST: the way from launch to delete, lists and their pages, actions, consoles."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest

from compute.models import Instance
from tests.world import World, work

Speak = Callable[..., Any]


def _launch(world: World, **changes: object) -> dict[str, object]:
    return {"name": "web", "image_id": str(world.image.id), "flavor_id": str(world.flavor.id)} | changes


def test_life_of_an_instance(world: World, speak: Speak) -> None:
    """Launch, wait, stop, start, rename, protect, delete: each answers what the instance is now, and what may be done to it."""
    api = speak("member")
    answer = api.post("/instances", _launch(world, tags={"role": "web"}, user_data="#!/bin/sh\n"))
    assert answer.status_code == 202, answer.json()
    shown = answer.json()["items"][0]
    assert shown["status"] == "building"
    assert shown["tags"] == {"role": "web"}
    assert shown["nics"][0]["network"]["name"] == "private"
    assert answer["Location"] == f"/api/v1/projects/shop/instances/{shown['id']}"
    assert shown["progress"]["sentence"] == "Making the root disk"
    work()
    here = f"/instances/{shown['id']}"
    shown = api.get(here).json()
    assert shown["status"] == "running"
    assert shown["progress"] is None
    assert shown["actions"]["stop"] is None
    assert shown["actions"]["start"] == "web is running already."
    assert api.post(f"{here}/stop", {"force": True}).json()["status"] == "stopping"
    work()
    refused = api.post(f"{here}/pause")
    assert refused.status_code == 409
    assert refused.json()["code"] == "conflict"
    assert "Start it first" in refused.json()["detail"]
    assert api.post(f"{here}/start").status_code == 202
    work()
    assert api.patch(here, {"name": "front", "description": "the shop"}).json()["name"] == "front"
    assert api.patch(here, {"metadata": {"role": "db"}}).json()["metadata"] == {"role": "db"}
    assert api.patch(here, {"metadata": {"": "db"}}).status_code == 422
    assert api.post(f"{here}/protect").json()["actions"]["delete"].startswith("front is protected")
    assert api.delete(here).status_code == 409
    api.post(f"{here}/unprotect")
    assert api.delete(here).json()["status"] == "deleting"
    work()
    assert api.get(here).status_code == 404


def test_pages_follow_the_key(world: World, speak: Speak) -> None:
    """Seven instances in pages of three, in every order: each once, also when one is deleted between two pages."""
    world.launch(name="n", count=7)
    api = speak("reader")
    for sort in ("name", "-name", "created", "-size", "status"):
        seen, cursor = [], ""
        while True:
            page = api.get(f"/instances?limit=3&sort={sort}&cursor={cursor}").json()
            seen += [row["name"] for row in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert sorted(seen) == [f"n-{n}" for n in range(1, 8)], sort
    first = api.get("/instances?limit=3")
    assert first["Link"].endswith('; rel="next"')
    Instance.objects.filter(name="n-3").update(status="deleted")
    rest = api.get(f"/instances?limit=3&cursor={first.json()['next_cursor']}").json()
    assert [row["name"] for row in rest["items"]] == ["n-4", "n-5", "n-6"]
    other_order = api.get(f"/instances?sort=created&cursor={first.json()['next_cursor']}")
    assert other_order.status_code == 422
    assert other_order.json()["field"] == "cursor"


@pytest.mark.parametrize("query", ["q=10.20.0.1", "q=front", "tag=tier:web", "tag=tier", "status=building", "q=web"])
def test_filters(world: World, speak: Speak, query: str) -> None:
    world.launch(name="front", tags={"tier": "web"})
    Instance.objects.filter(id=world.launch(name="back")[0].id).update(status="error")
    names = [row["name"] for row in speak("reader").get(f"/instances?{query}").json()["items"]]
    assert names == (["back", "front"] if query == "q=10.20.0.1" else ["front"])


def test_console_log_metrics_screenshot(world: World, speak: Speak, hub: None) -> None:
    instance = world.running()
    api, here = speak("member"), f"/instances/{instance.id}"
    opened = api.post(f"{here}/consoles", {"kind": "vnc"})
    assert opened.status_code == 201
    assert opened.json()["path"].startswith("/console/")
    assert api.get(f"{here}/console-log?tail_bytes=100").json() == {"text": "login: "}
    metrics = api.get(f"{here}/metrics?range=5m").json()
    assert len(metrics["at"]) == len(metrics["cpu"]) > 25
    assert api.get(f"{here}/screenshot").json()["code"] == "not-found"
    path = instance_screen(instance)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(base64.b64decode("iVBORw0KGgo="))
    assert api.get(f"{here}/screenshot")["Content-Type"] == "image/png"


def instance_screen(instance: Instance) -> Any:
    from django.conf import settings

    return settings.HOME / "screens" / f"{instance.id}.png"


def test_a_log_without_a_worker(world: World, speak: Speak) -> None:
    """The log is the worker's to tell; while it is away, the caller is asked to come back."""
    answer = speak("reader").get(f"/instances/{world.launch()[0].id}/console-log")
    assert answer.status_code == 503
    assert answer["Retry-After"] == "2"


def test_quota_says_what_is_left(world: World, speak: Speak) -> None:
    answer = speak("member").post("/instances", _launch(world, count=11))
    assert answer.status_code == 409
    assert answer.json()["code"] == "quota-exceeded"
    assert "10 of instances left" in answer.json()["detail"]
    assert not Instance.objects.exists()
