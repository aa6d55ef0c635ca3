"""Server groups: who is in which, what is on record, what is refused."""

from __future__ import annotations

import pytest

from cloudbox.common.errors import AlreadyExists, Conflict, Forbidden, Invalid, NotFound
from compute import instances, server_groups
from tests.world import World, work


def test_a_group_s_life(world: World) -> None:
    ctx = world.ctx("member")
    group = server_groups.create(ctx, name="databases", policy="anti-affinity")
    first, second = world.running(), world.running(name="second")
    assert server_groups.is_kept(server_groups.add(ctx, group.id, first.id))
    both = server_groups.add(ctx, group.id, second.id)
    assert [one.name for one in both.instances.all()] == ["second", "web"]
    assert "2 instances run together" in server_groups.verdict(both)
    assert not server_groups.is_kept(both)
    server_groups.add(ctx, group.id, second.id)
    other = server_groups.create(ctx, name="others", policy="affinity")
    with pytest.raises(Conflict, match="is in the group databases"):
        server_groups.add(ctx, other.id, first.id)
    instances.delete(ctx, second.id)
    work()
    assert server_groups.is_kept(server_groups.get(ctx, group.id))
    server_groups.remove(ctx, group.id, first.id)
    with pytest.raises(NotFound):
        server_groups.remove(ctx, group.id, first.id)
    server_groups.add(ctx, other.id, first.id)
    server_groups.delete(ctx, other.id)
    assert instances.get(ctx, first.id).group_id is None


def test_what_is_refused(world: World) -> None:
    ctx = world.ctx("member")
    group = server_groups.create(ctx, name="databases", policy="affinity")
    with pytest.raises(AlreadyExists):
        server_groups.create(ctx, name="DATABASES", policy="affinity")
    with pytest.raises(Invalid):
        server_groups.create(ctx, name="x", policy="wherever")
    with pytest.raises(Forbidden):
        server_groups.create(world.ctx("reader"), name="x", policy="affinity")
    with pytest.raises(NotFound):
        server_groups.get(world.ctx("stranger", world.other), group.id)
    stranger = server_groups.create(world.ctx("stranger", world.other), name="theirs", policy="affinity")
    with pytest.raises(NotFound):
        server_groups.add(ctx, stranger.id, world.running().id)
