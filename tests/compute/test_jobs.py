"""Every job of an instance passes the trials of tests/jobs.py, on fake drivers; the rows tell the truth and the books balance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from cloudbox.common import jobs
from cloudbox.common.models import Job
from compute import changes, desired, flavors, guests, host, instances
from compute.drivers.specs import Power
from compute.lifecycle import bring_back
from compute.models import Flavor, Instance, Port
from identity import quotas
from identity.context import SYSTEM
from tests.jobs import Killed, changed, die_once, fail_after, fail_before, steps_of, twice
from tests.machines import eventually
from tests.world import World, work


@dataclass(frozen=True)
class Trial:
    """`prepare` gives the instance, `ask` starts the job, then it is to be `status` and its machine `power`."""

    kind: str
    prepare: Callable[[World], Instance]
    ask: Callable[[World, Instance], object]
    status: str
    power: Power


def _running(world: World) -> Instance:
    return world.running()


def _in(*verbs: str) -> Callable[[World], Instance]:
    def prepare(world: World) -> Instance:
        instance = world.running()
        for verb in verbs:
            getattr(instances, verb)(world.ctx("member"), instance.id)
            work()
        return instance

    return prepare


def _crashed(world: World) -> Instance:
    instance = world.running()
    host.hypervisor().crash(instance.id)  # type: ignore[attr-defined]
    return instance


def _ask(verb: str, **options: bool) -> Callable[[World, Instance], object]:
    return lambda world, instance: getattr(instances, verb)(world.ctx("member"), instance.id, **options)


def _change(verb: str) -> Callable[[World, Instance], object]:
    return lambda world, instance: getattr(changes, verb)(world.ctx("member"), instance.id)


def _resize(world: World, instance: Instance) -> object:
    larger = Flavor.objects.filter(name="m1.small").first() or flavors.create(SYSTEM, name="m1.small", vcpus=2, memory_mib=256, disk_gib=7)
    return changes.resize(world.ctx("member"), instance.id, flavor_id=larger.id)


def _password(world: World, instance: Instance) -> object:
    return guests.set_password(world.ctx("member"), instance.id, password="correct horse")


def _then(ask: Callable[[World, Instance], object]) -> Callable[[World], Instance]:
    def prepare(world: World) -> Instance:
        instance = world.running()
        ask(world, instance)
        work()
        return instance

    return prepare


TRIALS = {
    "launch": Trial("launch-instance", lambda world: world.launch()[0], lambda world, instance: None, "running", Power.RUNNING),
    "launch stopped": Trial(
        "launch-instance", lambda world: world.launch(start=False)[0], lambda world, instance: None, "stopped", Power.SHUTOFF
    ),
    "delete": Trial("delete-instance", _running, _ask("delete"), "deleted", Power.ABSENT),
    "delete stopped": Trial("delete-instance", _in("stop"), _ask("delete"), "deleted", Power.ABSENT),
    "start": Trial("start-instance", _in("stop"), _ask("start"), "running", Power.RUNNING),
    "start suspended": Trial("start-instance", _in("suspend"), _ask("start"), "running", Power.RUNNING),
    "stop": Trial("stop-instance", _running, _ask("stop"), "stopped", Power.POWERED_OFF),
    "stop forced": Trial("stop-instance", _running, _ask("stop", force=True), "stopped", Power.SHUTOFF),
    "stop paused": Trial("stop-instance", _in("pause"), _ask("stop"), "stopped", Power.SHUTOFF),
    "reboot": Trial("reboot-instance", _running, _ask("reboot"), "running", Power.RUNNING),
    "reset": Trial("reboot-instance", _running, _ask("reboot", hard=True), "running", Power.RUNNING),
    "pause": Trial("pause-instance", _running, _ask("pause"), "paused", Power.PAUSED),
    "resume": Trial("resume-instance", _in("pause"), _ask("resume"), "running", Power.RUNNING),
    "suspend": Trial("suspend-instance", _running, _ask("suspend"), "suspended", Power.SAVED),
    "suspend paused": Trial("suspend-instance", _in("pause"), _ask("suspend"), "suspended", Power.SAVED),
    "password": Trial("set-password-instance", _running, _password, "running", Power.RUNNING),
    "restore": Trial("restore-instance", _crashed, lambda world, instance: bring_back(instance), "running", Power.RUNNING),
}
LONG = {  # of many steps each: the everyday loop runs each step twice, the full run kills and fails at every one
    "resize": Trial("resize-instance", _running, _resize, "running", Power.RUNNING),
    "resize stopped": Trial("resize-instance", _in("stop"), _resize, "stopped", Power.POWERED_OFF),
    "revert resize": Trial("revert-resize-instance", _then(_resize), _change("revert_resize"), "running", Power.RUNNING),
    "rebuild": Trial("rebuild-instance", _running, _change("rebuild"), "running", Power.RUNNING),
    "undo rebuild": Trial("undo-rebuild-instance", _then(_change("rebuild")), _change("undo_rebuild"), "running", Power.RUNNING),
    "rescue": Trial("rescue-instance", _running, _change("rescue"), "running", Power.RUNNING),
    "unrescue": Trial("unrescue-instance", _then(_change("rescue")), _change("unrescue"), "running", Power.RUNNING),
    "shelve": Trial("shelve-instance", _running, _change("shelve"), "shelved", Power.ABSENT),
    "shelve stopped": Trial("shelve-instance", _in("stop"), _change("shelve"), "shelved", Power.ABSENT),
    "unshelve": Trial("unshelve-instance", _then(_change("shelve")), _change("unshelve"), "running", Power.RUNNING),
}
TRIALS |= LONG
EVERY_STEP = [
    pytest.param(trial, number, id=f"{name}, step {number + 1}", marks=[pytest.mark.slow] if name in LONG else [])
    for name, trial in TRIALS.items()
    for number in range(len(steps_of(trial.kind)))
]
TRUTH = {
    Power.RUNNING: "running",
    Power.PAUSED: "paused",
    Power.SHUTOFF: "stopped",
    Power.POWERED_OFF: "stopped",
    Power.SAVED: "suspended",
    Power.CRASHED: "error",
    Power.ABSENT: "shelved",
}


def test_every_kind_has_a_trial() -> None:
    kinds = {name for name, kind in jobs.registry.kinds.items() if kind.noun == "instance"}
    own = {kind for kind in kinds if "nic" in kind or "snapshot" in kind}  # in test_nics.py, test_instance_snapshots.py
    assert kinds - own == {trial.kind for trial in TRIALS.values()}


def _begin(trial: Trial, world: World) -> Instance:
    instance = trial.prepare(world)
    instance.refresh_from_db()
    trial.ask(world, instance)
    return instance


def _check_end(trial: Trial, instance: Instance) -> None:
    instance.refresh_from_db()
    assert (instance.status, host.hypervisor().power(instance.id)) == (trial.status, trial.power)
    if trial.status == "deleted":
        _check_nothing_left(instance)
    _check_books(instance)


def _check_nothing_left(instance: Instance) -> None:
    assert instance.id not in host.hypervisor().all()
    assert instance.id not in host.volumes().all()
    assert not Port.objects.filter(instance=instance).exists()
    assert not desired.fabric().ports
    assert not host.fabric().taps()


def _check_books(instance: Instance) -> None:
    """Quota equals what the tables say, one usage interval is open while it lives, and no job is left half-way."""
    assert quotas.recount() == []
    open_intervals = list(instance.intervals.filter(end=None).values_list("status", flat=True))
    assert open_intervals == ([] if instance.status == "deleted" else [instance.status])
    assert not Job.objects.exclude(state__in=["done", "failed"]).exists()


@pytest.mark.parametrize("trial", [pytest.param(trial, id=name) for name, trial in TRIALS.items()])
def test_each_step_twice(trial: Trial, world: World) -> None:
    instance = trial.prepare(world)
    instance.refresh_from_db()
    trial.ask(world, instance)
    with changed(trial.kind, twice):
        work()
    _check_end(trial, instance)


@pytest.mark.parametrize(("trial", "number"), EVERY_STEP)
def test_killed_at_each_step(trial: Trial, number: int, world: World) -> None:
    """The worker dies after the step; the next one carries the job to the same end."""
    instance = _begin(trial, world)
    with changed(trial.kind, die_once, step=number):
        with pytest.raises(Killed):
            work()
        work()
    _check_end(trial, instance)


@pytest.mark.parametrize("fail", [fail_before, fail_after])
@pytest.mark.parametrize(("trial", "number"), EVERY_STEP)
def test_fails_at_each_step(trial: Trial, number: int, fail: object, world: World) -> None:
    """What was half done is undone or told: the row says what the machine is, with a sentence, and the same action works afterwards."""
    instance = _begin(trial, world)
    with changed(trial.kind, fail, step=number):  # type: ignore[arg-type]
        work()
    instance.refresh_from_db()
    if instance.status != trial.status:  # a step whose answer was lost may have reached the end
        assert instance.error or instance.status == "deleted"
    if trial.kind == "launch-instance":
        _check_failed_launch(instance)
    elif trial.kind != "delete-instance":
        assert instance.status == TRUTH[host.hypervisor().power(instance.id)]
    _check_books(instance)
    if trial.kind == "launch-instance" or instance.status in ("error", trial.status):
        instances.delete(world.ctx("member"), instance.id) if instance.status != "deleted" else None
        work()
        instance.refresh_from_db()
        assert instance.status == "deleted"
        _check_nothing_left(instance)
    else:
        trial.ask(world, instance)
        work()
        _check_end(trial, instance)


def _check_failed_launch(instance: Instance) -> None:
    """No machine and no disk; the row and its addresses stay until somebody deletes them, having read why."""
    assert instance.status == "error"
    assert not host.hypervisor().all()
    assert not host.volumes().all()


def test_a_driver_that_comes_back(world: World) -> None:
    """Unavailable is tried again, with the reason told meanwhile; the sixth failure in a row undoes."""
    instance = world.launch()[0]
    host.volumes().fail("create_root", times=5)  # type: ignore[attr-defined]
    work()
    instance.refresh_from_db()
    assert instance.status == "running"
    other = world.launch(name="other")[0]
    host.hypervisor().fail("define", times=6)  # type: ignore[attr-defined]
    work()
    other.refresh_from_db()
    assert (other.status, other.id in host.volumes().all()) == ("error", False)


def test_no_guest_runs_without_its_firewall(world: World) -> None:
    """The machine is started beside its networks, but paused: where the firewall cannot be loaded it never runs, and is off again."""
    instance, told = _in("stop")(world), list[Power]()
    end = host.hypervisor().watch(lambda event: told.append(event.power))
    host.fabric().fail("apply", times=jobs.ATTEMPTS_MAX)  # type: ignore[attr-defined]
    instances.start(world.ctx("member"), instance.id)
    work()
    instance.refresh_from_db()
    assert (instance.status, host.hypervisor().power(instance.id)) == ("stopped", Power.SHUTOFF)
    assert instance.error
    eventually(lambda: told.count(Power.SHUTOFF) == jobs.ATTEMPTS_MAX)
    assert told == [Power.PAUSED, Power.SHUTOFF] * jobs.ATTEMPTS_MAX
    instances.start(world.ctx("member"), instance.id)
    work()
    eventually(lambda: told[-2:] == [Power.PAUSED, Power.RUNNING])
    end()


def test_deleted_while_it_is_built(world: World) -> None:
    """The launch ends at its next step and leaves nothing; the delete that waits behind it closes the books."""
    instance = world.launch()[0]

    def deleted_meanwhile(do: Callable[[jobs.Run], None]) -> Callable[[jobs.Run], None]:
        def step(run: jobs.Run) -> None:
            do(run)
            instances.delete(world.ctx("member"), instance.id)

        return step

    with changed("launch-instance", deleted_meanwhile, step=0):
        work()
    instance.refresh_from_db()
    assert instance.status == "deleted"
    _check_nothing_left(instance)
    _check_books(instance)
