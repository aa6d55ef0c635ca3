"""Network cards of an instance by REST."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.world import World, work

Speak = Callable[..., Any]


def test_in_and_out(world: World, speak: Speak) -> None:
    api, at = speak("member"), f"/instances/{world.running().id}"
    refused = api.post(f"{at}/nics", {})
    assert (refused.status_code, refused.json()["detail"]) == (422, "Say the network, or the reserved port.")
    put = api.post(f"{at}/nics", {"network_id": str(world.network.id)})
    assert put.status_code == 202
    work()
    assert put.json()["ip"] in [nic["ip"] for nic in api.get(at).json()["nics"]]
    assert api.delete(f"{at}/nics/{put.json()['id']}").status_code == 202
    work()
    assert len(api.get(at).json()["nics"]) == 1
    assert api.delete(f"{at}/nics/{put.json()['id']}").status_code == 404
