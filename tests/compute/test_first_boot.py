"""What an instance is told when it boots: its metadata from the tables, and how it may ask."""

from __future__ import annotations

import base64
import gzip

import pytest

from cloudbox.common.errors import Conflict, Forbidden, Invalid, NotFound
from cloudbox.common.models import Event
from compute import floating_ips, instances, metadata_options, networks
from compute.agent.metadata import keep_password, lookup
from compute.models import Instance
from tests.world import World


def test_every_card_is_told(world: World) -> None:
    """With network, gateway, outer address and groups, whichever of the cards asks; an address that nobody has gets nothing."""
    ctx = world.ctx("member")
    second = networks.create(ctx, name="back", nat=False)
    instance = world.running(network_ids=(world.network.id, second.id))
    first, other = instance.ports.order_by("index")
    address = floating_ips.allocate(ctx)
    floating_ips.associate(ctx, address.id, port_id=first.id)
    told = lookup(second.id, other.ip)
    assert told is not None
    assert (told.id, told.ip, told.mac) == (instance.id, other.ip, other.mac)
    front, back = told.cards
    assert (front.ip, front.public_ip, front.gateway, front.dns_servers) == (
        first.ip,
        address.address,
        world.network.gateway_ip,
        (world.network.gateway_ip,),
    )
    assert (back.ip, back.public_ip, back.gateway, back.cidr) == (other.ip, "", "", second.cidr)
    assert [name for _, name in front.security_groups] == ["default"]
    assert lookup(second.id, first.ip) is None
    assert not keep_password(second.id, first.ip, "x")


def test_a_password_is_kept_once(world: World) -> None:
    """The first that the guest leaves; a later one changes nothing."""
    instance = world.running()
    port = instance.ports.get()
    assert keep_password(port.network_id, port.ip, "c2VjcmV0")
    assert not keep_password(port.network_id, port.ip, "b3RoZXI=")
    told = lookup(port.network_id, port.ip)
    assert told is not None
    assert told.password == "c2VjcmV0"


def test_how_metadata_is_asked_for(world: World) -> None:
    """Who may change the instance says it, the metadata service hears it, and it is written down; a locked instance stays as it is."""
    ctx, instance = world.ctx("member"), world.running()
    port = instance.ports.get()
    told = lookup(port.network_id, port.ip)
    assert told is not None
    assert (told.tokens_required, told.token_hops) == (False, 1)
    for _ in range(2):
        metadata_options.set(ctx, instance.id, tokens_required=True, token_hops=2)
    told = lookup(port.network_id, port.ip)
    assert told is not None
    assert (told.tokens_required, told.token_hops) == (True, 2)
    (event,) = Event.objects.filter(verb="metadata-tokens")
    assert event.detail == "required, 2 hops"
    for hops in (0, 65):
        with pytest.raises(Invalid):
            metadata_options.set(ctx, instance.id, tokens_required=True, token_hops=hops)
    with pytest.raises(Forbidden):
        metadata_options.set(world.ctx("reader"), instance.id, tokens_required=False)
    with pytest.raises(NotFound):
        metadata_options.set(world.ctx("stranger", world.other), instance.id, tokens_required=False)
    instances.lock(world.ctx("owner"), instance.id)
    with pytest.raises(Conflict):
        metadata_options.set(ctx, instance.id, tokens_required=False)


def test_by_rest(world: World) -> None:
    """The options, and user data that is no text: gzip goes in by base64 as it is; both forms at once, or no base64, are refused."""
    from django.test import Client

    client = Client(headers={"Authorization": f"Bearer {world.token('member', 'member')}"})
    base = f"/api/v1/projects/{world.project.slug}/instances"
    packed = gzip.compress(b"#cloud-config\n")
    body = {"name": "zip", "image_id": str(world.image.id), "flavor_id": str(world.flavor.id)}
    json = "application/json"
    answer = client.post(base, body | {"user_data_base64": base64.b64encode(packed).decode()}, content_type=json)
    assert answer.status_code == 202, answer.content
    id = answer.json()["items"][0]["id"]
    assert bytes(Instance.objects.get(id=id).user_data) == packed
    for wrong in ({"user_data_base64": "%%%"}, {"user_data_base64": "YQ==", "user_data": "a"}):
        answer = client.post(base, body | wrong, content_type=json)
        assert answer.status_code in (400, 422), answer.content
    options = f"{base}/{id}/metadata-options"
    assert client.get(options).json() == {"tokens_required": False, "token_hops": 1, "config_drive": ""}
    put = client.put(options, {"tokens_required": True, "token_hops": 2}, content_type=json)
    assert put.json() == {"tokens_required": True, "token_hops": 2, "config_drive": ""}
    assert client.put(options, {"tokens_required": True, "token_hops": 0}, content_type=json).status_code in (400, 422)


def test_by_the_settings_page(world: World) -> None:
    """The form on the page of the instance sets both, keeps what was typed when it is wrong, and says so."""
    from django.test import Client

    instance = world.running()
    client = Client()
    client.force_login(world.users["member"])
    page = f"/p/{world.project.slug}/instances/{instance.id}/settings"
    assert client.post(page, {"form": "service", "tokens_required": "on", "token_hops": "2"}).status_code == 302
    instance.refresh_from_db()
    assert (instance.tokens_required, instance.token_hops) == (True, 2)
    answer = client.post(page, {"form": "service", "token_hops": "99"})
    assert answer.status_code == 422
    assert "A token travels 1 to 64 hops." in answer.content.decode()
    instance.refresh_from_db()
    assert instance.tokens_required
