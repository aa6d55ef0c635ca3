"""Making and deleting backups. The moment is the disk's (a short job under its lock); copying and deleting are the chain's: of one disk
in one vault, one after another, while the disk's own life goes on.

The disk keeps a snapshot of the newest backup's name: the *mark*, by which the next one knows what changed.
"""

from __future__ import annotations

import hashlib
import logging
import time
from uuid import UUID

from django.db import transaction

from cloudbox.common import clock, events, jobs
from cloudbox.common.errors import CloudError, Conflict, NotFound
from cloudbox.common.jobs import Kind, Run, Step
from cloudbox.common.models import Job
from compute import host
from compute.backup_lifecycle import machine, open_vault
from compute.backup_store.format import CHUNK_BYTES, HOLE, Manifest, Table
from compute.backup_store.repository import Repository
from compute.drivers.base import DiskBytes
from compute.jobs import disks
from compute.models import Backup, Volume

log = logging.getLogger(__name__)

S = Backup.Status
GIB = 2**30
TELL_SECONDS = 1.0


def _subject(run: Run) -> Backup:
    return Backup.objects.select_related("vault", "volume", "base").get(id=UUID(run.arguments["backup_id"]))


def _rows(run: Run) -> list[Backup]:
    ids = [UUID(each) for each in run.arguments["backup_ids"]]
    return list(Backup.objects.filter(id__in=ids, status=S.CREATING).select_related("volume").order_by("disk", "id"))


def machine_of(row: Backup) -> UUID | None:
    """The instance whose machine may have the disk."""
    if row.disk == Backup.Disk.ROOT:
        return row.disk_id
    return Volume.objects.filter(id=row.disk_id).values_list("instance_id", flat=True).first()


def _refuse_cancelled(row: Backup) -> None:
    if Backup.objects.filter(id=row.id, is_cancelled=True).exists():
        raise Conflict("It was cancelled.")
    if row.vault.project_id != row.project_id:
        raise Conflict("The vault belongs to another project.")


# --- the moment


def _remember(run: Run) -> None:
    rows = [row for row in _rows(run) if row.taken_at is None]
    for row in rows:
        _refuse_cancelled(row)
    if not rows:
        return
    instance_id = machine_of(rows[0])
    Backup.objects.filter(id__in=[row.id for row in rows]).update(holds_mark=True)
    with disks.held_still(instance_id) as is_consistent:
        disks.take(instance_id, {row.disk_id: row.id for row in rows})
    Backup.objects.filter(id__in=[row.id for row in rows]).update(is_consistent=is_consistent, taken_at=clock.now())


def _release(run: Run) -> None:
    for row in _rows(run):
        disks.let_go_on(machine_of(row))
        drop_mark(row)


def _hand_over(run: Run) -> None:
    with transaction.atomic():
        for row in Backup.objects.select_for_update(of=("self",)).filter(id__in=[row.id for row in _rows(run)]):
            enqueue_copy(row, run)


def enqueue_copy(row: Backup, run: Run | None = None) -> None:
    """The job that carries the disk to the bucket, unless there is one; in the caller's transaction."""
    if not Job.objects.filter(kind="copy-backup", arguments__backup_id=str(row.id)).exclude(state=Job.State.FAILED).exists():
        actor = run.actor if run else events.SYSTEM
        jobs.enqueue("copy-backup", row.chain, actor=actor, project_id=row.project_id, arguments={"backup_id": str(row.id)})


def _not_taken(run: Run, sentence: str) -> None:
    for row in _rows(run):
        machine.move(row, S.ERROR, actor=run.actor, detail=sentence, error=sentence, finished_at=clock.now())


def drop_mark(row: Backup) -> None:
    """The disk need not hold the moment any more; whatever became of the disk since."""
    if row.holds_mark:
        try:
            disks.forget(machine_of(row), row.disk_id, row.id)
        except NotFound:
            pass  # with its disk
        Backup.objects.filter(id=row.id).update(holds_mark=False)


# --- copying


def _copy(run: Run) -> None:
    row = _subject(run)
    _refuse_cancelled(row)
    if row.status != S.CREATING:
        raise Conflict("It is no longer being made.")
    vault = open_vault(row.vault)
    Backup.objects.filter(id=row.id).update(holds_chunks=True)
    try:
        _note(row, vault.manifest(row.disk_id, row.id))
        return  # it was there already, and the answer was lost
    except NotFound:
        pass
    base, before = _base_of(row, vault)
    parts = host.volumes().changed_between(row.disk_id, base.id, row.id) if base is not None and base.holds_mark else None
    with host.volumes().open_snapshot(row.disk_id, row.id) as disk:
        copy = Copy(row, vault, before, parts if before is not None else None)
        table = copy.make(disk)
    manifest = Manifest(
        backup_id=row.id,
        disk_id=row.disk_id,
        disk=row.disk,
        group=row.group,
        name=row.name,
        source_name=row.source_name,
        description=row.description,
        taken_at=row.taken_at.isoformat() if row.taken_at else "",
        size_bytes=table.size_bytes,
        is_consistent=row.is_consistent,
        is_full=copy.is_full,
        base=base.id if base and not copy.is_full else None,
        read_bytes=copy.read_bytes,
        new_bytes=copy.new_bytes,
        stored_bytes=table.stored_bytes(),
        table_sha256=hashlib.sha256(table.rows).hexdigest(),
        facts=row.facts,
    )
    vault.put_backup(manifest, table)
    _note(row, manifest)


def _base_of(row: Backup, vault: Repository) -> tuple[Backup | None, Table | None]:
    """The backup before this one, if what it stored can be read."""
    if row.wants_full:
        return None, None
    earlier = Backup.objects.filter(vault_id=row.vault_id, disk_id=row.disk_id, status=S.READY, taken_at__lt=row.taken_at)
    base = earlier.order_by("-taken_at").first()
    if base is None:
        return None, None
    try:
        return base, vault.table(vault.manifest(base.disk_id, base.id))
    except CloudError as error:
        log.warning("backup %s cannot go on from %s: %s", row.id, base.id, error)
        return None, None


class Copy:
    """One disk into the bucket. `parts` are those that differ from the backup before; None: each chunk is read and compared."""

    def __init__(self, row: Backup, vault: Repository, before: Table | None, parts: list[tuple[int, int]] | None) -> None:
        self.row, self.vault, self.before = row, vault, before
        self.changed = None if parts is None else {index for part in parts for index in _places(*part)}
        # What is in the bucket: of earlier backups, and of this one before we were killed. Who wants a full one trusts none of it.
        self.known = {} if row.wants_full else vault.chunks(row.disk_id)
        self.is_full = self.changed is None
        self.read_bytes = self.new_bytes = 0
        self._told = 0.0

    def make(self, disk: DiskBytes) -> Table:
        table = Table(disk.size_bytes)
        for index in range(len(table)):
            self._one(disk, table, index)
            tell(self, index * CHUNK_BYTES)
        return table

    def _one(self, disk: DiskBytes, table: Table, index: int) -> None:
        if self.changed is not None and index not in self.changed and self.before is not None and index < len(self.before):
            digest = self.before.digest(index)
            # Somebody may have cleaned up in the bucket: what is not there is stored again.
            if digest == HOLE or digest in self.known:
                table.set(index, digest, self.before.stored(index))
                return
        start, length = index * CHUNK_BYTES, table.length(index)
        if disk.is_zero(start, length):
            return
        data = disk.read(start, length)
        self.read_bytes += length
        if data.count(0) == length:
            return
        digest = self.vault.codec.digest(data)
        if digest not in self.known:
            self.known[digest] = self.vault.put_chunk(self.row.disk_id, digest, data)
            self.new_bytes += self.known[digest]
        table.set(index, digest, self.known[digest])


def tell(copy: Copy, done_bytes: int) -> None:
    """How far it is, every second; and whether it is still wanted."""
    if time.monotonic() - copy._told >= TELL_SECONDS:
        copy._told = time.monotonic()
        _refuse_cancelled(copy.row)
        Backup.objects.filter(id=copy.row.id).update(done_bytes=done_bytes)
        with transaction.atomic():
            events.touch("backup", copy.row.id, copy.row.project_id)


def _places(offset: int, length: int) -> range:
    return range(offset // CHUNK_BYTES, -(-(offset + length) // CHUNK_BYTES))


def _note(row: Backup, manifest: Manifest) -> None:
    Backup.objects.filter(id=row.id).update(
        done_bytes=manifest.size_bytes,
        read_bytes=manifest.read_bytes,
        new_bytes=manifest.new_bytes,
        stored_bytes=manifest.stored_bytes,
        is_full=manifest.is_full,
        base_id=Backup.objects.filter(id=manifest.base).values_list("id", flat=True).first() if manifest.base else None,
    )


def _uncopy(run: Run) -> None:
    row = _subject(run)
    if row.status in (S.CREATING, S.ERROR):
        clean(row)


def clean(row: Backup) -> None:
    """Nothing of a backup stays in the bucket."""
    if row.holds_chunks:
        vault = open_vault(row.vault)
        try:
            vault.forget(row.disk_id, row.id)
            vault.sweep(row.disk_id)
        except NotFound:
            pass  # the bucket is gone, and everything with it
        Backup.objects.filter(id=row.id).update(holds_chunks=False)


def _ready(run: Run) -> None:
    row = _subject(run)
    if row.status == S.CREATING:
        machine.move(row, S.READY, actor=run.actor, verb="finish", error="", finished_at=clock.now())
    drop_old_marks(row)


def drop_old_marks(row: Backup) -> None:
    """The newest backup of a chain keeps its mark; of those before it nothing is needed on the disk."""
    chain = Backup.objects.filter(vault_id=row.vault_id, disk_id=row.disk_id)
    newest = chain.filter(status=S.READY).order_by("-taken_at").first()
    for old in chain.filter(holds_mark=True).exclude(status=S.CREATING):
        if newest is None or old.id != newest.id:
            drop_mark(old)


def _not_copied(run: Run, sentence: str) -> None:
    row = _subject(run)
    if row.status == S.READY:  # the last step's answer was lost: the backup is there
        return
    drop_mark(row)
    if row.status == S.CREATING:
        machine.move(row, S.ERROR, actor=run.actor, detail=sentence, error=sentence, finished_at=clock.now())


# --- deleting


def _delete(run: Run) -> None:
    row = _subject(run)
    drop_mark(row)
    clean(row)


def _deleted(run: Run) -> None:
    row = _subject(run)
    if row.status == S.DELETING:
        machine.move(row, S.DELETED, actor=run.actor, error="", deleted_at=clock.now())


def _not_deleted(run: Run, sentence: str) -> None:
    row = _subject(run)
    if row.status == S.DELETING:
        sentence = f"Could not be deleted: {sentence} Delete it again."[:500]
        machine.move(row, S.ERROR, actor=run.actor, detail=sentence, error=sentence)


def _clean_up(run: Run) -> None:
    """What a backup that failed left in the bucket, when its own undo could not reach it."""
    row = _subject(run)
    if row.status == S.ERROR:
        clean(row)


def _forget_mark(run: Run) -> None:
    """Of a backup whose row went with its vault."""
    disk_id, is_root = UUID(run.arguments["disk_id"]), run.arguments["disk"] == Backup.Disk.ROOT
    instance_id = disk_id if is_root else Volume.objects.filter(id=disk_id).values_list("instance_id", flat=True).first()
    try:
        disks.forget(instance_id, disk_id, UUID(run.arguments["backup_id"]))
    except NotFound:
        return  # with its disk


def _nothing_to_say(run: Run, sentence: str) -> None:
    log.warning("what backup %s left stays for now: %s", run.arguments["backup_id"], sentence)


# --- the reconciler


def on_their_way() -> None:
    """Backups without the job that they wait for get one; marks and chunks that nothing needs any more go; so do trials without a job."""
    live = Job.objects.exclude(state__in=(Job.State.DONE, Job.State.FAILED))
    busy = {each for each in live.filter(kind__in=_OWN).values_list("arguments__backup_id", flat=True) if each}
    for ids in live.filter(kind="take-backups").values_list("arguments__backup_ids", flat=True):
        busy.update(ids)
    waiting: dict[UUID, list[Backup]] = {}
    for row in Backup.objects.filter(status=S.CREATING).select_related("vault"):
        if str(row.id) in busy:
            continue
        if row.taken_at is None:
            waiting.setdefault(row.group or row.id, []).append(row)
        else:
            with transaction.atomic():
                enqueue_copy(row)
    for rows in waiting.values():
        arguments = {"backup_ids": [str(row.id) for row in rows]}
        subject = rows[0].instance_id or rows[0].disk_id
        jobs.enqueue("take-backups", subject, actor=events.SYSTEM, project_id=rows[0].project_id, arguments=arguments)
    for row in Backup.objects.filter(status=S.DELETING):
        if str(row.id) not in busy:
            _again("delete-backup", row)
    for row in Backup.objects.filter(status=S.ERROR, stored_bytes=None, holds_chunks=True):
        if str(row.id) not in busy:
            _again("clean-backup", row)
    for row in Backup.objects.filter(status__in=(S.ERROR, S.DELETED), holds_mark=True):
        if str(row.id) not in busy:
            drop_mark(row)
    running = set(live.filter(kind="try-backup").values_list("subject_id", flat=True))
    Backup.objects.filter(trial=Backup.Trial.RUNNING).exclude(id__in=running).update(
        trial=Backup.Trial.FAILED, trial_words="It was interrupted. Verify it again."
    )


_OWN = ("copy-backup", "delete-backup", "clean-backup")


def _again(kind: str, row: Backup) -> None:
    jobs.enqueue(kind, row.chain, actor=events.SYSTEM, project_id=row.project_id, arguments={"backup_id": str(row.id)})


KINDS = (
    Kind(
        name="take-backups",
        noun="backup",
        steps=(Step("Holding the moment", _remember, _release), Step("Handing it over", _hand_over)),
        on_failed=_not_taken,
    ),
    Kind(
        name="copy-backup",
        noun="backup",
        steps=(Step("Copying what changed to the bucket", _copy, _uncopy), Step("Noting it", _ready)),
        on_failed=_not_copied,
    ),
    Kind(
        name="delete-backup",
        noun="backup",
        steps=(Step("Deleting it from the bucket", _delete), Step("Closing the books", _deleted)),
        on_failed=_not_deleted,
    ),
    Kind(name="clean-backup", noun="backup", steps=(Step("Clearing its remains away", _clean_up),), on_failed=_nothing_to_say),
    Kind(name="forget-mark", noun="volume", steps=(Step("Forgetting the last backup", _forget_mark),), on_failed=_nothing_to_say),
)
