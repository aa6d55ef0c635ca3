"""Another size, and the way back. The Reversal holds the other size: the new one until the machine has it, then the old one."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction
from django.utils.dateparse import parse_datetime

from cloudbox.common import clock
from cloudbox.common.jobs import Kind, Run, Step
from compute import charges, host
from compute.jobs.switching import BACK, OFF, has_ended, settle, subject, tell_failure, unless_ended
from compute.lifecycle import WINDOW
from compute.models import Instance, Reversal


def _disk(run: Run) -> None:
    """A larger disk, if the size has one. It never shrinks, so this has no undo: what it has grown to it keeps, and pays."""
    instance = subject(run)
    wanted = run.arguments["disk_gib"]
    if wanted <= instance.disk_gib:
        return
    host.volumes().grow_root(instance.id, size_gib=wanted)
    with transaction.atomic():
        row, reversal = _locked(instance.id)
        row.disk_gib = max(row.disk_gib, wanted)
        row.save(update_fields=["disk_gib"])
        if reversal is not None:
            reversal.held_disk_gib = 0
            reversal.save(update_fields=["held_disk_gib"])


def _locked(id: UUID) -> tuple[Instance, Reversal | None]:
    row = Instance.objects.select_for_update(of=("self",)).get(id=id)
    return row, Reversal.objects.select_for_update(of=("self",)).filter(instance=row, kind=Reversal.Kind.RESIZE).first()


def _swap(id: UUID, *, wants: bool, flavor_id: str) -> None:
    """Exchange the instance's size with the Reversal's, unless it has (or lacks) the one in question as it should."""
    with transaction.atomic():
        row, other = _locked(id)
        if other is None or (str(row.flavor_id) == flavor_id) == wants:
            return
        row.flavor_id, other.flavor_id = other.flavor_id, row.flavor_id  # type: ignore[assignment]
        row.vcpus, other.vcpus = other.vcpus, row.vcpus
        row.memory_mib, other.memory_mib = other.memory_mib, row.memory_mib
        other.held_vcpus, other.held_memory_mib = max(0, other.vcpus - row.vcpus), max(0, other.memory_mib - row.memory_mib)
        row.save(update_fields=["flavor", "vcpus", "memory_mib", "changed_at"])
        other.save()


def _take(run: Run) -> None:
    _swap(subject(run).id, wants=True, flavor_id=run.arguments["flavor_id"])


def _give_back(run: Run) -> None:
    _swap(run.subject_id, wants=False, flavor_id=run.arguments["flavor_id"])


def _open_window(run: Run) -> None:
    with transaction.atomic():
        Reversal.objects.filter(instance_id=run.subject_id, kind=Reversal.Kind.RESIZE, until=None).update(until=clock.now() + WINDOW)
        settle(run)


def _close(run: Run) -> None:
    with transaction.atomic():
        charges.end_reversal(run.subject_id, Reversal.Kind.RESIZE)
        settle(run)


def _not_resized(run: Run, sentence: str) -> None:
    if has_ended(run):
        return
    with transaction.atomic():
        charges.end_reversal(run.subject_id, Reversal.Kind.RESIZE)
    tell_failure(run, sentence)


def _not_reverted(run: Run, sentence: str) -> None:
    """The window is as long as it was."""
    if has_ended(run):
        return
    until = parse_datetime(run.arguments["until"])
    Reversal.objects.filter(instance_id=run.subject_id, kind=Reversal.Kind.RESIZE).update(until=until)
    tell_failure(run, sentence)


_SIZE = Step("Changing its size", _take, unless_ended(_give_back))

KINDS = (
    Kind(
        name="resize-instance",
        noun="instance",
        steps=(*OFF, Step("Growing its disk", _disk), _SIZE, BACK, Step("Noting its size", _open_window)),
        on_failed=_not_resized,
    ),
    Kind(
        name="revert-resize-instance",
        noun="instance",
        steps=(*OFF, _SIZE, BACK, Step("Noting its size", _close)),
        on_failed=_not_reverted,
    ),
)
