"""Server groups in the portal and by REST."""

from __future__ import annotations

from collections.abc import Callable

from django.test import Client

from tests.world import World

Browse = Callable[..., Client]


def test_a_group_s_life(browse: Browse, world: World) -> None:
    instance, client, at = world.running(), browse("member"), "/p/shop/server-groups"
    assert client.post(at, {"name": "", "policy": "affinity"}).status_code == 400
    client.post(at, {"name": "databases", "policy": "anti-affinity"})
    [group] = instance.project.server_groups.all()
    client.post(f"{at}/{group.id}/add", {"instance": str(instance.id)})
    shown = client.get(at).content.decode()
    assert "Take web out" in shown
    assert "Nothing to decide" in shown
    assert "databases" in client.get(f"/p/shop/instances/{instance.id}").content.decode()
    client.post(f"{at}/{group.id}/remove", {"instance": str(instance.id)})
    client.post(f"{at}/{group.id}/nonsense", {"instance": str(instance.id)})
    client.post(f"{at}/{group.id}/delete")
    assert not instance.project.server_groups.exists()
    assert "Create server group" not in browse("reader").get(at).content.decode().replace("<h2", "")
