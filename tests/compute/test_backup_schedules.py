"""Schedules: due ones run once however much was missed, what no rule keeps goes, what is to be tried is tried."""

from __future__ import annotations

import datetime as dt

import pytest

from cloudbox.common import clock
from cloudbox.common.errors import AlreadyExists, Conflict, Forbidden, Invalid, NotFound
from compute import backup_schedules, backups, instances, volumes
from compute.backup_schedules import Spec
from compute.models import Backup, BackupSchedule
from tests.buckets import Buckets
from tests.compute.test_backups import check, store, vault_of
from tests.compute.test_volumes import made
from tests.world import World, work

__all__ = ["store"]
START = dt.datetime(2026, 5, 4, 2, 30, tzinfo=dt.UTC)  # a Monday


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> list[dt.datetime]:
    """The time, for tests that let it pass."""
    moment = [START]
    monkeypatch.setattr(clock, "now", lambda: moment[0])
    return moment


def test_nights_pass(world: World, store: Buckets, at: list[dt.datetime]) -> None:
    """A backup each night at three, of which so many are kept; a week off is made up for with one."""
    ctx, volume, vault = world.ctx("member"), made(world), vault_of(world)
    spec = Spec(hour=3, keep_last=1, keep_daily=3, keep_weekly=1, keep_monthly=0)
    row = backup_schedules.create(ctx, name="nightly", vault_id=vault.id, volume_id=volume.id, spec=spec)
    assert row.next_at == START.replace(hour=3, minute=0)
    backup_schedules.run()
    assert not backups.list(ctx).exists()
    for night in range(5):
        at[0] = START.replace(hour=3, minute=1) + dt.timedelta(days=night)
        for _ in range(2):
            backup_schedules.run()
            work()
    days = [each.taken_at.day for each in backups.list(ctx, sort="taken") if each.taken_at]
    assert days == [6, 7, 8]
    assert set(backup_schedules.fate(ctx, row)) == set(backups.list(ctx).values_list("id", flat=True))
    at[0] += dt.timedelta(days=7)
    backup_schedules.run()
    work()
    assert backup_schedules.get(ctx, row.id).next_at == dt.datetime(2026, 5, 16, 3, 0, tzinfo=dt.UTC)
    backup_schedules.run()
    work()
    assert [each.taken_at.day for each in backups.list(ctx, sort="taken") if each.taken_at] == [7, 8, 15]
    check(store, vault)
    backup_schedules.delete(ctx, row.id)
    assert backups.list(ctx).count() == 3


def test_by_tag(world: World, store: Buckets, at: list[dt.datetime]) -> None:
    """Whoever bears the tag when the time comes; nobody does: it says so, and the next time is another chance."""
    ctx, vault = world.ctx("member"), vault_of(world)
    row = backup_schedules.create(ctx, name="tagged", vault_id=vault.id, tag="backup:yes", spec=Spec(every="hour", minute=0))
    at[0] += dt.timedelta(hours=1)
    backup_schedules.run()
    assert "No instance bears" in backup_schedules.get(ctx, row.id).error
    instance = world.running(tags={"backup": "yes"})
    at[0] += dt.timedelta(hours=1)
    backup_schedules.run()
    work()
    (backup,) = backups.list(ctx)
    assert (backup.instance_id, backup.disk, backup.status) == (instance.id, "root", "ready")
    assert backup_schedules.get(ctx, row.id).error == ""
    instances.delete(ctx, instance.id)
    work()
    assert backups.get(ctx, backup.id).status == "ready"


def test_it_tries_what_it_made(world: World, store: Buckets, at: list[dt.datetime]) -> None:
    ctx, volume, vault = world.ctx("member"), made(world), vault_of(world)
    row = backup_schedules.create(ctx, name="tried", vault_id=vault.id, volume_id=volume.id, spec=Spec(is_verified=True))
    backup_schedules.run_now(ctx, row.id)
    with pytest.raises(Conflict, match="still being made"):
        backup_schedules.run_now(ctx, row.id)
    work()
    backup_schedules.run()
    work()
    assert backups.list(ctx).get().trial == "passed"


def test_it_does_not_run(world: World, store: Buckets, at: list[dt.datetime]) -> None:
    """Switched off, or its volume cannot be backed up now: nothing is made, and the second is told."""
    ctx, volume, vault = world.ctx("member"), made(world), vault_of(world)
    row = backup_schedules.create(ctx, name="nightly", vault_id=vault.id, volume_id=volume.id)
    backup_schedules.update(ctx, row.id, is_active=False)
    at[0] += dt.timedelta(days=2)
    backup_schedules.run()
    assert not backups.list(ctx).exists()
    row = backup_schedules.update(ctx, row.id, is_active=True)
    assert row.next_at > at[0]
    volumes.delete(ctx, volume.id)
    work()
    at[0] += dt.timedelta(days=2)
    backup_schedules.run()
    assert "There is no volume" in backup_schedules.get(ctx, row.id).error
    assert not Backup.objects.exists()


@pytest.mark.parametrize(
    ("changes", "field"), [({"every": "year"}, "every"), ({"hour": 24}, "hour"), ({"day": 0}, "day"), ({"keep_last": 0}, "keep_last")]
)
def test_what_makes_no_sense(changes: dict[str, object], field: str, world: World, store: Buckets) -> None:
    ctx, volume, vault = world.ctx("member"), made(world), vault_of(world)
    with pytest.raises(Invalid) as refused:
        backup_schedules.create(ctx, name="x", vault_id=vault.id, volume_id=volume.id, spec=Spec(**changes))  # type: ignore[arg-type]
    assert refused.value.field == field
    assert not BackupSchedule.objects.exists()


def test_who_may(world: World, store: Buckets) -> None:
    ctx, volume, vault = world.ctx("member"), made(world), vault_of(world)
    row = backup_schedules.create(ctx, name="nightly", vault_id=vault.id, volume_id=volume.id)
    with pytest.raises(AlreadyExists):
        backup_schedules.create(ctx, name="Nightly", vault_id=vault.id, volume_id=volume.id)
    with pytest.raises(Invalid, match="of one volume"):
        backup_schedules.create(ctx, name="x", vault_id=vault.id)
    with pytest.raises(Forbidden):
        backup_schedules.delete(world.ctx("reader"), row.id)
    for verb in (backup_schedules.get, backup_schedules.delete, backup_schedules.run_now):
        with pytest.raises(NotFound):
            verb(world.ctx("stranger", world.other), row.id)
