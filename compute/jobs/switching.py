"""Steps of every job that turns a machine off, changes what it is, and brings it back as it was meant to be: running or stopped.

What a step undoes it leaves so that the next undo finds it: the last one, of the first step, brings the machine back as the tables
then say, which is as it was.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

from cloudbox.common import clock
from cloudbox.common.errors import CloudError, Conflict
from cloudbox.common.jobs import Later, Run, Step
from compute import host
from compute.drivers.specs import ON, Power
from compute.jobs.bring_up import bring_up, define
from compute.lifecycle import STATUS_OF, machine
from compute.models import Instance

S = Instance.Status
STOP_SECONDS = 60
CHANGING = frozenset({S.RESIZING, S.REBUILDING, S.RESCUING, S.SHELVING, S.UNSHELVING})


def subject(run: Run) -> Instance:
    """The instance, if it is still wanted: a delete that came meanwhile ends the job at its next step."""
    instance = Instance.objects.select_related("image", "flavor").get(id=run.subject_id)
    if instance.intended == Instance.Intent.DELETED:
        raise Conflict("It is being deleted.")
    return instance


def has_ended(run: Run) -> bool:
    """Has the row come to rest already? Then the last step has happened, be its answer lost or not, and nothing is undone."""
    return Instance.objects.get(id=run.subject_id).status not in CHANGING


def unless_ended(undo: Callable[[Run], None]) -> Callable[[Run], None]:
    def undoing(run: Run) -> None:
        if not has_ended(run):
            undo(run)

    return undoing


def _ask_off(run: Run) -> None:
    instance = subject(run)
    if host.hypervisor().power(instance.id) == Power.RUNNING:
        host.hypervisor().shutdown(instance.id)
    else:
        host.hypervisor().stop(instance.id)


def _wait_off(run: Run) -> None:
    """Until the guest is off, or its time is over: then the power is cut."""
    instance = subject(run)
    if host.hypervisor().power(instance.id) in ON:
        if clock.now() - run.job.created_at < dt.timedelta(seconds=STOP_SECONDS):
            if host.hypervisor().power(instance.id) == Power.RUNNING:  # a guest that was still booting did not hear the first press
                host.hypervisor().shutdown(instance.id)
            raise Later(2)
        host.hypervisor().stop(instance.id)


def _as_it_was(run: Run) -> None:
    instance = Instance.objects.get(id=run.subject_id)
    has_disk = not instance.disk_gib or host.volumes().root_path(instance.id).exists()  # 0: it boots from a volume
    if instance.intended != Instance.Intent.DELETED and has_disk:
        come_back(instance)


def come_back(instance: Instance) -> None:
    """Make the machine as the tables say, and running if it is to run."""
    if host.hypervisor().power(instance.id) not in ON:
        define(instance)
    if instance.intended == Instance.Intent.RUNNING:
        bring_up(instance)


def _come_back(run: Run) -> None:
    come_back(subject(run))


def _off_again(run: Run) -> None:
    host.hypervisor().stop(run.subject_id)


OFF = (
    Step("Asking the guest to shut down", _ask_off, unless_ended(_as_it_was)),
    Step("Waiting for the guest to shut down", _wait_off),
)
BACK = Step("Starting it again", _come_back, unless_ended(_off_again))


def settle(run: Run) -> None:
    """The row rests: running or stopped, as it is to be."""
    instance = subject(run)
    runs = instance.intended == Instance.Intent.RUNNING
    status, since = (S.RUNNING, clock.now()) if runs else (S.STOPPED, instance.started_at)
    machine.move(instance, status, actor=run.actor, error="", started_at=since)


def tell_failure(run: Run, sentence: str) -> None:
    """The row says what the machine is now, with the sentence."""
    if has_ended(run):
        return
    instance = Instance.objects.get(id=run.subject_id)
    if instance.intended == Instance.Intent.DELETED or instance.status in (S.DELETING, S.DELETED):
        return
    try:
        power = host.hypervisor().power(instance.id)
    except CloudError:
        power = Power.ABSENT
    status = S.ERROR if power in (Power.ABSENT, Power.CRASHED) else STATUS_OF[power]
    intents = {S.RUNNING: "running", S.PAUSED: "paused", S.STOPPED: "stopped", S.SUSPENDED: "suspended"}
    intended = intents.get(status, instance.intended)
    machine.move(instance, status, actor=run.actor, detail=sentence, error=sentence, intended=intended)
