"""Boot from a rescue disk, with the own one beside it; and back."""

from __future__ import annotations

from uuid import UUID

from cloudbox.common.jobs import Kind, Run, Step
from compute import host, image_copies
from compute.jobs.switching import BACK, OFF, settle, subject, tell_failure, unless_ended
from compute.models import Instance


def _make(run: Run) -> None:
    instance = subject(run)
    with image_copies.file(UUID(str(run.arguments["image_id"]))) as base:
        host.volumes().create_rescue(instance.id, base=base)
    Instance.objects.filter(id=instance.id).update(rescue_image=run.arguments["image_id"])


def _unmake(run: Run) -> None:
    Instance.objects.filter(id=run.subject_id).update(rescue_image=None)
    host.volumes().drop_rescue(run.subject_id)


def _turn_away(run: Run) -> None:
    Instance.objects.filter(id=subject(run).id).update(rescue_image=None)


def _turn_again(run: Run) -> None:
    if host.volumes().rescue_path(run.subject_id).exists():
        Instance.objects.filter(id=run.subject_id).update(rescue_image=run.arguments["image_id"])


def _left(run: Run) -> None:
    settle(run)
    host.volumes().drop_rescue(run.subject_id)


KINDS = (
    Kind(
        name="rescue-instance",
        noun="instance",
        steps=(*OFF, Step("Making the rescue disk", _make, unless_ended(_unmake)), BACK, Step("Noting that it is in rescue", settle)),
        on_failed=tell_failure,
    ),
    Kind(
        name="unrescue-instance",
        noun="instance",
        steps=(*OFF, Step("Turning to its own disk", _turn_away, unless_ended(_turn_again)), BACK, Step("Deleting the rescue disk", _left)),
        on_failed=tell_failure,
    ),
)
