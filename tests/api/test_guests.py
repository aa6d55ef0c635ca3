"""The guest of an instance, its password, and its hours, by REST."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from compute import guest_rounds, host
from tests.world import World, work

Speak = Callable[..., Any]


def test_a_guest(world: World, speak: Speak) -> None:
    instance, api = world.running(), speak("member")
    at = f"/instances/{instance.id}"
    assert api.get(f"{at}/guest").status_code == 404
    guest_rounds.ask()
    assert api.get(f"{at}/guest").json()["file_systems"][0]["type"] == "ext4"
    refused = api.post(f"{at}/password", {"user": "root"})
    assert (refused.status_code, "has no key" in refused.json()["detail"]) == (409, True)
    assert api.post(f"{at}/password", {"password": "short"}).status_code == 422
    assert api.post(f"{at}/password", {"password": "long enough"}).status_code == 202
    work()
    assert host.hypervisor().passwords[instance.id, "root"] == "long enough"  # type: ignore[attr-defined]
    assert api.get(f"{at}/password").json() == {"sealed_password": ""}
    assert speak("reader").post(f"{at}/password", {"password": "long enough"}).status_code == 403


def test_hours(world: World, speak: Speak) -> None:
    api, at = speak("member"), f"/instances/{world.running().id}/office-hours"
    assert api.get(at).status_code == 404
    hours = {"days": [0, 1, 2, 3, 4], "starts": "08:00", "stops": "18:00", "zone": "Europe/Oslo"}
    set_ = api.put(at, hours)
    assert (set_.status_code, set_.json()["sentence"]) == (200, "Monday to Friday, 08:00 to 18:00 (Europe/Oslo)")
    assert set_.json()["next"]["at"]
    assert (set_.json()["starts"], set_.json()["stops"]) == ("08:00", "18:00")
    for wrong in (
        {"days": []},
        {"days": [7]},
        {"zone": "Nowhere"},
        {"starts": "25:00"},
        {"starts": 8},
        {"starts": "08:00:30"},
        {"stops": "08:00"},
    ):
        assert api.put(at, hours | wrong).status_code == 422, wrong
    assert api.delete(at).status_code == 204
    assert api.get(at).status_code == 404
