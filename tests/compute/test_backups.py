"""Backups on fake drivers and a store in memory: their life, what lies in the bucket, every job through the trials of tests/jobs.py."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cloudbox.common.errors import AlreadyExists, Conflict, Forbidden, Invalid, NotFound
from cloudbox.common.models import Job
from compute import backup_vaults, backups, host, instances, reconcilers, volumes
from compute.backup_store import format as backup_format
from compute.backup_store import repository
from compute.drivers import fake_disks
from compute.models import Backup, BackupRestore, BackupVault, Volume
from tests.buckets import Buckets
from tests.compute.test_snapshots import text, write
from tests.compute.test_volumes import attached, made
from tests.jobs import Killed, changed, die_once, fail_after, fail_before, steps_of, twice
from tests.world import World, work


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Buckets:
    found = Buckets()
    monkeypatch.setattr(repository, "store_of", lambda project_id: found)
    # A guess may cost nothing here.
    monkeypatch.setattr(backup_format, "SCRYPT_N", 2**14)
    return found


def vault_of(world: World, **changes: object) -> BackupVault:
    return backup_vaults.create(world.ctx("member"), **{"name": "Safe", "bucket": "safe", "prefix": "box"} | changes).vault  # type: ignore[arg-type]


def backed_up(world: World, vault: BackupVault, volume: Volume, **changes: object) -> Backup:
    (row,) = backups.create(world.ctx("member"), vault_id=vault.id, volume_id=volume.id, **changes)  # type: ignore[arg-type, misc]
    work()
    return backups.get(world.ctx("member"), row.id)


def check(store: Buckets, vault: BackupVault) -> None:
    """What lies in the bucket is what the rows tell of, to the object; each disk holds the newest one's mark and no other."""
    ready = [*Backup.objects.filter(vault=vault, status="ready")]
    wanted = {f"{vault.prefix}vault.json"}
    for row in ready:
        there = backups_repository(vault)
        manifest = there.manifest(row.disk_id, row.id)
        for _, digest in there.table(manifest).filled():
            wanted.add(f"{vault.prefix}{there.chunk_name(row.disk_id, digest)}")
        wanted |= {f"{vault.prefix}{row.disk_id}/backups/{row.id}.{end}" for end in ("json", "table")}
    assert set(store.objects[vault.bucket]) == wanted
    for disk_id in {row.disk_id for row in Backup.objects.filter(vault=vault)}:
        newest = max((row for row in ready if row.disk_id == disk_id), key=lambda row: row.taken_at or row.created_at, default=None)
        try:
            marks = host.volumes().snapshots(disk_id)
        except NotFound:
            continue
        assert marks <= ({newest.id} if newest else set())
    assert not Backup.objects.filter(status__in=("error", "deleted"), holds_mark=True).exists()
    assert not BackupRestore.objects.exists()
    assert not host.hypervisor().frozen  # type: ignore[attr-defined]


def backups_repository(vault: BackupVault) -> repository.Repository:
    from compute.backup_lifecycle import open_vault

    return open_vault(BackupVault.objects.get(id=vault.id))


def test_there_and_back(world: World, store: Buckets) -> None:
    """A volume in use, three times; each is whole; the second reads only what changed; the middle one goes; each comes back as it was."""
    ctx, volume, vault = world.ctx("member"), attached(world), vault_of(world)
    write(volume, "a")
    first = backed_up(world, vault, volume)
    assert (first.status, first.error, first.is_full, first.is_consistent, first.percent) == ("ready", "", True, True, 100)
    assert first.new_bytes
    same = backed_up(world, vault, volume)
    assert (same.is_full, same.read_bytes, same.new_bytes, same.base_id) == (False, 0, 0, first.id)
    write(volume, "b")
    last = backed_up(world, vault, volume)
    assert (last.is_full, last.base_id) == (False, same.id)
    assert last.new_bytes
    check(store, vault)
    backups.delete(ctx, same.id)
    work()
    check(store, vault)
    for row, was in ((first, "a"), (last, "b")):
        new = backups.restore_as_volume(ctx, row.id, name=f"back {was}")
        work()
        new = volumes.get(ctx, new.id)
        assert (new.status, new.size_gib, text(new)) == ("available", volume.size_gib, was)
    with pytest.raises(Conflict, match="Detach it from"):
        backups.restore_over(ctx, first.id, volume_id=volume.id)
    volumes.detach(ctx, volume.id)
    work()
    backups.restore_over(ctx, first.id, volume_id=volume.id)
    assert volumes.get(ctx, volume.id).status == "restoring"
    work()
    assert (volumes.get(ctx, volume.id).status, text(volume)) == ("available", "a")
    again = backed_up(world, vault, volume)
    assert (again.is_full, again.new_bytes) == (False, 0)  # the bytes of the first one are still in the bucket
    for row in (first, last, again):
        backups.delete(ctx, row.id)
    work()
    assert set(store.objects["safe"]) == {"box/vault.json"}
    check(store, vault)


def test_a_lost_mark(world: World, store: Buckets) -> None:
    """Nothing tells what changed: every chunk is read and compared, and only what is new is stored."""
    volume, vault = made(world), vault_of(world)
    write(volume, "a")
    first = backed_up(world, vault, volume)
    host.volumes().delete_snapshot(volume.id, first.id)
    second = backed_up(world, vault, volume)
    assert (second.is_full, second.new_bytes, second.status) == (True, 0, "ready")
    assert second.read_bytes
    full = backed_up(world, vault, volume, full=True)
    assert full.is_full
    assert full.new_bytes == first.new_bytes
    check(store, vault)


def test_what_was_cleaned_up_in_the_bucket_is_stored_again(world: World, store: Buckets) -> None:
    volume, vault = made(world), vault_of(world)
    write(volume, "a")
    backed_up(world, vault, volume)
    for key in [key for key in store.objects["safe"] if "/chunks/" in key]:
        del store.objects["safe"][key]
    assert backed_up(world, vault, volume).new_bytes
    check(store, vault)


def test_another_box(world: World, store: Buckets) -> None:
    """The bucket's objects, copied elsewhere, and the passphrase are all that a restore needs; nothing readable lies there."""
    ctx, volume = world.ctx("member"), made(world)
    made_now = backup_vaults.create(ctx, name="Safe", bucket="safe", encrypted=True)
    assert len(made_now.passphrase) == 29
    vault = made_now.vault
    write(volume, "the secret recipe")
    row = backed_up(world, vault, volume)
    assert row.status == "ready", row.error
    assert not any(b"recipe" in body or volume.name.encode() in body for body in store.objects["safe"].values())
    check(store, vault)
    store.objects["copy"] = dict(store.objects["safe"])
    # Another box has never heard of it.
    Backup.objects.all().delete()
    BackupVault.objects.all().delete()
    stranger = world.ctx("stranger", world.other)
    with pytest.raises(Invalid, match="passphrase"):
        backup_vaults.create(stranger, name="Taken up", bucket="copy")
    with pytest.raises(Forbidden, match="not the passphrase"):
        backup_vaults.create(stranger, name="Taken up", bucket="copy", passphrase="not this one, though")
    found = backup_vaults.create(stranger, name="Taken up", bucket="copy", passphrase=made_now.passphrase)
    assert (found.found, found.passphrase, found.vault.is_encrypted) == (1, "", True)
    (known,) = backups.list(stranger)
    assert (known.id, known.source_name, known.size_gib) == (row.id, volume.name, volume.size_gib)
    new = backups.restore_as_volume(stranger, known.id, name="back")
    work()
    assert text(new) == "the secret recipe"
    with pytest.raises(NotFound):
        backups.get(ctx, row.id)


def test_damage_is_told(world: World, store: Buckets) -> None:
    """A changed, swapped, cut or missing object is never taken for data: trial and restore fail, and say what is wrong."""
    ctx, volume = world.ctx("member"), made(world)
    vault = vault_of(world)
    write(volume, "a")
    row = backed_up(world, vault, volume)
    backups.verify(ctx, row.id)
    work()
    row = backups.get(ctx, row.id)
    assert (row.trial, row.trial_words) == ("passed", "Every chunk was fetched, and is what was stored.")
    (key,) = [key for key in store.objects["safe"] if "/chunks/" in key]
    good = store.objects["safe"][key]
    for bad in (b"", good[:-1], b"\x00" + good[1:], b"\x01" + good[1:], b"\x07" + good, good + b"x", None):
        if bad is None:
            del store.objects["safe"][key]
        else:
            store.objects["safe"][key] = bad
        backups.verify(ctx, row.id)
        work()
        row = backups.get(ctx, row.id)
        if bad == b"\x01" + good[1:] and good[:1] == b"\x01":
            assert row.trial == "passed"
            continue
        assert row.trial == "failed", bad
        assert key.removeprefix("box/") in row.trial_words
    new = backups.restore_as_volume(ctx, row.id, name="back")
    work()
    assert volumes.get(ctx, new.id).status == "error"
    assert "missing" in volumes.get(ctx, new.id).error
    assert not host.volumes().volume_path(new.id).exists()
    before = text(volume)
    backups.restore_over(ctx, row.id, volume_id=volume.id)
    work()
    volume = volumes.get(ctx, volume.id)
    assert (volume.status, text(volume)) == ("available", before)
    assert "missing" in volume.error
    assert not BackupRestore.objects.exists()


def test_cancel(world: World, store: Buckets) -> None:
    ctx, volume, vault = world.ctx("member"), made(world), vault_of(world)
    write(volume, "a")
    (row,) = backups.create(ctx, vault_id=vault.id, volume_id=volume.id)  # type: ignore[misc]
    backups.cancel(ctx, row.id)
    with pytest.raises(Conflict, match="cancelled already"):
        backups.cancel(ctx, row.id)
    work()
    row = backups.get(ctx, row.id)
    assert (row.status, row.error) == ("error", "It was cancelled.")
    check(store, vault)


def test_a_whole_instance(world: World, store: Buckets) -> None:
    """Root disk and volumes at one moment; the new instance has the content of each, the old one's size, key, tags and networks."""
    ctx, volume, vault = world.ctx("member"), attached(world), vault_of(world)
    assert volume.instance_id
    old = instances.get(ctx, volume.instance_id)
    write(volume, "data")
    fake_disks.scribble(host.volumes().root_path(old.id), "system")
    rows = backups.create(ctx, vault_id=vault.id, instance_id=old.id)
    work()
    root, data = (backups.get(ctx, row.id) for row in rows)
    assert (root.disk, data.disk, root.group == data.group is not None) == ("root", "volume", True)
    assert (root.status, data.status, root.taken_at) == ("ready", "ready", data.taken_at)
    assert [*backups.mates(ctx, root)] == [data]
    with pytest.raises(Conflict, match="as a volume"):
        backups.restore_as_instance(ctx, data.id, name="again")
    new = backups.restore_as_instance(ctx, root.id, name="again")
    work()
    new = instances.get(ctx, new.id)
    assert (new.status, new.error, new.flavor_id, new.tags) == ("stopped", "", old.flavor_id, old.tags)
    assert fake_disks.text(host.volumes().root_path(new.id)) == "system"
    (joined,) = Volume.objects.filter(instance=new)
    assert (joined.status, text(joined)) == ("attached", "data")
    alone = backups.restore_as_instance(ctx, root.id, name="alone", with_volumes=False)
    work()
    assert instances.get(ctx, alone.id).status == "running"
    check(store, vault)


def test_a_trial_boots_a_copy(world: World, store: Buckets) -> None:
    """It passes when the copy says something only a system says, fails when it ends before; nothing of it stays."""
    ctx, vault = world.ctx("member"), vault_of(world)
    instance = world.running()
    (row,) = backups.create(ctx, vault_id=vault.id, instance_id=instance.id)  # type: ignore[misc]
    work()
    backups.verify(ctx, row.id)
    with pytest.raises(Conflict, match="being verified"):
        backups.delete(ctx, row.id)
    with pytest.raises(AssertionError, match="not done"):
        work(rounds=6)
    reconcilers.orphans()
    assert row.id in host.hypervisor().all()
    host.hypervisor().console_log(row.id).parent.mkdir(parents=True, exist_ok=True)
    host.hypervisor().console_log(row.id).write_text("SeaBIOS\nWelcome to Debian 12\nweb login: ")
    work()
    row = backups.get(ctx, row.id)
    assert row.trial == "passed"
    assert "Welcome to Debian 12" in row.trial_words
    assert row.id not in host.hypervisor().all()
    assert row.id not in host.volumes().all()
    backups.verify(ctx, row.id)
    with pytest.raises(AssertionError, match="not done"):
        work(rounds=6)
    host.hypervisor().stop(row.id)
    work()
    row = backups.get(ctx, row.id)
    assert (row.trial, "switched itself off" in row.trial_words) == ("failed", True)
    assert row.id not in host.volumes().all()


def test_who_may(world: World, store: Buckets) -> None:
    volume, vault = made(world), vault_of(world)
    row = backed_up(world, vault, volume)
    reader, stranger = world.ctx("reader"), world.ctx("stranger", world.other)
    assert backups.get(reader, row.id) == row
    for verb in (backups.delete, backups.verify, backups.cancel):
        with pytest.raises(Forbidden):
            verb(reader, row.id)
        with pytest.raises(NotFound):
            verb(stranger, row.id)
    with pytest.raises(Forbidden):
        backups.create(reader, vault_id=vault.id, volume_id=volume.id)
    with pytest.raises(NotFound):
        backups.create(stranger, vault_id=vault.id, volume_id=volume.id)
    with pytest.raises(Forbidden):
        backup_vaults.create(reader, name="x", bucket="safe")
    with pytest.raises(NotFound):
        backup_vaults.forget(stranger, vault.id)


def test_vaults(world: World, store: Buckets) -> None:
    """Made, named, refused with reasons, forgotten, taken up again: the backups are back."""
    ctx, volume, vault = world.ctx("member"), made(world), vault_of(world)
    with pytest.raises(AlreadyExists, match="box/"):
        vault_of(world, name="Other")
    with pytest.raises(AlreadyExists, match="vault safe"):
        vault_of(world, name="safe", prefix="else")
    with pytest.raises(NotFound, match="no bucket nowhere"):
        vault_of(world, name="Other", bucket="nowhere")
    with pytest.raises(Invalid, match="12 characters"):
        vault_of(world, name="Other", prefix="new", passphrase="short")
    assert backup_vaults.update(ctx, vault.id, name="Vault", description="Mine").name == "Vault"
    row = backed_up(world, vault, volume)
    backup_vaults.forget(ctx, vault.id)
    work()
    assert not backups.list(ctx).exists()
    assert host.volumes().snapshots(volume.id) == set()
    found = backup_vaults.create(ctx, name="Again", bucket="safe", prefix="box")
    assert (found.found, [each.id for each in backups.list(ctx)]) == (1, [row.id])
    assert backup_vaults.refresh(ctx, found.vault.id) == 0


def test_the_store_is_away(world: World, store: Buckets) -> None:
    """However far it came before the store went away: it fails, says why, and what it left goes when the store is back."""
    ctx, volume, vault = world.ctx("member"), made(world), vault_of(world)
    write(volume, "a")
    backed_up(world, vault, volume)
    write(volume, "b")
    for requests in range(12):
        store.breaks_after = requests
        row = backed_up(world, vault, volume)
        store.breaks_after = None
        if row.status == "ready":
            break
        assert (row.status, row.error) == ("error", "The object store does not answer.")
        reconcilers.backups.on_their_way()
        work()
        check(store, vault)
        backups.delete(ctx, row.id)
        work()
    else:
        raise AssertionError("it never came through")
    check(store, vault)


# Each takes half a second, and there are seventy: half of them are left to the full run.
WRAPS = [fail_after, die_once, *(pytest.param(wrap, marks=pytest.mark.slow) for wrap in (fail_before, twice))]
TRIALS = (
    [("take-backups", step) for step in range(2)]
    + [("copy-backup", step) for step in range(2)]
    + [("delete-backup", step) for step in range(2)]
)


@pytest.mark.parametrize(("kind", "step"), TRIALS)
@pytest.mark.parametrize("wrap", WRAPS)
def test_every_step(kind: str, step: int, wrap: Callable, world: World, store: Buckets) -> None:
    """Failed before and after it happened, killed after, run twice: the rows, the bucket and the disk agree, and it can be done again."""
    ctx, volume, vault = world.ctx("member"), attached(world), vault_of(world)
    write(volume, "a")
    first = backed_up(world, vault, volume)
    write(volume, "b")
    with changed(kind, wrap, step=step):
        if kind == "delete-backup":
            backups.delete(ctx, first.id)
        else:
            backups.create(ctx, vault_id=vault.id, volume_id=volume.id)
        try:
            work()
        except Killed:
            work()
    reconcilers.backups.on_their_way()
    work()
    if wrap in (die_once, twice):
        assert not Job.objects.filter(state="failed").exists()
    if kind != "delete-backup":  # one that could not be deleted is still there, and says so
        check(store, vault)
    for row in backups.list(ctx):
        if row.status == "error":
            backups.delete(ctx, row.id)
    work()
    last = backed_up(world, vault, volume)
    assert last.status == "ready", last.error
    check(store, vault)


FILLS = (
    [("restore-volume-backup", step) for step in range(3)]
    + [("try-backup", step) for step in range(4)]
    + [("create-volume", step) for step in range(3)]
)


@pytest.mark.parametrize(("kind", "step"), FILLS)
@pytest.mark.parametrize("wrap", WRAPS)
def test_every_step_of_restores(kind: str, step: int, wrap: Callable, world: World, store: Buckets) -> None:
    """The same of all that fills disks: what was there stays or is wholly replaced, and nothing else is left."""
    if step >= len(steps_of(kind)):
        return
    ctx, volume, vault = world.ctx("member"), made(world), vault_of(world)
    write(volume, "old")
    row = backed_up(world, vault, volume)
    write(volume, "new")
    new = None
    with changed(kind, wrap, step=step):
        if kind == "try-backup":
            backups.verify(ctx, row.id)
        elif kind == "create-volume":
            new = backups.restore_as_volume(ctx, row.id, name="back")
        else:
            backups.restore_over(ctx, row.id, volume_id=volume.id)
        try:
            work()
        except Killed:
            work()
    volume = volumes.get(ctx, volume.id)
    failed = Job.objects.filter(state="failed").exists()
    assert failed is (wrap in (fail_before, fail_after))
    if kind == "restore-volume-backup":
        assert volume.status == "available"
        if step < 2:
            assert text(volume) == ("new" if failed else "old")
    elif new is not None and not failed:
        assert text(new) == "old"
    assert host.volumes().snapshots(volume.id) == {row.id}
    assert row.id not in host.volumes().all()
    check(store, vault)
