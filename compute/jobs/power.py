"""Start, stop, reboot, pause, resume, suspend, and bringing back what should run."""

from __future__ import annotations

import datetime as dt

from cloudbox.common import clock
from cloudbox.common.errors import CloudError, Conflict
from cloudbox.common.jobs import Kind, Later, Run, Step
from compute import host
from compute.drivers.specs import ON, Power
from compute.jobs.bring_up import bring_up, define
from compute.lifecycle import STATUS_OF, WANTED, machine
from compute.models import Instance

S = Instance.Status
STOP_SECONDS = 60
REBOOT_SECONDS = 60


def _subject(run: Run) -> Instance:
    instance = Instance.objects.get(id=run.subject_id)
    if instance.intended == Instance.Intent.DELETED:
        raise Conflict("It is being deleted.")
    return instance


def _bring_up(instance: Instance) -> None:
    """The definition as the tables have it, then networks (they are gone after a reboot of the host) and power."""
    if host.hypervisor().power(instance.id) not in (*ON, Power.SAVED):
        define(instance)
    bring_up(instance)


def _start(run: Run) -> None:
    instance = _subject(run)
    _bring_up(instance)
    machine.move(instance, S.RUNNING, actor=run.actor, error="", started_at=clock.now())


def _ask_off(run: Run) -> None:
    instance = _subject(run)
    if run.arguments.get("force"):
        host.hypervisor().stop(instance.id)
    elif host.hypervisor().power(instance.id) == Power.RUNNING:
        host.hypervisor().shutdown(instance.id)
    else:
        host.hypervisor().stop(instance.id)


def _wait_off(run: Run) -> None:
    """Until the guest is off, or its time is over: then the power is cut."""
    instance = _subject(run)
    if host.hypervisor().power(instance.id) in ON:
        if clock.now() - run.job.created_at < dt.timedelta(seconds=STOP_SECONDS):
            if host.hypervisor().power(instance.id) == Power.RUNNING:  # a guest that was still booting did not hear the first press
                host.hypervisor().shutdown(instance.id)
            raise Later(3)
        host.hypervisor().stop(instance.id)
        detail = f"forced: the guest did not shut down in {STOP_SECONDS} s"
    else:
        detail = ""
    if instance.status != S.STOPPED:
        machine.move(instance, S.STOPPED, actor=run.actor, detail=detail, error="")


def _reboot(run: Run) -> None:
    instance = _subject(run)
    if host.hypervisor().power(instance.id) != Power.RUNNING:
        _bring_up(instance)
    elif run.arguments.get("hard"):
        host.hypervisor().reset(instance.id)
    else:
        host.hypervisor().reboot(instance.id)
    machine.move(instance, S.RUNNING, actor=run.actor, error="", started_at=clock.now())


def _pause(run: Run) -> None:
    instance = _subject(run)
    host.hypervisor().pause(instance.id)
    machine.move(instance, S.PAUSED, actor=run.actor, error="")


def _resume(run: Run) -> None:
    instance = _subject(run)
    host.hypervisor().resume(instance.id)
    machine.move(instance, S.RUNNING, actor=run.actor, error="")


def _suspend(run: Run) -> None:
    instance = _subject(run)
    host.hypervisor().save(instance.id)
    machine.move(instance, S.SUSPENDED, actor=run.actor, error="")


def _restore(run: Run) -> None:
    """Make the machine what was asked, whatever it is now: after a crash of the box, of the guest's process, of the host."""
    instance = _subject(run)
    wanted, power = WANTED[Instance.Intent(instance.intended)], host.hypervisor().power(instance.id)
    if wanted == Power.SHUTOFF:
        host.hypervisor().stop(instance.id)
        machine.move(instance, S.STOPPED, actor=run.actor)
        return
    if wanted == Power.SAVED and power in ON:
        host.hypervisor().save(instance.id)
        power = Power.SAVED
    if wanted == Power.SAVED and power == Power.SAVED:
        machine.move(instance, S.SUSPENDED, actor=run.actor)
        return
    if wanted == Power.SAVED:  # its memory is lost; saying "suspended" would be a lie
        instance.intended = Instance.Intent.STOPPED
        instance.save(update_fields=["intended"])
        machine.move(instance, S.STOPPED, actor=run.actor, detail="its saved memory was lost")
        return
    if wanted == Power.RUNNING and power == Power.PAUSED:
        host.hypervisor().resume(instance.id)
    elif power not in ON:
        _bring_up(instance)
    if wanted == Power.PAUSED:
        host.hypervisor().pause(instance.id)
    status = S.RUNNING if wanted == Power.RUNNING else S.PAUSED
    machine.move(instance, status, actor=run.actor, error="", started_at=clock.now())


def _failed(run: Run, sentence: str) -> None:
    """Say what the machine is, not what was asked; the error stays to be read until the next action succeeds."""
    instance = Instance.objects.get(id=run.subject_id)
    if instance.intended == Instance.Intent.DELETED or instance.status in (S.DELETING, S.DELETED):
        return
    try:
        power = host.hypervisor().power(instance.id)
    except CloudError:
        power = Power.ABSENT
    status = S.ERROR if power in (Power.ABSENT, Power.CRASHED) else STATUS_OF[power]
    intent = {S.RUNNING: "running", S.PAUSED: "paused", S.STOPPED: "stopped", S.SUSPENDED: "suspended"}.get(status)
    fields = {"intended": intent} if intent else {}
    if instance.status == status:
        Instance.objects.filter(id=instance.id).update(error=sentence, **fields)
    else:
        machine.move(instance, status, actor=run.actor, detail=sentence, error=sentence, **fields)


def _kind(name: str, *steps: Step) -> Kind:
    return Kind(name=f"{name}-instance", noun="instance", steps=steps, on_failed=_failed)


KINDS = (
    _kind("start", Step("Starting", _start)),
    _kind("stop", Step("Asking the guest to shut down", _ask_off), Step("Waiting for the guest to shut down", _wait_off)),
    _kind("reboot", Step("Rebooting", _reboot)),
    _kind("pause", Step("Pausing", _pause)),
    _kind("resume", Step("Resuming", _resume)),
    _kind("suspend", Step("Writing its memory to disk", _suspend)),
    _kind("restore", Step("Bringing it back", _restore)),
)
