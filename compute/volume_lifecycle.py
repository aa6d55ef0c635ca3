"""The lives of volumes and snapshots: which status may follow which, and the facts of their sizes."""

from __future__ import annotations

from cloudbox.common import clock
from cloudbox.common.states import Machine
from compute.models import InstanceSnapshot, Snapshot, Volume, VolumeInterval

S = Volume.Status

MOVES: dict[str, frozenset[str]] = {
    S.CREATING: frozenset({S.AVAILABLE, S.ERROR}),
    S.AVAILABLE: frozenset({S.ATTACHING, S.ATTACHED, S.GROWING, S.RESTORING, S.RETYPING, S.OFFERED, S.DELETING, S.ERROR}),
    S.ATTACHING: frozenset({S.ATTACHED, S.AVAILABLE}),
    S.ATTACHED: frozenset({S.DETACHING, S.GROWING, S.RESTORING, S.RETYPING, S.AVAILABLE, S.DELETING}),
    S.DETACHING: frozenset({S.AVAILABLE, S.ATTACHED}),
    S.GROWING: frozenset({S.AVAILABLE, S.ATTACHED}),
    S.RESTORING: frozenset({S.AVAILABLE, S.ATTACHED, S.ERROR}),
    S.RETYPING: frozenset({S.AVAILABLE, S.ATTACHED}),
    S.OFFERED: frozenset({S.AVAILABLE}),
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
    S.RETYPING: "retype-volume",
    S.DELETING: "delete-volume",
}
# Going back needs to be told whereto: without its job it ends as it was.
MOVING = frozenset({*JOB_OF, S.RESTORING})


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


N = Snapshot.Status
SNAPSHOT_MOVES: dict[str, frozenset[str]] = {
    N.CREATING: frozenset({N.READY, N.ERROR, N.DELETING, N.DELETED}),
    N.READY: frozenset({N.DELETING, N.DELETED, N.ERROR}),
    N.ERROR: frozenset({N.DELETING, N.DELETED}),
    N.DELETING: frozenset({N.DELETED, N.ERROR}),
    N.DELETED: frozenset(),
}
# Their jobs are the volume's: its lock keeps whatever else is done to it apart.
SNAPSHOT_JOB_OF: dict[str, str] = {N.CREATING: "create-snapshot", N.DELETING: "delete-snapshot"}

G = InstanceSnapshot.Status
INSTANCE_SNAPSHOT_MOVES: dict[str, frozenset[str]] = {
    G.CREATING: frozenset({G.READY, G.ERROR, G.DELETED}),
    G.READY: frozenset({G.RESTORING, G.DELETING, G.DELETED, G.ERROR}),
    G.RESTORING: frozenset({G.READY, G.DELETED}),
    G.ERROR: frozenset({G.DELETING, G.DELETED}),
    G.DELETING: frozenset({G.DELETED, G.ERROR}),
    G.DELETED: frozenset(),
}
INSTANCE_SNAPSHOT_JOB_OF: dict[str, str] = {
    G.CREATING: "create-instance-snapshot",
    G.RESTORING: "restore-instance-snapshot",
    G.DELETING: "delete-instance-snapshot",
}


def _nothing_more(row: Snapshot | InstanceSnapshot, before: str, after: str) -> None:
    """Snapshots are billed by their rows: they have no intervals."""


snapshot_machine = Machine(noun="snapshot", model=Snapshot, moves=SNAPSHOT_MOVES, on_move=_nothing_more)
instance_snapshot_machine = Machine(noun="instance-snapshot", model=InstanceSnapshot, moves=INSTANCE_SNAPSHOT_MOVES, on_move=_nothing_more)
