"""The tab on which an instance becomes another machine, and the notes above it that say what can be taken back."""

from __future__ import annotations

from collections.abc import Callable

from django.test import Client

from compute import flavors, instances
from identity.context import SYSTEM
from tests.world import World, work

Browse = Callable[..., Client]


def test_from_size_to_shelf(browse: Browse, world: World) -> None:
    larger = flavors.create(SYSTEM, name="m1.large", vcpus=2, memory_mib=1024, disk_gib=9)
    instance, client = world.running(), browse("member")
    at = f"/p/shop/instances/{instance.id}"

    def page(tab: str = "") -> str:
        return client.get(f"{at}{tab}").content.decode()

    def post(**fields: str) -> int:
        status = client.post(f"{at}/change", fields).status_code
        work()
        return status

    def do(key: str) -> None:
        client.post(f"{at}/do/{key}")
        work()

    assert "web has this size." in page("/change")
    refused = client.post(f"{at}/change", {"form": "resize", "flavor_id": ""})
    assert (refused.status_code, "Choose the new size." in refused.content.decode()) == (400, True)
    assert post(form="resize", flavor_id=str(larger.id)) == 302
    shown = page()
    assert "Resized from m1.tiny to m1.large." in shown
    assert "24 h 0 min" in shown or "23 h 59 min" in shown
    do("revert-resize")
    assert "Resized from" not in page()
    assert post(form="rebuild", image_id=str(world.image.id), keep="on") == 302
    assert "The disk from before is kept." in page()
    do("undo-rebuild")
    assert post(form="rescue", image_id=str(world.image.id)) == 302
    assert "runs the rescue system" in page()
    assert "/dev/vdb" in page("/change")
    do("unrescue")
    do("shelve")
    assert "Its disk lies in the image store" in page("/change")
    do("unshelve")
    assert instances.get(world.ctx("member"), instance.id).status == "running"


def test_a_reader_sees_why_not(browse: Browse, world: World) -> None:
    instance = world.running()
    shown = browse("reader").get(f"/p/shop/instances/{instance.id}/change").content.decode()
    assert shown.count("needs the role member") >= 4
    assert browse("stranger").get(f"/p/shop/instances/{instance.id}/change").status_code == 404


def test_a_form_of_no_kind(browse: Browse, world: World) -> None:
    instance = world.running()
    assert browse("member").post(f"/p/shop/instances/{instance.id}/change", {"form": "nonsense"}).status_code == 400
    assert instances.get(world.ctx("member"), instance.id).status == "running"
