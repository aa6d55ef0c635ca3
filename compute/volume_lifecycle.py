"""The life of a volume: which status may follow which, and the facts of its size."""

from __future__ import annotations

from cloudbox.common import clock
from cloudbox.common.states import Machine
from compute.models import Volume, VolumeInterval

S = Volume.Status

MOVES: dict[str, frozenset[str]] = {
    S.CREATING: frozenset({S.AVAILABLE, S.ERROR}),
    S.AVAILABLE: frozenset({S.ATTACHING, S.GROWING, S.DELETING, S.ERROR}),
    S.ATTACHING: frozenset({S.ATTACHED, S.AVAILABLE}),
    S.ATTACHED: frozenset({S.DETACHING, S.GROWING, S.AVAILABLE}),
    S.DETACHING: frozenset({S.AVAILABLE, S.ATTACHED}),
    S.GROWING: frozenset({S.AVAILABLE, S.ATTACHED}),
    S.ERROR: frozenset({S.DELETING}),
    S.DELETING: frozenset({S.DELETED, S.ERROR}),
    S.DELETED: frozenset(),
}
# Who is in one of these has a job, which carries it out of it.
JOB_OF: dict[str, str] = {
    S.CREATING: "create-volume",
    S.ATTACHING: "attach-volume",
    S.DETACHING: "detach-volume",
    S.GROWING: "grow-volume",
    S.DELETING: "delete-volume",
}
MOVING = frozenset(JOB_OF)


def _on_move(volume: Volume, before: str, after: str) -> None:
    if after == S.DELETED:
        VolumeInterval.objects.filter(volume=volume, end=None).update(end=clock.now())


machine = Machine(noun="volume", model=Volume, moves=MOVES, on_move=_on_move)


def note_size(volume: Volume) -> None:
    """From now on it has this size, as bills see it; in the transaction that says so."""
    moment = clock.now()
    VolumeInterval.objects.filter(volume=volume, end=None).update(end=moment)
    VolumeInterval.objects.create(
        volume=volume, project_id=volume.project_id, type=volume.type.name, size_gib=volume.size_gib, start=moment
    )


def resting(volume: Volume) -> str:
    """The status of a volume that nothing happens to."""
    return S.ATTACHED if volume.instance_id else S.AVAILABLE
