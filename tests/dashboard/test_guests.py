"""What the agent tells, a password and office hours in the portal."""

from __future__ import annotations

from collections.abc import Callable

from django.test import Client

from compute import guest_rounds, host, office_hours
from tests.world import World, work

Browse = Callable[..., Client]


def test_the_guest(browse: Browse, world: World) -> None:
    """Nothing before the agent has spoken, its facts then; a password that is refused is not sent back."""
    instance, client = world.running(), browse("member")
    at = f"/p/shop/instances/{instance.id}/guest"
    assert "No agent has answered" in client.get(at).content.decode()
    guest_rounds.ask()
    shown = client.get(at).content.decode()
    assert "Fake Linux 1.0" in shown
    assert "has no key to encrypt a password for" in shown
    refused = client.post(at, {"user": "root", "password": "s3cret!", "how": "own"})
    assert (refused.status_code, "s3cret!" in refused.content.decode()) == (400, False)
    assert client.post(at, {"user": "root", "password": "s3cret! and more", "how": "own"}).status_code == 302
    work()
    assert host.hypervisor().passwords[instance.id, "root"] == "s3cret! and more"  # type: ignore[attr-defined]


def test_hours(browse: Browse, world: World) -> None:
    instance, client = world.running(), browse("member")
    at = f"/p/shop/instances/{instance.id}/hours"
    assert "It runs until somebody stops it." in client.get(at).content.decode()
    for wrong in ({"zone": "Nowhere"}, {"starts": "eight"}, {"day": []}):
        form = {"day": ["0", "4"], "starts": "22:00", "stops": "06:00", "zone": "Europe/Oslo"} | wrong
        assert client.post(at, form).status_code == 400, wrong
    client.post(at, {"day": ["0", "4"], "starts": "22:00", "stops": "06:00", "zone": "Europe/Oslo"})
    assert "Monday, Friday, 22:00 to 06:00 (Europe/Oslo)" in client.get(at).content.decode()
    client.post(at, {"clear": "yes"})
    assert office_hours.get(world.ctx("member"), instance.id) is None
    assert browse("stranger").get(at).status_code == 404
