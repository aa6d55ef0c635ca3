"""A backup of a disk that no machine has: its chunks, table and manifest as the job makes them."""

from __future__ import annotations

import hashlib
from typing import Any
from uuid import uuid4

from cloudbox.common import clock
from compute.backup_store.format import Manifest
from compute.backup_store.repository import Repository
from compute.jobs.backups import Copy
from compute.models import Backup, BackupVault


def backup_of(vault: BackupVault, there: Repository, disk: Any, *, name: str) -> Backup:
    row = Backup.objects.create(
        project=vault.project, vault=vault, disk="volume", disk_id=uuid4(), name=name, source_name="data", size_gib=1,
        status="ready", taken_at=clock.now(), new_bytes=0, stored_bytes=0, read_bytes=0,
    )  # fmt: skip
    table = Copy(row, there, None, None).make(disk)
    there.put_backup(
        Manifest(
            backup_id=row.id, disk_id=row.disk_id, disk="volume", group=None, name=name, source_name="data", description="",
            taken_at=clock.now().isoformat(), size_bytes=table.size_bytes, is_consistent=None, is_full=True, base=None, read_bytes=0,
            new_bytes=0, stored_bytes=0, table_sha256=hashlib.sha256(table.rows).hexdigest(), facts={},
        ),
        table,
    )  # fmt: skip
    return row
