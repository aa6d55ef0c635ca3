"""Volumes in the portal: made, attached, enlarged and deleted by forms; what is not possible says why, where it stands."""

from __future__ import annotations

from collections.abc import Callable

from django.test import Client

from compute import volumes
from tests.world import World, work

Browse = Callable[..., Client]


def test_a_volume_s_life(browse: Browse, world: World) -> None:
    client, instance = browse("member"), world.running()
    refused = client.post("/p/shop/volumes/new", {"name": "data", "size_gib": "", "type_id": "", "description": ""})
    assert refused.status_code == 400
    assert "How large is it to be?" in refused.content.decode()
    at = client.post("/p/shop/volumes/new", {"name": "data", "size_gib": "3", "type_id": "", "description": "of the shop"})["Location"]
    work()
    refused = client.post(f"{at}/attach", {"instance_id": "", "read_only": ""})
    assert refused.status_code == 400
    assert "Choose the instance." in refused.content.decode()
    assert client.post(f"{at}/attach", {"instance_id": str(instance.id), "read_only": "on"})["Location"] == at
    work()
    shown = client.get(at).content.decode()
    assert "/dev/disk/by-id/virtio-" in shown
    assert "read-only" in shown
    assert "data is attached to web. Detach it first." in shown
    assert client.post(f"{at}/grow", {"size_gib": "2"}).status_code == 400
    assert client.post(f"{at}/grow", {"size_gib": "5"})["Location"] == at
    work()
    client.post(f"{at}/rename", {"name": "orders", "description": ""})
    client.post(f"{at}/do/detach")
    work()
    volume = volumes.list(world.ctx("member")).get()
    assert (volume.name, volume.size_gib, volume.status) == ("orders", 5, "available")
    assert client.post(f"{at}/do/delete")["Location"] == "/p/shop/volumes"
    work()
    assert "No volumes" in client.get("/p/shop/volumes").content.decode()


def test_a_reader_sees_why_not(browse: Browse, world: World) -> None:
    volume = volumes.create(world.ctx("member"), name="data", size_gib=1)
    work()
    client = browse("reader")
    page = client.get(f"/p/shop/volumes/{volume.id}").content.decode()
    assert page.count('aria-disabled="true"') >= 5
    client.post(f"/p/shop/volumes/{volume.id}/do/delete")
    assert volumes.get(world.ctx("member"), volume.id).status == "available"
    assert browse("stranger").get(f"/p/shop/volumes/{volume.id}").status_code == 404
