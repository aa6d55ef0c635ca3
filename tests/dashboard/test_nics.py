"""Network cards put in and taken out on the networking tab."""

from __future__ import annotations

from collections.abc import Callable

from django.test import Client

from tests.world import World, work

Browse = Callable[..., Client]


def test_in_and_out(browse: Browse, world: World) -> None:
    instance, client = world.running(), browse("member")
    at = f"/p/shop/instances/{instance.id}"
    assert "Put it in" in client.get(f"{at}/networking").content.decode()
    client.post(f"{at}/nics/attach", {"network": str(world.network.id), "ip": ""})
    work()
    port = instance.ports.order_by("-index")[0]
    assert f"Take the card {port.ip} out of web?" in client.get(f"{at}/networking").content.decode()
    client.post(f"{at}/nics/attach", {"network": "", "ip": "x"})
    client.post(f"{at}/nics/{port.id}/detach")
    work()
    assert instance.ports.count() == 1
    reader = browse("reader").get(f"{at}/networking").content.decode()
    assert "Put it in" not in reader
    browse("reader").post(f"{at}/nics/attach", {"network": str(world.network.id)})
    assert instance.ports.count() == 1
