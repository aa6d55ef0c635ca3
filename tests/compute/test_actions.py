"""The table of actions and the machine of states agree, and every refusal says what to do."""

from __future__ import annotations

import pytest

from cloudbox.common.errors import Conflict, NotFound
from compute import actions, instances
from compute.actions import ACTIONS
from compute.lifecycle import MOVES, MOVING, machine
from compute.models import Instance, UsageInterval
from tests.world import World

S = Instance.Status
# The status that an action moves to at once; the others wait for their job.
VIA = {"start": S.STARTING, "stop": S.STOPPING, "reboot": S.REBOOTING, "reset": S.REBOOTING, "suspend": S.SUSPENDING, "delete": S.DELETING}


def test_all_statuses_have_moves() -> None:
    assert set(MOVES) == set(S.values)
    assert {target for targets in MOVES.values() for target in targets} <= set(S.values)


@pytest.mark.parametrize("key", VIA)
def test_what_is_offered_can_be_begun(key: str) -> None:
    """From each status at which an action is offered, the machine may take the action's first move."""
    for status in ACTIONS[key].states - ACTIONS[key].already:
        assert status == VIA[key] or VIA[key] in MOVES[status], status


def test_every_way_leads_out() -> None:
    """From each status on the way, each settled one and ERROR can be reached: rows can always tell what the machine is."""
    settled = {S.RUNNING, S.STOPPED, S.PAUSED, S.SUSPENDED, S.ERROR}
    for status in MOVING - {S.BUILDING, S.DELETING}:
        assert settled <= MOVES[status], status
    assert MOVES[S.DELETED] == frozenset()


def test_a_sentence_for_every_refusal(world: World) -> None:
    """Every action in every status: possible, or a sentence about this instance that says what to do."""
    instance, ctx = world.launch()[0], world.ctx("member")
    for key, action in ACTIONS.items():
        for status in S.values:
            instance.status = status
            reason = actions.why_not(ctx, instance, key)
            assert (reason == "") == (status in action.states and not action.besides(instance)), (key, status)
            assert not reason or (reason.startswith(("web is ", "web has ")) and reason.endswith(".")), (key, status)


def test_roles_come_first(world: World) -> None:
    instance = world.launch()[0]
    assert "needs the role member" in actions.why_not(world.ctx("reader"), instance, "stop")
    assert actions.why_not(world.ctx("support"), instance, "stop") == "Your role may look only."


def test_asking_for_what_is_so_succeeds(world: World) -> None:
    """Start of a running one, stop of a stopped one: nothing happens, and nobody is scolded."""
    instance, ctx = world.running(), world.ctx("member")
    assert instances.start(ctx, instance.id).status == "running"
    assert instances.resume(ctx, instance.id).status == "running"
    assert instances.delete(ctx, instance.id).status == "deleting"
    assert instances.delete(ctx, instance.id).status == "deleting"


def test_locks_and_protection(world: World) -> None:
    instance, ctx = world.running(), world.ctx("member")
    instances.lock(ctx, instance.id)
    for verb in (instances.stop, instances.delete, instances.protect):
        with pytest.raises(Conflict, match="locked by Member"):
            verb(world.ctx("owner"), instance.id)
    with pytest.raises(Conflict, match="locked"):
        instances.rename(ctx, instance.id, "x")
    instances.unlock(ctx, instance.id)
    instances.protect(ctx, instance.id)
    with pytest.raises(Conflict, match="protected"):
        instances.delete(ctx, instance.id)


def test_strangers_find_nothing(world: World) -> None:
    instance, stranger = world.running(), world.ctx("stranger", world.other)
    for verb in (instances.get, instances.start, instances.stop, instances.delete, instances.lock, instances.pause):
        with pytest.raises(NotFound):
            verb(stranger, instance.id)
    assert not instances.list(stranger).exists()


def test_a_move_is_guarded_and_leaves_its_facts(world: World) -> None:
    """Moves that are not in the table are refused; a move turns the usage interval; moving to where one is does nothing."""
    instance = world.running()
    with pytest.raises(Conflict):
        machine.move(instance, "suspended-twice", actor=world.ctx("member").actor)
    assert instance.status == "running"
    machine.move(instance, S.STOPPING, actor=world.ctx("member").actor)
    machine.move(instance, S.STOPPING, actor=world.ctx("member").actor)
    history = list(UsageInterval.objects.filter(instance=instance).order_by("start", "id"))
    assert [row.status for row in history] == ["building", "running", "stopping"]
    assert [row.end for row in history[:-1]] == [row.start for row in history[1:]]
    assert history[-1].end is None
