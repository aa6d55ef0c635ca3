"""Unmodified clients against a live server: openstacksdk and python-openstackclient make a cloud, over fake machines."""

from __future__ import annotations

from typing import Any

import openstack
import pytest

from tests.identity.keystone.conftest import PASSWORD
from tests.identity.keystone.test_clients import cloud as people
from tests.identity.keystone.test_clients import run
from tests.world import World, work

__all__ = ["people"]
pytestmark = pytest.mark.slow


def _connect(live_server: Any) -> Any:
    return openstack.connection.Connection(
        auth={
            "auth_url": f"{live_server.url}/identity",
            "username": "owner@example.org",
            "password": PASSWORD,
            "project_name": "Shop",
            "user_domain_id": "default",
            "project_domain_id": "default",
        },
        identity_api_version="3",
        compute_default_microversion="2.96",
    )


def test_openstacksdk(people: World, live_server: Any) -> None:
    """Key, network, subnet, router, group, server, floating IP: made, found by name, and all taken away again."""
    sdk = _connect(live_server)
    image, flavor = sdk.image.find_image("Debian"), sdk.compute.find_flavor("m1.tiny")
    outer = next(sdk.network.networks(**{"router:external": True}))
    net = sdk.network.create_network(name="front")
    subnet = sdk.network.create_subnet(network_id=net.id, ip_version=4, cidr="10.66.0.0/24", name="front")
    router = sdk.network.create_router(name="gate", external_gateway_info={"network_id": outer.id})
    sdk.network.add_interface_to_router(router, subnet_id=subnet.id)
    group = sdk.network.create_security_group(name="ssh")
    sdk.network.create_security_group_rule(
        security_group_id=group.id, direction="ingress", protocol="tcp", port_range_min=22, port_range_max=22
    )
    key = sdk.compute.create_keypair(name="mine", public_key=_public_key())
    server = sdk.compute.create_server(
        name="web",
        image_id=image.id,
        flavor_id=flavor.id,
        key_name=key.name,
        networks=[{"uuid": net.id}],
        security_groups=[{"name": "ssh"}],
        metadata={"role": "web"},
    )
    work()
    server = sdk.compute.get_server(server.id)
    assert (server.status, server.metadata, server.flavor.original_name, server.key_name) == ("ACTIVE", {"role": "web"}, "m1.tiny", "mine")
    port = next(sdk.network.ports(device_id=server.id))
    floating = sdk.network.create_ip(floating_network_id=outer.id, port_id=port.id)
    server = sdk.compute.get_server(server.id)
    assert {row["addr"] for row in server.addresses["front"]} == {port.fixed_ips[0]["ip_address"], floating.floating_ip_address}
    assert [row.id for row in sdk.compute.servers(name="^web$")] == [server.id]
    assert sdk.compute.find_server("web").id == server.id
    sdk.compute.stop_server(server)
    work()
    assert sdk.compute.get_server(server.id).status == "SHUTOFF"
    assert {row.action for row in sdk.compute.server_actions(server)} == {"create", "stop"}
    sdk.network.delete_ip(floating)
    sdk.compute.delete_server(server)
    work()
    assert list(sdk.compute.servers()) == []
    sdk.network.remove_interface_from_router(router, subnet_id=subnet.id)
    for delete, row in (
        (sdk.network.delete_router, router),
        (sdk.network.delete_subnet, subnet),
        (sdk.network.delete_network, net),
        (sdk.network.delete_security_group, group),
        (sdk.compute.delete_keypair, key),
    ):
        delete(row, ignore_missing=False)
    assert [row.name for row in sdk.network.networks(**{"router:external": False})] == ["private"]
    assert list(sdk.compute.keypairs()) == []


def test_volumes_by_the_sdk(people: World, live_server: Any) -> None:
    """A volume, a snapshot, a copy, an attachment, an offer: made, waited for and taken away as the SDK does it."""
    sdk = _connect(live_server)
    volume = sdk.block_storage.create_volume(name="data", size=1, metadata={"a": "b"}, volume_type=next(sdk.block_storage.types()).name)
    work()
    volume = sdk.block_storage.wait_for_status(volume, "available", wait=10)
    snapshot = sdk.block_storage.create_snapshot(volume_id=volume.id, name="before")
    work()
    assert sdk.block_storage.find_snapshot("before").status == "available"
    copy = sdk.block_storage.create_volume(name="copy", snapshot_id=snapshot.id)
    work()
    server = people.running(name="web")
    sdk.compute.create_volume_attachment(str(server.id), volume_id=volume.id)
    work()
    assert sdk.block_storage.get_volume(volume.id).attachments[0]["server_id"] == str(server.id)
    assert [row.volume_id for row in sdk.block_storage.attachments()] == [volume.id]
    sdk.compute.delete_volume_attachment(str(server.id), volume.id)
    work()
    sdk.block_storage.extend_volume(volume, 2)
    work()
    assert sdk.block_storage.get_volume(volume.id).size == 2
    offer = sdk.block_storage.create_transfer(volume_id=copy.id, name="gift")
    assert offer.auth_key
    sdk.block_storage.delete_transfer(offer)
    assert sdk.block_storage.get_limits().absolute.total_volumes_used == 2
    assert sdk.block_storage.get_quota_set(people.project.id.hex).volumes == 20
    sdk.block_storage.delete_snapshot(snapshot)
    work()
    for row in (volume, copy):
        sdk.block_storage.delete_volume(row, ignore_missing=False)
    work()
    assert list(sdk.block_storage.volumes()) == []


def _public_key() -> str:
    from cryptography.hazmat.primitives.asymmetric import ed25519
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return ed25519.Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def test_openstackclient(people: World, live_server: Any) -> None:
    """As people type it: what there is, a server by names, its list and its end."""
    who = {"OS_USERNAME": "owner@example.org", "OS_PROJECT_NAME": "Shop"}

    def ask(*words: str) -> Any:
        return run(live_server, *words, "-f", "json", **who)

    assert [row["Name"] for row in ask("image", "list")] == ["Debian"]
    assert [row["Name"] for row in ask("flavor", "list")] == ["m1.tiny"]
    assert {row["Name"] for row in ask("network", "list")} == {"private", "public"}
    made = ask("server", "create", "--image", "Debian", "--flavor", "m1.tiny", "--network", "private", "web")
    work()
    rows = ask("server", "list", "--long")
    assert [(row["Name"], row["Status"], row["Image Name"]) for row in rows] == [("web", "ACTIVE", "Debian")]
    assert ask("server", "show", "web")["id"] == made["id"]
    assert {row["Alias"] for row in ask("extension", "list", "--network")} >= {"router"}
    assert ask("limits", "show", "--absolute")
    ask("volume", "create", "--size", "1", "--property", "a=b", "data")
    work()
    run(live_server, "server", "add", "volume", "web", "data", **who)
    work()
    (row,) = ask("volume", "list")
    assert (row["Name"], row["Status"], row["Attached to"][0]["server_id"]) == ("data", "in-use", made["id"])
    run(live_server, "server", "remove", "volume", "web", "data", **who)
    work()
    ask("volume", "snapshot", "create", "--volume", "data", "before")
    work()
    assert ask("volume", "snapshot", "show", "before")["status"] == "available"
    assert [row["Is Public"] for row in ask("volume", "type", "list")] == [True]
    run(live_server, "volume", "snapshot", "delete", "before", **who)
    work()
    run(live_server, "volume", "delete", "data", **who)
    run(live_server, "server", "delete", "web", **who)
    work()
    assert ask("server", "list") == []
