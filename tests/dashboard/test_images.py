"""Images in the portal: the form, where a mistake is shown, and the page of one on its way in, ready and failed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from compute import snapshots, volumes
from compute.jobs import export_image, import_image
from compute.models import CatalogueEntry, Image, ImageExport
from tests.buckets import Buckets
from tests.world import World, work

Browse = Callable[[str], Any]


def test_bringing_one_in(world: World, browse: Browse, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Buckets({"disks": {"disk.raw": bytes(2**20)}})
    monkeypatch.setattr(import_image, "store_of", lambda project_id: store)
    client, at = browse("member"), "/p/shop/images"
    assert 'value="my/disk.raw"' in client.get(f"{at}/new?bucket=disks&key=my/disk.raw").content.decode()
    form = {"name": "Own", "of": "object", "bucket": "disks", "key": "disk.raw", "url": "left over", "min_disk_gib": "2"}
    wrong = client.post(f"{at}/new", form | {"key": ""})
    assert wrong.status_code == 400
    assert b"Name the bucket, and the object in it." in wrong.content
    made = client.post(f"{at}/new", form)
    assert made.status_code == 302
    assert b"It is on its way in: 0 %" in client.get(made["Location"]).content
    work()
    shown = client.get(made["Location"]).content
    assert b"It has neither boot code nor partitions" in shown
    Image.objects.filter(name="Own").update(status="failed", error="The file is a text, not a disk.")
    assert b"The file is a text, not a disk. Delete it" in client.get(made["Location"]).content
    assert b"Failed" in client.get(at).content


def test_sharing(world: World, browse: Browse) -> None:
    """Settings and members on one side, accepting and turning down on the other; what cannot be done says why."""
    image = Image.objects.create(project=world.project, name="Own", status="ready", virtual_bytes=2**20)
    client, other, at = browse("member"), browse("stranger"), f"/p/shop/images/{image.id}"
    there = f"/p/{world.other.slug}/images"
    for wrong in ("", "other", "0b7c6f5e-4f0f-4f0e-9d1c-2f3a4b5c6d7e"):
        answer = client.post(f"{at}/share", {"project_id": wrong})
        assert answer.status_code == 400
        assert b"ID" in answer.content
    assert client.post(f"{at}/share", {"project_id": str(world.other.id)}).status_code == 302
    shown = client.get(at).content.decode()
    assert f"members/{world.other.id}/withdraw" in shown
    assert "Offered" in shown
    assert "Offered to this project" in other.get(there).content.decode()
    offered = other.get(f"{there}/{image.id}").content.decode()
    assert "Accept it to launch from it" in offered
    assert "It belongs" not in offered
    assert "was offered to this project. Accept it first." in offered
    other.post(f"{there}/{image.id}/accept")
    assert "From other projects" in other.get(there).content.decode()
    assert "belongs to another project, which keeps it" in other.get(f"{there}/{image.id}").content.decode()
    assert client.post(f"{at}/members/{world.other.id}/withdraw").status_code == 302
    assert other.get(f"{there}/{image.id}").status_code == 404
    change = {
        "name": "Mine",
        "visibility": "community",
        "disk_bus": "sata",
        "nic_model": "e1000e",
        "min_disk_gib": "2",
        "min_memory_mib": "",
    }
    assert client.post(at, change).status_code == 302
    image.refresh_from_db()
    assert (image.name, image.visibility, image.disk_bus, image.min_disk_gib) == ("Mine", "community", "sata", 2)
    assert client.post(at, {"disk_bus": "floppy"}).status_code == 400
    assert "Mine" not in other.get(there).content.decode()
    assert "Mine" in other.get(f"{there}?of=community").content.decode()
    assert "Mine" in other.get(f"/p/{world.other.slug}/instances/new?image={image.id}").content.decode()
    client.post(f"{at}/protect")
    assert b"is protected. Take the protection off first." in client.get(at).content


def test_a_verdict_with_its_fix(world: World, browse: Browse) -> None:
    facts = {"boot": {"bios": True, "uefi": False, "system": "windows", "sentence": "It looks bootable by BIOS."}}
    image = Image.objects.create(project=world.project, name="Win", status="ready", virtual_bytes=2**20, facts=facts)
    client, at = browse("member"), f"/p/shop/images/{image.id}"
    assert b"Give it SATA" in client.get("/p/shop/instances/new").content
    assert b"Use SATA and Intel e1000e" in client.get(at).content
    client.post(f"{at}/gentler")
    assert b"Give it SATA" not in client.get("/p/shop/instances/new").content
    assert b"SATA disk, Intel e1000e network card" in client.get(at).content


def test_exporting(world: World, browse: Browse, monkeypatch: pytest.MonkeyPatch) -> None:
    """Begun in a dialog, shown on its way, ready with its way down, and forgotten; a mistake opens the dialog again."""
    store = Buckets({"disks": {}})
    monkeypatch.setattr(export_image, "store_of", lambda project_id: store)
    client, at = browse("member"), f"/p/shop/images/{world.image.id}"
    wrong = client.post(f"{at}/export", {"format": "qcow2", "bucket": ""})
    assert wrong.status_code == 400
    assert b"Name the bucket" in wrong.content
    assert client.post(f"{at}/export", {"format": "qcow2", "bucket": "disks"}).status_code == 302
    assert b"Cancel the export of" in client.get(at).content
    work()
    row = ImageExport.objects.get()
    shown = client.get(at).content.decode()
    assert f"/p/shop/buckets/disks/o/download?object={row.key}" in shown
    told = client.post(f"{at}/exports/{row.id}/forget", follow=True).content.decode()
    assert "Its file stays in the bucket." in told
    assert row.key not in told
    assert client.post(f"{at}/exports/{row.id}/forget").status_code == 404


def test_making_one_of_a_snapshot(world: World, browse: Browse) -> None:
    ctx = world.ctx("member")
    volume = volumes.create(ctx, name="data", size_gib=1)
    work(volume.id)
    taken = snapshots.create(ctx, volume_id=volume.id, name="first")
    work(volume.id)
    client, at = browse("member"), "/p/shop/images/new"
    assert f'value="volume:{taken.id}"' in client.get(at).content.decode()
    wrong = client.post(at, {"name": "Made", "of": "snapshot", "snapshot": "volume:x"})
    assert b"Choose a snapshot of the list." in wrong.content
    made = client.post(at, {"name": "Made", "of": "snapshot", "snapshot": f"volume:{taken.id}", "url": "left over"})
    assert made.status_code == 302
    work()
    assert Image.objects.get(name="Made").status == "ready"


def test_the_catalogue(world: World, browse: Browse) -> None:
    client, at = browse("admin"), "/admin/images/catalogue"
    assert b"Debian 12" in client.get(at).content
    form = {"name": "Little", "version": "1", "url": "https://images.example.org/little.vmdk", "checksum": "1", "disk_bus": "sata"}
    wrong = client.post(f"{at}/new", form | {"nic_model": "virtio"})
    assert b"64 or 128 letters and digits" in wrong.content
    assert client.post(f"{at}/new", form | {"nic_model": "virtio", "checksum": "0" * 64}).status_code == 302
    row = CatalogueEntry.objects.get(name="Little")
    assert client.post(f"{at}/{row.id}", {"description": "Small"}).status_code == 302
    row.refresh_from_db()
    assert (row.description, row.disk_bus, row.checksum) == ("Small", "sata", "0" * 64)
    told = client.post(f"{at}/{row.id}/fetch", follow=True).content.decode()
    assert "Fetching Little 1." in told
    assert "Little 1 is on its way: 0 %." in told
    assert "is out of the catalogue" in client.post(f"{at}/{row.id}/delete", follow=True).content.decode()
    assert Image.objects.get(name="Little 1").entry is None
