"""The life of an instance: which status may follow which, and what every move does besides."""

from __future__ import annotations

import datetime as dt
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from cloudbox.common import clock, jobs
from cloudbox.common.errors import Conflict
from cloudbox.common.events import SYSTEM, Actor
from cloudbox.common.models import Job
from cloudbox.common.states import Machine
from compute import host
from compute.drivers.specs import Power
from compute.models import Instance, UsageInterval

S = Instance.Status
_ENDS = {S.DELETING, S.ERROR}
# What a machine may be found to be when work on it has ended, well or not: every status on the way leads to each of them.
_SETTLED = {S.RUNNING, S.STOPPED, S.PAUSED, S.SUSPENDED}
# Off for a while, to come back as another machine, on another disk, or somewhere else.
_CHANGING = {S.RESIZING, S.REBUILDING, S.RESCUING, S.SHELVING}

MOVES: dict[str, frozenset[str]] = {
    S.BUILDING: frozenset({S.RUNNING, S.STOPPED, *_ENDS}),
    S.RUNNING: frozenset({*_CHANGING, S.STOPPING, S.STOPPED, S.REBOOTING, S.PAUSED, S.SUSPENDING, S.SUSPENDED, S.STARTING, *_ENDS}),
    S.STARTING: frozenset({*_SETTLED, *_ENDS}),
    S.STOPPING: frozenset({*_SETTLED, *_ENDS}),
    S.STOPPED: frozenset({*_CHANGING, S.STARTING, S.RUNNING, S.PAUSED, S.SUSPENDED, *_ENDS}),
    S.REBOOTING: frozenset({*_SETTLED, S.STARTING, S.STOPPING, *_ENDS}),
    S.PAUSED: frozenset({S.RUNNING, S.STOPPING, S.STOPPED, S.STARTING, S.SUSPENDING, S.SUSPENDED, *_ENDS}),
    S.SUSPENDING: frozenset({*_SETTLED, *_ENDS}),
    S.SUSPENDED: frozenset({S.STARTING, S.RUNNING, S.STOPPED, *_ENDS}),
    S.RESIZING: frozenset({*_SETTLED, *_ENDS}),
    S.REBUILDING: frozenset({*_SETTLED, *_ENDS}),
    S.RESCUING: frozenset({*_SETTLED, *_ENDS}),
    S.SHELVING: frozenset({*_SETTLED, S.SHELVED, *_ENDS}),
    S.SHELVED: frozenset({S.UNSHELVING, *_ENDS}),
    S.UNSHELVING: frozenset({*_SETTLED, S.SHELVED, *_ENDS}),
    S.ERROR: frozenset({*_SETTLED, S.REBUILDING, S.STARTING, S.STOPPING, S.DELETING}),
    S.DELETING: frozenset({S.DELETED, S.ERROR}),
    S.DELETED: frozenset(),
}
MOVING = frozenset({S.BUILDING, S.STARTING, S.STOPPING, S.REBOOTING, S.SUSPENDING, S.DELETING, S.UNSHELVING, *_CHANGING})
# Who is in one of these without a job goes on to where it was going; the others go back to what they are to be.
JOB_OF: dict[str, str] = {S.SHELVING: "shelve-instance", S.UNSHELVING: "unshelve-instance"}
# For so long a resize or a rebuild can be taken back.
WINDOW = dt.timedelta(hours=24)
CRASHES_MAX = 3
CRASH_WINDOW = dt.timedelta(minutes=10)


def _on_move(instance: Instance, before: str, after: str) -> None:
    """Turn the usage interval: bills are made from these facts, written in the transaction that made them true."""
    moment = clock.now()
    UsageInterval.objects.filter(instance=instance, end=None).update(end=moment)
    if after != S.DELETED:
        UsageInterval.objects.create(
            instance=instance, project_id=instance.project_id, status=after, flavor=instance.flavor.name, start=moment
        )


machine = Machine(noun="instance", model=Instance, moves=MOVES, on_move=_on_move)

STATUS_OF = {
    Power.RUNNING: S.RUNNING,
    Power.PAUSED: S.PAUSED,
    Power.SHUTOFF: S.STOPPED,
    Power.POWERED_OFF: S.STOPPED,
    Power.SAVED: S.SUSPENDED,
    Power.CRASHED: S.STOPPED,
}
# What the machine is to be, said as what the hypervisor should answer.
WANTED = {
    Instance.Intent.RUNNING: Power.RUNNING,
    Instance.Intent.STOPPED: Power.SHUTOFF,
    Instance.Intent.PAUSED: Power.PAUSED,
    Instance.Intent.SUSPENDED: Power.SAVED,
    Instance.Intent.SHELVED: Power.ABSENT,
}


_LIVE = (Job.State.QUEUED, Job.State.RUNNING, Job.State.UNDOING)


def has_job(instance_id: UUID) -> bool:
    """Is there work on the instance, begun or waiting? Then its steps, not the observer, write the status."""
    return Job.objects.filter(subject_id=instance_id, state__in=_LIVE).exists()


def unfinished() -> QuerySet[Job, UUID]:
    """The ids of all that have work, begun or waiting."""
    return Job.objects.filter(state__in=_LIVE).values_list("subject_id", flat=True)


def is_calm(instance: Instance, power: Power) -> bool:
    """Row, machine and intent say the same: nothing to do, and nothing to ask the tables about."""
    if instance.status == S.SHELVED:
        return power == Power.ABSENT
    return STATUS_OF.get(power) == instance.status and _is_wanted(power, instance)


def observe(instance_id: UUID, power: Power) -> None:
    """The hypervisor said what the machine is: make the row say so, and act where it is not what was asked.

    A guest that powered itself off has changed the intent: it stays off. A machine that died, or that was lost with the host, is
    started again, a few times. Calls the hypervisor, so not to be called in a transaction.
    """
    instance = Instance.objects.exclude(status=S.DELETED).filter(id=instance_id).first()
    if instance is None or instance.status in (S.DELETING, S.SHELVED) or instance.intended == Instance.Intent.DELETED:
        return
    status = STATUS_OF.get(power)
    if instance.status in MOVING and has_job(instance_id):
        # The one thing that need not wait for the job's next look: an asked-for stop has come true.
        if instance.status == S.STOPPING and status == S.STOPPED:
            _try_move(instance, S.STOPPED, SYSTEM)
        return
    if _is_wanted(power, instance):
        if status is not None and status != instance.status:
            _try_move(instance, status, SYSTEM, error="")
        return
    # An event waits in line, and a list of all machines ages while it is gone through. What counts is the machine as it is now.
    if host.hypervisor().power(instance_id) != power:
        return
    if power == Power.POWERED_OFF and instance.intended == Instance.Intent.RUNNING:
        _leave_off(instance_id)
    else:
        bring_back(instance)


def _is_wanted(power: Power, instance: Instance) -> bool:
    """Is this what was asked? Who wants it off does not mind who switched it off."""
    return (Power.SHUTOFF if power == Power.POWERED_OFF else power) == WANTED.get(Instance.Intent(instance.intended))


def _leave_off(instance_id: UUID) -> None:
    """The guest wants to be off: so it is, unless somebody has asked for something since."""
    with transaction.atomic():
        instance = Instance.objects.select_for_update(of=("self",)).get(id=instance_id)
        if instance.intended != Instance.Intent.RUNNING or has_job(instance_id):
            return
        instance.intended = Instance.Intent.STOPPED
        instance.save(update_fields=["intended"])
        _try_move(instance, S.STOPPED, SYSTEM, detail="the guest powered itself off")


def bring_back(instance: Instance) -> None:
    """Start a job that makes the machine what was asked. One that dies again and again is left alone, with the reason."""
    if has_job(instance.id):
        return
    since = clock.now() - CRASH_WINDOW
    recent = Job.objects.filter(subject_id=instance.id, kind="restore-instance", created_at__gt=since).count()
    if recent >= CRASHES_MAX:
        if instance.status != S.ERROR:
            sentence = (
                f"It stopped {recent} times in {CRASH_WINDOW.seconds // 60} minutes without being asked. Look at its log, then start it."
            )
            _try_move(instance, S.ERROR, SYSTEM, detail=sentence, error=sentence)
        return
    jobs.enqueue("restore-instance", instance.id, actor=SYSTEM, project_id=instance.project_id)


def _try_move(instance: Instance, to: str, actor: Actor, *, detail: str = "", **fields: Any) -> None:
    """Move, unless the row has gone elsewhere meanwhile: then somebody newer knows better."""
    try:
        machine.move(instance, to, actor=actor, detail=detail, **fields)
    except Conflict:
        return
