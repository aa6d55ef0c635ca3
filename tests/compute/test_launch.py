"""Launch: what is checked before, what is written, and what a repeated request gives."""

from __future__ import annotations

from uuid import UUID

import pytest

from cloudbox.common.errors import AlreadyExists, CloudError, Conflict, Invalid, NotFound, TooLarge
from compute import flavors, images, instances, keypairs, networks, security_groups
from compute.models import Image, Instance
from identity import quotas
from identity.models import Quota
from tests.world import World

# An id of nothing. Made up once, since the workers of a parallel run must agree about the names of tests.
NOWHERE = UUID("6f0c5d3e-3f0b-4c55-9a51-0d2f5a1c7e11")


def test_what_is_written(world: World) -> None:
    """Several cards on several networks, a key, groups, tags; the second and third of three get numbers."""
    ctx = world.ctx("member")
    second = networks.create(ctx, name="second")
    key, _ = keypairs.create(ctx, name="k")
    group = security_groups.create(ctx, name="web")
    rows = world.launch(
        name="Shop Front",
        count=3,
        network_ids=(second.id, world.network.id, second.id),
        security_group_ids=(group.id,),
        keypair_id=key.id,
        tags={"tier": "web"},
        user_data=b"\x00\xff",
        disk_gib=7,
    )
    assert [row.name for row in rows] == ["Shop Front-1", "Shop Front-2", "Shop Front-3"]
    assert [row.hostname for row in rows] == ["shop-front-1", "shop-front-2", "shop-front-3"]
    found = instances.get(ctx, rows[0].id)
    assert [port.network.name for port in found.ports.all()] == ["second", "private"]
    assert [each.name for each in found.ports.all()[0].security_groups.all()] == ["web"]
    assert (found.public_key, found.disk_gib, found.tags) == (key.public_key, 7, {"tier": "web"})
    used = {line.resource: line.used for line in quotas.of(world.project)}
    assert (used["instances"], used["vcpus"], used["memory_mib"], used["disk_gib"], used["ports"]) == (3, 3, 1536, 21, 6)
    assert quotas.recount() == []


def test_the_same_token_gives_the_same(world: World) -> None:
    first = world.launch(token="order-1", count=2)
    again = world.launch(token="order-1", count=2)
    assert [row.id for row in again] == [row.id for row in first]
    assert Quota.objects.get(project=world.project, resource="instances").used == 2
    assert world.launch(name="other", token="order-2")[0].id not in {row.id for row in first}


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"name": ""}, Invalid),
        ({"name": "x" * 61}, Invalid),
        ({"name": "a\nb"}, Invalid),
        ({"count": 0}, Invalid),
        ({"count": 21}, Invalid),
        ({"hostname": "-x"}, Invalid),
        ({"hostname": "x", "count": 2}, Invalid),
        ({"user_data": b"x" * 65536}, TooLarge),
        ({"token": "with blank"}, Invalid),
        ({"token": "x" * 65}, Invalid),
        ({"disk_gib": 0}, Invalid),
        ({"disk_gib": 1}, Invalid),
        ({"disk_gib": 99999}, Invalid),
        ({"image_id": NOWHERE}, NotFound),
        ({"flavor_id": NOWHERE}, NotFound),
        ({"keypair_id": NOWHERE}, NotFound),
        ({"network_ids": (NOWHERE,)}, NotFound),
        ({"security_group_ids": (NOWHERE,)}, NotFound),
        ({"tags": {"": "x"}}, Invalid),
        ({"tags": {"a:b": "x"}}, Invalid),
        ({"tags": {f"k{n}": "v" for n in range(51)}}, Invalid),
        ({"tags": {"k": "v" * 129}}, Invalid),
        ({"description": "x" * 256}, Invalid),
    ],
    ids=str,
)
def test_refused(world: World, changes: dict[str, object], error: type[CloudError]) -> None:
    """Each with its meaning; nothing is written and nothing charged."""
    with pytest.raises(error):
        world.launch(**changes)
    assert not Instance.objects.exists()
    assert Quota.objects.get(project=world.project, resource="instances").used == 0


def test_a_name_is_taken_without_regard_to_case(world: World) -> None:
    world.launch(name="web")
    with pytest.raises(AlreadyExists):
        world.launch(name="WEB")
    assert Quota.objects.get(project=world.project, resource="instances").used == 1


def test_what_is_no_longer_offered(world: World) -> None:
    flavors.retire(world.box(), world.flavor.id)
    with pytest.raises(Conflict, match="no longer offered"):
        world.launch()
    flavors.restore(world.box(), world.flavor.id)
    images.deactivate(world.ctx("admin"), world.image.id)
    with pytest.raises(Conflict, match="deactivated"):
        world.launch()


def test_which_network(world: World) -> None:
    """With one network it need not be named, with two it must, with none there is nothing to launch on."""
    ctx = world.ctx("member")
    second = networks.create(ctx, name="second")
    with pytest.raises(Invalid, match="Say which"):
        world.launch()
    for network in (second, world.network):
        networks.delete(ctx, network.id)
    with pytest.raises(Conflict, match="no network"):
        world.launch()


def test_images_of_strangers(world: World) -> None:
    """Another project's private image is not there; the catalogue's is not a tenant's to change."""
    private = Image.objects.create(project=world.other, name="secret", status="ready", visibility="private")
    with pytest.raises(NotFound):
        images.get(world.ctx("owner"), private.id)
    with pytest.raises(NotFound):
        world.launch(image_id=private.id)
    with pytest.raises(CloudError, match="administrator"):
        images.rename(world.ctx("owner"), world.image.id, "mine")
    world.launch()
    with pytest.raises(Conflict, match="1 instance stands on"):
        images.delete(world.ctx("admin"), world.image.id)
