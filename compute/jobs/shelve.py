"""Shelve: the root disk goes to the image store, and the machine is no more. Unshelve: the other way round.

The copy in the store bears the instance's id. It is deleted by the reconciler of images, when the instance stands on a disk of its own
again: no step that could still be undone deletes the only copy.
"""

from __future__ import annotations

from django.db import transaction

from cloudbox.common import clock, jobs
from cloudbox.common.jobs import Kind, Run, Step
from compute import charges, host, image_copies
from compute.jobs.bring_up import define
from compute.jobs.switching import BACK, OFF, has_ended, settle, subject, tell_failure, unless_ended
from compute.lifecycle import machine
from compute.models import Instance

S = Instance.Status


def _copy(run: Run) -> None:
    """Always anew, also when this is repeated: what lies there may be from the last time that it was shelved."""
    instance = subject(run)
    path = host.volumes().export_root(instance.id)
    try:
        with path.open("rb") as stream:
            image_copies.put(instance.id, stream)
    finally:
        path.unlink(missing_ok=True)


def _no_copy(run: Run) -> None:
    if host.volumes().root_path(run.subject_id).exists():
        host.images().delete(run.subject_id)


def _remove(run: Run) -> None:
    """Machine and disk. From here on the copy is the disk."""
    instance = subject(run)
    host.hypervisor().stop(instance.id)
    host.hypervisor().undefine(instance.id)
    host.volumes().delete(instance.id)


def _fetch(run: Run) -> None:
    instance = Instance.objects.get(id=run.subject_id)
    if image_copies.has(instance.id):
        with image_copies.file(instance.id) as copy:
            host.volumes().import_root(instance.id, copy, size_gib=instance.disk_gib)


def _shelved(run: Run) -> None:
    with transaction.atomic():
        instance = Instance.objects.select_for_update(of=("self",)).get(id=subject(run).id)
        if instance.shelved_at is None:
            charges.release_power(instance)
            machine.move(instance, S.SHELVED, actor=run.actor, error="", shelved_at=clock.now())


def _not_shelved(run: Run, sentence: str) -> None:
    if has_ended(run):
        return
    Instance.objects.filter(id=run.subject_id, intended=Instance.Intent.SHELVED).update(intended=run.arguments.get("was", "stopped"))
    tell_failure(run, sentence)


def _as_it_was(run: Run) -> None:
    """Before anything is brought back, what it is meant to be is what it was."""
    Instance.objects.filter(id=run.subject_id, intended=Instance.Intent.SHELVED).update(intended=run.arguments.get("was", "stopped"))
    assert OFF[0].undo is not None
    OFF[0].undo(run)


# --- unshelve


def _no_disk(run: Run) -> None:
    """Only if the copy is there still."""
    if image_copies.has(run.subject_id):
        host.volumes().delete(run.subject_id)


def _define(run: Run) -> None:
    define(subject(run))


def _undefine(run: Run) -> None:
    host.hypervisor().stop(run.subject_id)
    host.hypervisor().undefine(run.subject_id)


def _unshelved(run: Run) -> None:
    with transaction.atomic():
        settle(run)
        jobs.wake("images")


def _not_unshelved(run: Run, sentence: str) -> None:
    with transaction.atomic():
        instance = Instance.objects.select_for_update(of=("self",)).get(id=run.subject_id)
        if instance.intended == Instance.Intent.DELETED or instance.status != S.UNSHELVING:
            return
        charges.release_power(instance)
        since, shelved = clock.now(), Instance.Intent.SHELVED
        machine.move(instance, S.SHELVED, actor=run.actor, detail=sentence, error=sentence, shelved_at=since, intended=shelved)


KINDS = (
    Kind(
        name="shelve-instance",
        noun="instance",
        steps=(
            Step(OFF[0].doing, OFF[0].do, unless_ended(_as_it_was)),
            OFF[1],
            Step("Copying its disk to the image store", _copy, unless_ended(_no_copy)),
            Step("Removing machine and disk", _remove, unless_ended(_fetch)),
            Step("Noting that it is shelved", _shelved),
        ),
        on_failed=_not_shelved,
    ),
    Kind(
        name="unshelve-instance",
        noun="instance",
        steps=(
            Step("Bringing its disk back", _fetch, unless_ended(_no_disk)),
            Step("Setting up the machine", _define, unless_ended(_undefine)),
            BACK,
            Step("Noting that it is back", _unshelved),
        ),
        on_failed=_not_unshelved,
    ),
)
