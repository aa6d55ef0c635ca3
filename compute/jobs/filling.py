"""Disks that are filled from backups: new volumes and root disks, volumes that become what they were, and trials that boot a copy."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from uuid import UUID

from django.db import transaction

from cloudbox.common import clock, events, jobs
from cloudbox.common.errors import CloudError, Conflict
from cloudbox.common.jobs import Kind, Later, Run, Step
from compute import host
from compute.backup_lifecycle import open_vault
from compute.backup_store.format import CHUNK_BYTES
from compute.drivers.base import DiskBytes
from compute.drivers.specs import OFF, MachineSpec
from compute.models import Backup, BackupRestore, Instance, Volume
from compute.volume_lifecycle import machine, resting

S = Volume.Status
T = Backup.Trial
TELL_SECONDS = 1.0
TRIAL_MINUTES = 10
TRIAL_MEMORY_MIB = 1024
LOOK_SECONDS = 2
LOG_BYTES = 256 * 1024
# What no firmware and no boot loader says, and every system that comes up does.
SIGN = re.compile(
    rb"(Linux version [^\n]{5,80}|login:|Welcome to [^\n]{2,60}|Reached target [^\n]{2,60}|systemd\[1\]|Starting kernel|NetBSD|FreeBSD)"
)


class _Teller:
    def __init__(self, noun: str, disk_id: UUID, project_id: UUID) -> None:
        self._noun, self._disk_id, self._project_id, self._told = noun, disk_id, project_id, 0.0

    def __call__(self, done_bytes: int) -> None:
        if time.monotonic() - self._told >= TELL_SECONDS:
            self._told = time.monotonic()
            BackupRestore.objects.filter(disk_id=self._disk_id).update(done_bytes=done_bytes)
            with transaction.atomic():
                events.touch(self._noun, self._disk_id, self._project_id)


def fill(disk_id: UUID, *, size_gib: int, is_root: bool = False) -> bool:
    """Make the disk that a restore asks for. False: none does, and nothing happens. There already: nothing."""
    restore = BackupRestore.objects.select_related("backup__vault").filter(disk_id=disk_id).first()
    if restore is None:
        return False
    store = host.volumes()
    if not (store.root_path(disk_id) if is_root else store.volume_path(disk_id)).exists():
        tell = _Teller("instance" if is_root else "volume", disk_id, restore.project_id)
        with store.new_disk(disk_id, size_gib=size_gib, is_root=is_root) as disk:
            each_chunk(restore.backup, lambda offset, data: disk.write(offset, data), tell)
    return True


def done(disk_id: UUID) -> None:
    """The disk is made, or will not be."""
    BackupRestore.objects.filter(disk_id=disk_id).delete()


def each_chunk(backup: Backup, take: Callable[[int, bytes], None], tell: Callable[[int], None]) -> int:
    """Give each chunk that is no hole, proven by its digest; returns how many bytes they are."""
    vault = open_vault(backup.vault)
    table = vault.table(vault.manifest(backup.disk_id, backup.id))
    count, last, data = 0, b"", b""
    for index, digest in table.filled():
        length = table.length(index)
        if digest != last or len(data) != length:
            data, last = vault.chunk(backup.disk_id, digest, length=length), digest
        take(index * CHUNK_BYTES, data)
        count += length
        tell(index * CHUNK_BYTES)
    return count


# --- over a volume that is there


def _volume(run: Run) -> Volume:
    return Volume.objects.select_related("type", "instance").get(id=run.subject_id)


def _backup(run: Run) -> Backup:
    return Backup.objects.select_related("vault").get(id=UUID(run.arguments["backup_id"]))


def _keep(run: Run) -> None:
    """A snapshot, called as the job, holds what is there: until the restore is whole, it can be undone."""
    if _volume(run).instance_id is not None:
        raise Conflict("It was attached meanwhile.")
    host.volumes().snapshot(run.subject_id, run.job.id)


def _put_back(run: Run) -> None:
    store, volume = host.volumes(), _volume(run)
    if run.job.id in store.snapshots(volume.id):
        store.restore(volume.id, run.job.id, size_gib=volume.size_gib)
        store.delete_snapshot(volume.id, run.job.id)


def _write(run: Run) -> None:
    volume, backup = _volume(run), _backup(run)
    with host.volumes().open_disk(volume.id) as disk:
        place = 0

        def take(offset: int, data: bytes) -> None:
            nonlocal place
            _clear(disk, place, offset)
            if disk.read(offset, len(data)) != data:  # what is so already stays shared with its snapshots
                disk.write(offset, data)
            place = offset + len(data)

        each_chunk(backup, take, _Teller("volume", volume.id, volume.project_id))
        _clear(disk, place, disk.size_bytes)


def _clear(disk: DiskBytes, start: int, end: int) -> None:
    """Zeros from `start` to `end`, written only where there is something."""
    for offset in range(start, end, CHUNK_BYTES):
        length = min(CHUNK_BYTES, end - offset)
        if not disk.is_zero(offset, length):
            disk.write(offset, bytes(length))


def _written(run: Run) -> None:
    host.volumes().delete_snapshot(run.subject_id, run.job.id)
    BackupRestore.objects.filter(disk_id=run.subject_id).delete()
    volume = _volume(run)
    if volume.status == S.RESTORING:
        machine.move(volume, resting(volume), actor=run.actor, error="", base=None, detail=f"to the backup {_backup(run).name}")


def _not_written(run: Run, sentence: str) -> None:
    BackupRestore.objects.filter(disk_id=run.subject_id).delete()
    volume = _volume(run)
    if volume.status == S.RESTORING:
        machine.move(volume, resting(volume), actor=run.actor, detail=sentence, error=sentence)


# --- trial: a machine that bears the backup's id, without a network


def _trial(run: Run) -> Backup:
    return Backup.objects.select_related("vault").get(id=run.subject_id)


def _read_back(run: Run) -> None:
    """Every byte is fetched and proven; of a system's disk a copy is made of them."""
    row = _trial(run)
    store = host.volumes()
    tell = _Teller("backup", row.id, row.project_id)
    if row.disk != Backup.Disk.ROOT:
        each_chunk(row, lambda offset, data: None, tell)
    elif not store.root_path(row.id).exists():
        with store.new_disk(row.id, size_gib=row.size_gib, is_root=True) as disk:
            each_chunk(row, lambda offset, data: disk.write(offset, data), tell)


def _drop_copy(run: Run) -> None:
    host.volumes().delete(run.subject_id)


def _boot(run: Run) -> None:
    row = _trial(run)
    if row.disk == Backup.Disk.ROOT:
        facts = row.facts
        spec = MachineSpec(
            id=row.id,
            name=f"trial-{row.id.hex[:8]}",
            vcpus=1,
            memory_mib=min(int(facts.get("memory_mib") or TRIAL_MEMORY_MIB), TRIAL_MEMORY_MIB),
            root_disk=host.volumes().root_path(row.id),
            disk_bus=str(facts.get("disk_bus") or "virtio"),
            project=str(row.project_id),
        )
        host.hypervisor().define(spec)
        host.hypervisor().start(row.id)
        Backup.objects.filter(id=row.id).update(tried_at=clock.now())


def _switch_off(run: Run) -> None:
    host.hypervisor().stop(run.subject_id)
    host.hypervisor().undefine(run.subject_id)


def _watch(run: Run) -> None:
    row = _trial(run)
    if row.disk != Backup.Disk.ROOT:
        Backup.objects.filter(id=row.id).update(trial_words="Every chunk was fetched, and is what was stored.")
        return
    sign = sign_of_life(row.id)
    if sign:
        words = f"Every chunk is what was stored, and a copy came up without a network: “{sign}”."
        Backup.objects.filter(id=row.id).update(trial_words=words[:500])
        return
    if host.hypervisor().power(row.id) in OFF:
        raise Conflict("Every chunk is what was stored, but the copy switched itself off before it showed a sign of life.")
    if row.tried_at is None or (clock.now() - row.tried_at).total_seconds() > TRIAL_MINUTES * 60:
        raise Conflict(f"Every chunk is what was stored, but the copy said nothing on its console in {TRIAL_MINUTES} minutes.")
    raise Later(LOOK_SECONDS)


def sign_of_life(id: UUID) -> str:
    """What a machine's console says that only a system that comes up does; empty: nothing yet."""
    try:
        with host.hypervisor().console_log(id).open("rb") as file:
            found = SIGN.search(file.read(LOG_BYTES))
    except (FileNotFoundError, CloudError):
        return ""
    return found.group().decode(errors="replace").strip()[:100] if found else ""


def _clear_away(run: Run) -> None:
    _switch_off(run)
    _drop_copy(run)
    _end_trial(run, T.PASSED, "")


def _failed_trial(run: Run, sentence: str) -> None:
    _end_trial(run, T.FAILED, sentence)


def _end_trial(run: Run, result: str, words: str) -> None:
    row = _trial(run)
    if row.trial != T.RUNNING:
        return
    with transaction.atomic():
        Backup.objects.filter(id=row.id).update(trial=result, trial_words=words or row.trial_words, tried_at=clock.now())
        verb = "pass-trial" if result == T.PASSED else "fail-trial"
        events.publish(run.actor, verb, "backup", row, detail=words or row.trial_words)


# --- volumes of an instance that is restored


def _join(run: Run) -> None:
    """Attach the volume as soon as both are there. Its own job, under its own lock, does the work."""
    volume = _volume(run)
    instance = Instance.objects.filter(id=UUID(run.arguments["instance_id"])).first()
    if volume.status != S.AVAILABLE or volume.instance_id is not None:
        return  # it came to nothing, or is attached already
    if instance is None or instance.intended == Instance.Intent.DELETED or instance.status == Instance.Status.ERROR:
        raise Conflict("The instance that it belongs to is not there.")
    if instance.status == Instance.Status.BUILDING:
        raise Later(LOOK_SECONDS)
    with transaction.atomic():
        machine.move(volume, S.ATTACHING, actor=run.actor, verb="attach", instance=instance, error="")
        jobs.enqueue("attach-volume", volume.id, actor=run.actor, project_id=volume.project_id)


def _not_joined(run: Run, sentence: str) -> None:
    Volume.objects.filter(id=run.subject_id).update(error=sentence[:500])


KINDS = (
    Kind(name="join-volume", noun="volume", steps=(Step("Attaching it", _join),), on_failed=_not_joined),
    Kind(
        name="restore-volume-backup",
        noun="volume",
        steps=(
            Step("Keeping what is there", _keep, _put_back),
            Step("Writing the backup over it", _write),
            Step("Noting it", _written),
        ),
        on_failed=_not_written,
    ),
    Kind(
        name="try-backup",
        noun="backup",
        steps=(
            Step("Fetching every chunk", _read_back, _drop_copy),
            Step("Starting a copy without a network", _boot, _switch_off),
            Step("Waiting for a sign of life", _watch),
            Step("Clearing the copy away", _clear_away),
        ),
        on_failed=_failed_trial,
    ),
)
