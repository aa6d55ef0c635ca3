"""The disk that tells an instance what the metadata service tells: what lies on it, and that it follows the instance."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from django.test import Client

from cloudbox.common.errors import Invalid
from cloudbox.common.models import Event
from compute import changes, config_drives, host, images, instances, keypairs, metadata_options
from compute.drivers import iso9660
from compute.drivers.libvirt import xml
from compute.drivers.specs import MachineSpec
from compute.metadata_tree import Card, InstanceMetadata
from compute.models import ConfigDrive, Instance
from tests.compute import discs
from tests.world import World, work

AT = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def _told(**more: object) -> InstanceMetadata:
    cards = (
        Card(port_id=str(uuid4()), network_id=str(uuid4()), mac="52:54:00:00:00:01", ip="10.0.0.5", cidr="10.0.0.0/24"),
        Card(
            port_id=str(uuid4()),
            network_id=str(uuid4()),
            mac="52:54:00:00:00:02",
            ip="10.1.0.5",
            cidr="10.1.0.0/20",
            gateway="10.1.0.1",
            dhcp=False,
            mtu=1400,
            dns_servers=("9.9.9.9",),
            routes=(("192.0.2.0/24", "10.1.0.9"),),
            ip6="fd00::5",
            ipv6_cidr="fd00::/64",
            ipv6_mode="dhcp-stateful",
        ),
    )
    fields = {"id": uuid4(), "name": "web", "hostname": "web-1", "project_id": "p", "ip": "10.0.0.5", "mac": cards[0].mac, "cards": cards}
    return InstanceMetadata(**(fields | more))  # type: ignore[arg-type]


def test_the_disc_both_ways(tmp_path: Path) -> None:
    """Read back by its Rock Ridge names and by its Joliet names, every path has its bytes: long names, directories, an empty file, one
    that fills its sectors exactly, so many that a directory takes several sectors. Where bsdtar is there, it reads the same."""
    files = {f"many/{n:03}-{'x' * 40}": b"%d" % n for n in range(120)}
    files |= {"meta-data": b"{}", "user-data": b"", "a/b/c/Deep.File": b"z" * 2048, "a/big": bytes(range(256)) * 300, "a/same": b"{}"}
    made = iso9660.disc("cidata", files, at=AT)
    assert made == iso9660.disc("cidata", files, at=AT)
    for joliet in (False, True):
        label, found = discs.read(made, joliet=joliet)
        assert (label, found) == ("cidata", files)
    path = tmp_path / "disc.iso"
    path.write_bytes(made)
    try:
        listed = subprocess.run(["bsdtar", "-tf", str(path)], capture_output=True, text=True, check=True).stdout.split()
    except FileNotFoundError:
        return
    assert {name for name in listed if not name.endswith("/")} - {".", "a", "a/b", "a/b/c", "many"} == files.keys()


@pytest.mark.parametrize("files", [{"": b""}, {"a//b": b""}, {"x" * 65: b""}, {"ö": b""}, {"big": b"x" * iso9660.SIZE_BYTES_MAX}])
def test_what_is_no_disc(files: dict[str, bytes]) -> None:
    """Names that a disc cannot have, and more than it takes, are refused."""
    with pytest.raises(ValueError):
        iso9660.disc("cidata", files, at=AT)


def test_nocloud() -> None:
    """Names and keys as YAML that no tenant's text breaks, user data as they came, and the cards with and without DHCP."""
    told = _told(
        user_data=b"\x1f\x8bgzip", dns_domain="lab.internal", tags={"a: b\n- c": "#"}, public_keys=(("k", "ssh-ed25519 AAAA x\n"),)
    )
    made = config_drives.files(told, ConfigDrive.NOCLOUD)
    assert set(made) == {"meta-data", "user-data", "vendor-data", "network-config"}
    assert made["user-data"] == b"\x1f\x8bgzip"
    about = json.loads(made["meta-data"])
    assert (about["instance-id"], about["local-hostname"], about["public-keys"]) == (
        str(told.id),
        "web-1.lab.internal",
        ["ssh-ed25519 AAAA x"],
    )
    assert about["tags"] == {"a: b\n- c": "#"}
    first, second = json.loads(made["network-config"])["ethernets"].values()
    assert first == {"match": {"macaddress": "52:54:00:00:00:01"}, "mtu": 1500, "dhcp4": True}
    assert second == {
        "match": {"macaddress": "52:54:00:00:00:02"},
        "mtu": 1400,
        "addresses": ["10.1.0.5/20"],
        "routes": [{"to": "192.0.2.0/24", "via": "10.1.0.9"}, {"to": "0.0.0.0/0", "via": "10.1.0.1"}],
        "nameservers": {"addresses": ["9.9.9.9"]},
        "dhcp6": True,
        "accept-ra": True,
    }


def test_openstacks() -> None:
    """Every version of the tree that the metadata service offers, with the same bytes; no user data: no such file."""
    made = config_drives.files(_told(), ConfigDrive.OPENSTACK)
    assert {path.split("/")[2] for path in made} == {"meta_data.json", "network_data.json", "vendor_data.json", "vendor_data2.json"}
    assert made["openstack/latest/meta_data.json"] == made["openstack/2018-08-27/meta_data.json"]
    assert "openstack/latest/user_data" in config_drives.files(_told(user_data=b"x"), ConfigDrive.OPENSTACK)


@pytest.mark.parametrize(("bus", "device", "target"), [("virtio", "disk", "vdz"), ("sata", "cdrom", "sdc"), ("scsi", "cdrom", "sdc")])
def test_in_the_machine(bus: str, device: str, target: str) -> None:
    """Read-only, as a raw file, behind every other disk; and what a volume is called does not collide with it."""
    spec = MachineSpec(id=uuid4(), name="x", vcpus=1, memory_mib=64, root_disk=Path("/r"), config_drive=Path("/c"), disk_bus=bus)
    text = xml.domain(spec, home=Path("/h"), box="b", accelerator="tcg")
    found = [each for each in xml.ET.fromstring(text).iterfind("devices/disk") if each.findtext("serial") == "config"]
    (disk,) = found
    assert (disk.get("device"), disk.find("driver").get("type"), disk.find("target").get("dev")) == (device, "raw", target)  # type: ignore[union-attr]
    assert disk.find("readonly") is not None
    assert xml.free_target(text) == "vdb" if bus == "virtio" else True


def _disc(instance: Instance) -> tuple[str, dict[str, bytes]]:
    return discs.read(host.volumes().config_drive_path(instance.id).read_bytes(), joliet=False)


def test_it_follows_the_instance(world: World) -> None:
    """Made at the launch with key and user data; anew at each start from off, after a rebuild, with what is true then; another layout when
    that is asked for, none when none is; and gone with the instance."""
    ctx = world.ctx("member")
    key = keypairs.create(ctx, name="mine")[0]
    (instance,) = world.launch(config_drive="nocloud", user_data=b"#cloud-config\n", keypair_id=key.id)
    work(instance.id)
    label, files = _disc(instance)
    assert (label, files["user-data"]) == ("cidata", b"#cloud-config\n")
    assert json.loads(files["meta-data"])["public-keys"] == [key.public_key]
    assert host.hypervisor()._machines[instance.id].spec.config_drive == host.volumes().config_drive_path(instance.id)  # type: ignore[attr-defined]

    instances.update(ctx, instance.id, metadata={"role": "db"})
    assert "role" not in json.loads(_disc(instance)[1]["meta-data"])["meta"]
    changes.rebuild(ctx, instance.id, keep=False)
    work(instance.id)
    assert json.loads(_disc(instance)[1]["meta-data"])["meta"] == {"role": "db"}

    for layout, expected in (("openstack", "config-2"), ("", "")):
        metadata_options.set(ctx, instance.id, tokens_required=False, config_drive=layout)
        instances.stop(ctx, instance.id, force=True)
        work(instance.id)
        instances.start(ctx, instance.id)
        work(instance.id)
        if expected:
            assert _disc(instance)[0] == expected
    assert not host.volumes().config_drive_path(instance.id).exists()
    assert host.hypervisor()._machines[instance.id].spec.config_drive is None  # type: ignore[attr-defined]
    assert Event.objects.filter(subject_id=instance.id, verb="config-drive").count() == 2

    metadata_options.set(ctx, instance.id, tokens_required=False, config_drive="nocloud")
    instances.delete(ctx, instance.id)
    work(instance.id)
    assert not host.volumes().config_drive_path(instance.id).parent.exists()


def test_a_launch_that_cannot_write_it(world: World) -> None:
    """The host's disk is full as the disc is written: the launch is undone, says why, and leaves nothing."""
    host.volumes().fail("put_config_drive", times=9)  # type: ignore[attr-defined]
    (instance,) = world.launch(config_drive="nocloud")
    work(instance.id)
    instance.refresh_from_db()
    assert instance.status == "error"
    assert host.volumes().all() == set()


def test_as_the_image_has_it(world: World) -> None:
    """What the image says holds where the launch says nothing; the launch may say none; nonsense is refused by both."""
    ctx = world.ctx("owner")
    world.image.project, world.image.visibility = world.project, "private"
    world.image.save()
    images.update(ctx, world.image.id, config_drive="openstack")
    assert world.launch(name="a")[0].config_drive == "openstack"
    assert world.launch(name="b", config_drive="")[0].config_drive == ""
    assert world.launch(name="c", config_drive="nocloud")[0].config_drive == "nocloud"
    images.update(ctx, world.image.id, config_drive="")
    assert world.launch(name="d")[0].config_drive == ""
    with pytest.raises(Invalid):
        images.update(ctx, world.image.id, config_drive="floppy")
    with pytest.raises(Invalid):
        world.launch(name="e", config_drive="floppy")


def test_by_rest_and_portal(world: World) -> None:
    """Both launch with it and show it; both change it."""
    rest = Client(headers={"Authorization": f"Bearer {world.token('member', 'member')}"})
    base = f"/api/v1/projects/{world.project.slug}/instances"
    body = {"name": "r", "image_id": str(world.image.id), "flavor_id": str(world.flavor.id), "config_drive": "nocloud"}
    answer = rest.post(base, body, content_type="application/json")
    assert answer.status_code == 202, answer.content
    made = answer.json()["items"][0]
    assert made["config_drive"] == "nocloud"
    assert rest.post(base, body | {"config_drive": "x"}, content_type="application/json").status_code in (400, 422)
    options = f"{base}/{made['id']}/metadata-options"
    put = rest.put(options, {"tokens_required": False, "config_drive": "openstack"}, content_type="application/json")
    assert put.json()["config_drive"] == "openstack"
    put = rest.put(options, {"tokens_required": False}, content_type="application/json")
    assert put.json()["config_drive"] == "openstack"

    portal = Client()
    portal.force_login(world.users["member"])
    form = {"name": "p", "image": str(world.image.id), "size": str(world.flavor.id), "network": str(world.network.id)}
    assert portal.post(f"/p/{world.project.slug}/instances/new", form | {"config_drive": "openstack"}).status_code == 302
    instance = Instance.objects.get(name="p")
    assert instance.config_drive == "openstack"
    page = f"/p/{world.project.slug}/instances/{instance.id}/settings"
    assert 'value="openstack" selected' in portal.get(page).content.decode()
    assert portal.post(page, {"form": "service", "token_hops": "1", "config_drive": ""}).status_code == 302
    instance.refresh_from_db()
    assert instance.config_drive == ""
    assert portal.post(page, {"form": "service", "token_hops": "1", "config_drive": "x"}).status_code == 422
