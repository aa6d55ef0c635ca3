"""Schedules: backups that nobody has to ask for, of a volume, an instance, or whatever bears a tag; and the end of those not kept."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Max, Q, QuerySet

from cloudbox.common import clock, events, jobs
from cloudbox.common.errors import AlreadyExists, CloudError, Conflict, Invalid, NotFound
from compute import backup_vaults, backups, instances, retention, volumes
from compute.backup_lifecycle import machine
from compute.models import Backup, BackupSchedule, Instance, Volume
from identity.context import Context
from identity.models import Role
from identity.names import clean_name, clean_text

log = logging.getLogger(__name__)

S = Backup.Status
Every = BackupSchedule.Every
PER_PROJECT_MAX = 100
KEPT_MAX = 366
KEEPS = ("keep_last", "keep_hourly", "keep_daily", "keep_weekly", "keep_monthly")
TRIALS_MAX = 1  # at once on a box: each takes a machine's memory


@dataclass(frozen=True, kw_only=True)
class Spec:
    """When, and how many are kept. Times are UTC."""

    every: str = Every.DAY
    minute: int = 0
    hour: int = 3
    weekday: int = 0
    day: int = 1
    keep_last: int = 3
    keep_hourly: int = 0
    keep_daily: int = 7
    keep_weekly: int = 4
    keep_monthly: int = 6
    is_verified: bool = False


def _check(spec: Spec) -> None:
    if spec.every not in Every.values:
        raise Invalid(f"A schedule is of every {', '.join(Every.values)}.", field="every")
    for field, (least, most) in {"minute": (0, 59), "hour": (0, 23), "weekday": (0, 6), "day": (1, 31)}.items():
        if not least <= getattr(spec, field) <= most:
            raise Invalid(f"The {field} is {least} to {most}.", field=field)
    for field in KEEPS:
        least = 1 if field == "keep_last" else 0
        if not least <= getattr(spec, field) <= KEPT_MAX:
            raise Invalid(f"Keep {least} to {KEPT_MAX}.", field=field)


def rules(row: BackupSchedule) -> retention.Rules:
    return retention.Rules(
        last=row.keep_last, hourly=row.keep_hourly, daily=row.keep_daily, weekly=row.keep_weekly, monthly=row.keep_monthly
    )


def list(ctx: Context, *, q: str = "", volume_id: UUID | None = None, instance_id: UUID | None = None) -> QuerySet[BackupSchedule]:
    """The schedules of the project, with `newest`: the time of their last backup that is ready."""
    ctx.require("backups.list")
    rows = BackupSchedule.objects.filter(project=ctx.project).select_related("vault", "volume", "instance")
    rows = rows.annotate(newest=Max("backups__taken_at"))
    if q:
        rows = rows.filter(name__icontains=q)
    if volume_id is not None:
        rows = rows.filter(volume_id=volume_id)
    if instance_id is not None:
        rows = rows.filter(instance_id=instance_id)
    return rows.order_by("name")


def coming(ctx: Context, *, volume: Volume | None = None, instance: Instance | None = None) -> BackupSchedule | None:
    """The schedule that backs up this volume or instance next; a volume's also with the instance that has it. None: nothing does."""
    instance = instance or (volume.instance if volume is not None and not volume.is_read_only else None)
    wanted = Q(volume=volume) if volume is not None else Q(pk__in=[])
    if instance is not None:
        tags = [*instance.tags, *(f"{key}:{value}" for key, value in instance.tags.items())]
        wanted |= Q(instance=instance) | Q(tag__in=tags)
    return list(ctx).filter(wanted, is_active=True).order_by("next_at", "id").first()


def get(ctx: Context, id: UUID) -> BackupSchedule:
    """The one way to a schedule. A stranger's is NotFound, like one that never was."""
    found = list(ctx).filter(id=id).first()
    if found is None:
        raise NotFound(f"There is no backup schedule {id}.", resource=str(id))
    return found


def create(
    ctx: Context,
    *,
    name: str,
    vault_id: UUID,
    volume_id: UUID | None = None,
    instance_id: UUID | None = None,
    tag: str = "",
    spec: Spec | None = None,
) -> BackupSchedule:
    """Backups from the next time on. `tag`, as `key` or `key:value`, means every instance that bears it then."""
    ctx.require("backups.manage")
    spec = spec or Spec()
    _check(spec)
    name, tag = clean_name(name), clean_text(tag, field="tag", length_max=64)
    if sum((volume_id is not None, instance_id is not None, bool(tag))) != 1:
        raise Invalid("A schedule is of one volume, of one instance, or of a tag.", field="target")
    vault = backup_vaults.get(ctx, vault_id)
    if list(ctx).count() >= PER_PROJECT_MAX:
        raise Conflict(f"The project has {PER_PROJECT_MAX} schedules, and can have no more. Delete one first.")
    try:
        with transaction.atomic():
            row = BackupSchedule.objects.create(
                project=ctx.needed_project,
                user=ctx.needed_user,
                vault=vault,
                name=name,
                volume=volumes.get(ctx, volume_id) if volume_id else None,
                instance=instances.get(ctx, instance_id) if instance_id else None,
                tag=tag,
                next_at=_next(spec, clock.now()),
                **spec.__dict__,
            )
            events.publish(ctx.actor, "create", "backup-schedule", row, detail=f"of {target(row)}, {row.get_every_display().lower()}")
    except IntegrityError as error:
        raise AlreadyExists(f"There is a schedule {name} in this project.", field="name") from error
    return get(ctx, row.id)


def target(row: BackupSchedule) -> str:
    """What it backs up, in words."""
    if row.volume is not None:
        return f"the volume {row.volume.name}"
    return f"the instance {row.instance.name}" if row.instance is not None else f"instances with the tag {row.tag}"


def update(
    ctx: Context, id: UUID, *, name: str | None = None, is_active: bool | None = None, changes: Mapping[str, Any] | None = None
) -> BackupSchedule:
    """`changes` are fields of Spec. A schedule that was off begins anew: what it missed it does not make up for."""
    ctx.require("backups.manage")
    unknown = set(changes or {}) - set(Spec.__dataclass_fields__)
    if unknown:
        raise Invalid(f"A schedule has no {sorted(unknown)[0]}.", field=sorted(unknown)[0])
    try:
        with transaction.atomic():
            get(ctx, id)
            row = BackupSchedule.objects.select_for_update(of=("self",)).get(id=id)
            spec = Spec(**{field: getattr(row, field) for field in Spec.__dataclass_fields__} | dict(changes or {}))
            _check(spec)
            for field, value in spec.__dict__.items():
                setattr(row, field, value)
            row.name = clean_name(name) if name is not None else row.name
            row.is_active = row.is_active if is_active is None else is_active
            row.next_at = _next(spec, clock.now())
            row.save()
            events.publish(ctx.actor, "update", "backup-schedule", row, detail="" if is_active is None else ("on" if is_active else "off"))
    except IntegrityError as error:
        raise AlreadyExists(f"There is a schedule {name} in this project.", field="name") from error
    return get(ctx, id)


def delete(ctx: Context, id: UUID) -> None:
    """Its backups stay."""
    ctx.require("backups.manage")
    with transaction.atomic():
        row = get(ctx, id)
        events.publish(ctx.actor, "delete", "backup-schedule", row)
        BackupSchedule.objects.filter(id=id).delete()


def run_now(ctx: Context, id: UUID) -> Sequence[Backup]:  # type: ignore[valid-type]
    """A backup now, out of turn; it counts for what is kept like any other."""
    ctx.require("backups.manage")
    row = get(ctx, id)
    made, sentences = _make(ctx, row)
    if sentences and not made:
        raise Conflict(sentences[0], resource=str(id))
    return made


def fate(ctx: Context, row: BackupSchedule) -> dict[UUID, Sequence[str]]:  # type: ignore[valid-type]
    """Of its backups that are ready, those that its rules keep now, each with those rules."""
    found: dict[UUID, Sequence[str]] = {}  # type: ignore[valid-type]
    for rows in _by_disk(row).values():
        found |= retention.kept(rows, rules(row))
    return found


# --- the ticker's round


def run() -> None:
    """Make the backups whose time has come, end those that no rule keeps, try those that are to be tried."""
    for id in [*BackupSchedule.objects.filter(is_active=True, next_at__lte=clock.now()).values_list("id", flat=True)]:
        try:
            _run_due(id)
        except Exception:  # one schedule's bug is not the others' fate
            log.exception("the backup schedule %s could not be run", id)
    for row in BackupSchedule.objects.filter(backups__status=S.READY).distinct():
        _expire(row)
    _try_one()


def _run_due(id: UUID) -> None:
    with transaction.atomic():
        row = BackupSchedule.objects.select_for_update(of=("self",)).select_related("project", "user", "vault").get(id=id)
        if not row.is_active or row.next_at > clock.now():
            return
        # However many times were missed, they are caught up with one backup.
        spec = Spec(**{field: getattr(row, field) for field in Spec.__dataclass_fields__})
        row.next_at, row.last_at = _next(spec, clock.now()), clock.now()
        row.save(update_fields=["next_at", "last_at"])
    ctx = Context(user=row.user, project=row.project, role=Role.ADMIN, api="schedule")
    _, sentences = _make(ctx, row)
    BackupSchedule.objects.filter(id=id).update(error=" ".join(sentences)[:500])
    for sentence in sentences:
        events.publish(events.SYSTEM, "miss", "backup-schedule", row, project_id=row.project_id, detail=sentence)


def _make(ctx: Context, row: BackupSchedule) -> tuple[Sequence[Backup], Sequence[str]]:  # type: ignore[valid-type]
    """The backups that were begun, and why others were not."""
    made: tuple[Backup, ...] = ()
    sentences: tuple[str, ...] = ()
    wanted: Sequence[dict[str, Any]]
    if row.volume_id is not None:
        wanted = [{"volume_id": row.volume_id}]
    elif row.instance_id is not None:
        wanted = [{"instance_id": row.instance_id}]
    else:
        wanted = [{"instance_id": each.id} for each in instances.list(ctx, tag=row.tag)]
        if not wanted:
            sentences = (f"No instance bears the tag {row.tag}.",)
    for each in wanted:
        if Backup.objects.filter(schedule=row, status=S.CREATING, **each).exists():
            sentences = (*sentences, "The backup before is still being made.")
            continue
        try:
            made = (*made, *backups.create(ctx, vault_id=row.vault_id, schedule=row, **each))
        except CloudError as error:
            sentences = (*sentences, error.message)
    return made, sentences


def _by_disk(row: BackupSchedule) -> dict[UUID, Sequence[tuple[UUID, dt.datetime]]]:  # type: ignore[valid-type]
    found: dict[UUID, Any] = {}
    for backup in Backup.objects.filter(schedule=row, status=S.READY).exclude(taken_at=None):
        found.setdefault(backup.disk_id, []).append((backup.id, backup.taken_at))
    return found


def _expire(row: BackupSchedule) -> None:
    """Backups that no rule keeps, and failed ones that a later one made good. One that somebody uses now goes next time."""
    for rows in _by_disk(row).values():
        kept = retention.kept(rows, rules(row))
        newest = max(at for _, at in rows)
        over = [id for id, _ in rows if id not in kept]
        failed = Backup.objects.filter(schedule=row, status=S.ERROR, created_at__lt=newest, disk_id__in=_disks(rows))
        for backup in Backup.objects.filter(id__in=[*over, *failed.values_list("id", flat=True)]):
            with transaction.atomic():
                backup = Backup.objects.select_for_update(of=("self",)).get(id=backup.id)
                if backup.status in (S.READY, S.ERROR) and backup.trial != Backup.Trial.RUNNING and not backup.restores.exists():
                    machine.move(backup, S.DELETING, actor=events.SYSTEM, verb="expire", detail=f"by the schedule {row.name}", error="")
                    arguments = {"backup_id": str(backup.id)}
                    jobs.enqueue("delete-backup", backup.chain, actor=events.SYSTEM, project_id=row.project_id, arguments=arguments)


def _disks(rows: Sequence[tuple[UUID, dt.datetime]]) -> QuerySet[Backup, UUID]:  # type: ignore[valid-type]
    return Backup.objects.filter(id__in=[id for id, _ in rows]).values_list("disk_id", flat=True)


def _try_one() -> None:
    """The newest of each schedule that wants it, one after another."""
    if Backup.objects.filter(trial=Backup.Trial.RUNNING).count() >= TRIALS_MAX:
        return
    todo = Backup.objects.filter(schedule__is_verified=True, status=S.READY, trial=Backup.Trial.NONE).order_by("-taken_at")
    for row in todo[:50]:
        later = Backup.objects.filter(schedule=row.schedule_id, disk_id=row.disk_id, status=S.READY, taken_at__gt=row.taken_at)
        if later.exists():
            continue
        with transaction.atomic():
            if Backup.objects.filter(id=row.id, status=S.READY, trial=Backup.Trial.NONE).update(trial=Backup.Trial.RUNNING, tried_at=None):
                jobs.enqueue("try-backup", row.id, actor=events.SYSTEM, project_id=row.project_id)
        return


def _next(spec: Spec, after: dt.datetime) -> dt.datetime:
    return retention.next_run(spec.every, after, minute=spec.minute, hour=spec.hour, weekday=spec.weekday, day=spec.day)


def why_not_of(row: Volume | Instance) -> str:
    """Why nothing can be scheduled for it; empty: it can."""
    return f"{row} is being deleted." if row.status in ("deleting", "deleted") else ""
