"""Volumes in the portal: made, attached, enlarged and deleted by forms; what is not possible says why, where it stands."""

from __future__ import annotations

import re
from collections.abc import Callable

from django.test import Client

from compute import instance_snapshots, instances, snapshots, volume_types, volumes
from identity.context import SYSTEM
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


def test_snapshots_of_a_volume(browse: Browse, world: World) -> None:
    """Taken, gone back to, copied and deleted by the page's forms; the tree stands there, and the volume goes with its snapshots."""
    client, ctx = browse("member"), world.ctx("member")
    volume = volumes.create(ctx, name="data", size_gib=2)
    work()
    at = f"/p/shop/volumes/{volume.id}"
    refused = client.post(f"{at}/snapshot", {"name": "", "description": ""})
    assert refused.status_code == 400
    assert client.post(f"{at}/snapshot", {"name": "monday", "description": "before the sale"})["Location"] == at
    work()
    snapshot = snapshots.list(ctx).get()
    shown = client.get(at).content.decode()
    assert "before the sale" in shown
    assert "the volume goes on from it" in shown
    made_of = f"/p/shop/images/new?snapshot=volume:{snapshot.id}"
    assert made_of in shown
    assert f'value="volume:{snapshot.id}" selected' in client.get(made_of).content.decode()
    assert client.post(f"/p/shop/snapshots/{snapshot.id}/do/restore")["Location"] == f"{at}#snapshots"
    work()
    assert client.post(f"/p/shop/snapshots/{snapshot.id}/do/nonsense").status_code == 404
    assert "monday" in client.get("/p/shop/snapshots").content.decode()
    assert b"".join(client.get("/p/shop/snapshots.csv")).decode().splitlines()[1].split(",")[1] == "monday"
    form = client.get(f"/p/shop/volumes/new?source=snapshot:{snapshot.id}").content.decode()
    assert f'value="snapshot:{snapshot.id}" selected' in form
    fields = {"name": "copy", "size_gib": "", "type_id": "", "description": "", "source": f"snapshot:{snapshot.id}"}
    assert client.post("/p/shop/volumes/new", fields | {"source": "snapshot:x"}).status_code == 400
    assert client.post("/p/shop/volumes/new", fields).status_code == 302
    work()
    assert volumes.list(ctx, q="copy").get().size_gib == 2
    client.post(f"{at}/do/delete")
    assert volumes.get(ctx, volume.id).status == "available"
    assert client.post(f"{at}/do/delete", {"with_snapshots": "on"})["Location"] == "/p/shop/volumes"
    work()
    assert "No snapshots" in client.get("/p/shop/snapshots").content.decode()


def test_a_volume_changes_type_and_hands(browse: Browse, world: World) -> None:
    client, ctx = browse("member"), world.ctx("member")
    kind = volume_types.create(SYSTEM, name="fast", iops_max=900)
    volume = volumes.create(ctx, name="data", size_gib=2)
    work()
    at = f"/p/shop/volumes/{volume.id}"
    assert client.post(f"{at}/retype", {"type_id": ""}).status_code == 400
    assert client.post(f"{at}/retype", {"type_id": str(kind.id)})["Location"] == at
    work()
    assert "900 operations" in client.get(at).content.decode()
    offered = client.post(f"{at}/offer")
    assert offered["Cache-Control"] == "no-store"
    found = re.search(r'<code id="secret">([^<]+)</code>', offered.content.decode())
    assert found is not None
    assert "Offered to whoever has the key" in client.get(at).content.decode()
    other = browse("stranger")
    refused = other.post("/p/elsewhere/volumes/accept", {"key": "wrong", "name": ""})
    assert refused.status_code == 400
    assert "opens no offer" in refused.content.decode()
    assert other.post("/p/elsewhere/volumes/accept", {"key": found[1], "name": "orders"}).status_code == 302
    assert volumes.get(world.ctx("stranger", world.other), volume.id).name == "orders"


def test_the_disks_of_an_instance(browse: Browse, world: World) -> None:
    """Attached and detached on the page of the instance; a reader sees why not."""
    client, ctx, instance = browse("member"), world.ctx("member"), world.running()
    volume = volumes.create(ctx, name="data", size_gib=2)
    work()
    at = f"/p/shop/instances/{instance.id}/disks"
    assert "has no volumes" in client.get(at).content.decode()
    refused = client.post(f"{at}/attach", {"volume_id": "", "read_only": ""})
    assert refused.status_code == 400
    assert "Choose the volume." in refused.content.decode()
    assert client.post(f"{at}/attach", {"volume_id": str(volume.id), "read_only": "on"})["Location"] == at
    work()
    shown = client.get(at).content.decode()
    assert f"/dev/disk/by-id/virtio-{volume.serial}" in shown
    assert "read-only" in shown
    assert 'aria-disabled="true"' in browse("reader").get(at).content.decode()
    assert client.post(f"{at}/{volume.id}/detach")["Location"] == at
    work()
    assert volumes.get(ctx, volume.id).status == "available"


def test_types_in_the_console(browse: Browse, world: World) -> None:
    """Made, changed with a price as people write it, retired and restored; one in use says why it is not changed."""
    client = browse("admin")
    fields = {"name": "economy", "description": "", "iops_max": "300", "mib_per_second_max": "", "price": "0,05", "backend": "qcow2"}
    for wrong in ({"price": "much"}, {"price": "0.00000001"}, {"price": "nan"}, {"iops_max": "0"}, {"name": ""}, {"backend": "tape"}):
        assert client.post("/admin/volume-types/new", fields | wrong).status_code == 400, wrong
    assert client.post("/admin/volume-types/new", fields)["Location"] == "/admin/volume-types"
    kind = volume_types.list(SYSTEM).get(name="economy")
    assert (kind.iops_max, kind.mib_per_second_max, kind.price_micros) == (300, None, 50_000)
    at = f"/admin/volume-types/{kind.id}"
    assert 'value="0.05"' in client.get(at).content.decode()
    client.post(at, {"name": "economy", "price": "1", "iops_max": ""})
    kind.refresh_from_db()
    assert (kind.iops_max, kind.price_micros) == (None, 1_000_000)
    client.post(f"{at}/retire")
    client.post(f"{at}/restore")
    volumes.create(world.ctx("member"), name="data", size_gib=1, type_id=kind.id)
    assert "A volume has the type economy" in client.get(at).content.decode()
    assert client.post(at, {"name": "cheap"}).status_code == 409
    assert "economy" in client.get("/admin/volume-types").content.decode()


def test_a_whole_instance_in_the_portal(browse: Browse, world: World) -> None:
    """Launched on a volume by the form, remembered with all its disks, gone back to, launched from, deleted."""
    client, ctx = browse("member"), world.ctx("member")
    fields = {
        "name": "web", "image": str(world.image.id), "size": str(world.flavor.id), "network": str(world.network.id), "count": "1",
        "root": "new", "root_dies": "on", "token": "",
    }  # fmt: skip
    assert client.post("/p/shop/instances/new", fields | {"root": "volume:x"}).status_code == 422
    at = client.post("/p/shop/instances/new", fields)["Location"]
    work()
    shown = client.get(f"{at}/disks").content.decode()
    assert "boots from it" in shown
    assert "It goes when web is deleted" in shown
    assert client.post(f"{at}/disks/snapshot", {"name": "", "description": ""}).status_code == 400
    assert client.post(f"{at}/disks/snapshot", {"name": "monday", "description": "before the sale"})["Location"] == f"{at}/disks"
    work()
    whole = instance_snapshots.list(ctx).get()
    shown = client.get(f"{at}/disks").content.decode()
    assert "before the sale" in shown
    assert "web is running. Stop it first." in shown
    assert "web booted from a volume. Make the image of that volume&#x27;s snapshot." in shown
    assert f"whole:{whole.id}" in client.get("/p/shop/instances/new").content.decode()
    assert client.post("/p/shop/instances/new", fields | {"name": "copy", "image": "", "root": f"whole:{whole.id}"}).status_code == 302
    work()
    assert instances.list(ctx, q="copy").get().status == "running"
    instances.stop(ctx, whole.instance_id)
    work()
    assert client.post(f"/p/shop/instance-snapshots/{whole.id}/do/restore")["Location"] == f"{at}/disks"
    work()
    assert client.post(f"/p/shop/instance-snapshots/{whole.id}/do/nonsense").status_code == 404
    client.post(f"/p/shop/instance-snapshots/{whole.id}/do/delete")
    work()
    assert not instance_snapshots.list(ctx)
