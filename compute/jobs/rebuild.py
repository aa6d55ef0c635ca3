"""A new root disk from an image, with the old one kept for a while; and the way back. The Reversal holds the other image."""

from __future__ import annotations

from django.db import transaction
from django.utils.dateparse import parse_datetime

from cloudbox.common import clock
from cloudbox.common.jobs import Kind, Run, Step
from compute import charges, host, image_copies
from compute.jobs.switching import BACK, OFF, has_ended, settle, subject, tell_failure, unless_ended
from compute.lifecycle import WINDOW
from compute.models import Instance, Reversal

KIND = Reversal.Kind.REBUILD


def _set_aside(run: Run) -> None:
    host.volumes().set_aside(subject(run).id)


def _put_back(run: Run) -> None:
    host.volumes().put_back(run.subject_id)
    if host.volumes().root_path(run.subject_id).exists():
        host.volumes().drop_kept(run.subject_id)


def _make(run: Run) -> None:
    instance = subject(run)
    image_id = run.arguments["image_id"]
    with image_copies.file(image_id) as base:
        host.volumes().create_root(instance.id, base=base, size_gib=instance.disk_gib)
    _swap(run, wants=True)


def _unmake(run: Run) -> None:
    _swap(run, wants=False)


def _swap(run: Run, *, wants: bool) -> None:
    """Exchange the instance's image with the Reversal's, unless it has (or lacks) the one in question as it should."""
    with transaction.atomic():
        row = Instance.objects.select_for_update(of=("self",)).get(id=run.subject_id)
        other = Reversal.objects.select_for_update(of=("self",)).filter(instance=row, kind=KIND).first()
        if other is None or (str(row.image_id) == run.arguments["image_id"]) == wants or other.image_id == row.image_id:
            return
        row.image_id, other.image_id = other.image_id, row.image_id  # type: ignore[assignment]
        row.disk_bus, row.nic_model = row.image.disk_bus, row.image.nic_model
        row.save(update_fields=["image", "disk_bus", "nic_model", "changed_at"])
        other.save(update_fields=["image"])


def _open_window(run: Run) -> None:
    """The time begins in which it can be undone; without a disk that was kept there is none."""
    keep = run.arguments["keep"] and host.volumes().has_kept(run.subject_id)
    with transaction.atomic():
        if keep:
            Reversal.objects.filter(instance_id=run.subject_id, kind=KIND, until=None).update(until=clock.now() + WINDOW)
        settle(run)
    if not keep:
        host.volumes().drop_kept(run.subject_id)
        charges.end_reversal(run.subject_id, KIND)


def _not_rebuilt(run: Run, sentence: str) -> None:
    if not has_ended(run):
        charges.end_reversal(run.subject_id, KIND)
    tell_failure(run, sentence)


# --- undo


def _old_disk(run: Run) -> None:
    instance = subject(run)
    host.volumes().put_back(instance.id)
    host.volumes().grow_root(instance.id, size_gib=instance.disk_gib)  # it was resized meanwhile
    _swap(run, wants=True)


def _new_disk(run: Run) -> None:
    host.volumes().take_back(run.subject_id)
    _swap(run, wants=False)


def _close(run: Run) -> None:
    with transaction.atomic():
        settle(run)
        charges.end_reversal(run.subject_id, KIND)
    host.volumes().drop_kept(run.subject_id)


def _not_undone(run: Run, sentence: str) -> None:
    if not has_ended(run):
        Reversal.objects.filter(instance_id=run.subject_id, kind=KIND).update(until=parse_datetime(run.arguments["until"]))
    tell_failure(run, sentence)


KINDS = (
    Kind(
        name="rebuild-instance",
        noun="instance",
        steps=(
            *OFF,
            Step("Setting its old disk aside", _set_aside, unless_ended(_put_back)),
            Step("Making its new disk", _make, unless_ended(_unmake)),
            BACK,
            Step("Noting what it is built from", _open_window),
        ),
        on_failed=_not_rebuilt,
    ),
    Kind(
        name="undo-rebuild-instance",
        noun="instance",
        steps=(
            *OFF,
            Step("Bringing its old disk back", _old_disk, unless_ended(_new_disk)),
            BACK,
            Step("Noting what it is built from", _close),
        ),
        on_failed=_not_undone,
    ),
)
