"""How well a disk is backed up, as its own page says it: the last backup, the next, the last that was verified, and one now."""

from __future__ import annotations

from typing import Any

from compute import backup_schedules, backup_vaults, backups
from identity.context import Context


def of_volume(ctx: Context, volume: Any) -> dict[str, Any]:
    return _card(
        ctx,
        key=f"volume:{volume.id}",
        rows=backups.list(ctx, volume_id=volume.id, sort="-taken"),
        coming=backup_schedules.coming(ctx, volume=volume),
        why=backups.why_not_of_volume(volume),
    )


def of_instance(ctx: Context, instance: Any, *, boots_from_volume: bool) -> dict[str, Any]:
    """One backup of it has a row for each of its disks: the root disk's is counted, unless it has none of its own."""
    rows = backups.list(ctx, instance_id=instance.id, sort="-taken")
    return _card(
        ctx,
        key=f"instance:{instance.id}",
        rows=rows if boots_from_volume else rows.filter(disk="root"),
        coming=backup_schedules.coming(ctx, instance=instance),
        why=backups.why_not_of_instance(instance),
    )


def _card(ctx: Context, *, key: str, rows: Any, coming: Any, why: str) -> dict[str, Any]:
    vaults = [*backup_vaults.list(ctx)]
    ready = rows.filter(status="ready")
    last = ready.first()
    why = ctx.why_not("backups.manage") or why or ("" if vaults else "There is no vault to put a backup into.")
    return {
        "key": key,
        "last": last,
        "making": rows.filter(status="creating").first(),
        "verified": ready.filter(trial="passed").order_by("-tried_at").first(),
        "count": ready.count(),
        "coming": coming,
        "vaults": vaults,
        # Where the last one lies, the next finds most of its chunks.
        "vault_id": last.vault_id if last else None,
        "why": why,
    }
