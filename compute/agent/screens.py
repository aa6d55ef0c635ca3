"""The last picture of each running machine, kept as a file that web processes may read."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path

from django.conf import settings
from django.db import transaction

from cloudbox.common import clock, events
from cloudbox.common.errors import CloudError
from compute import host
from compute.models import Instance

AGE_MAX = dt.timedelta(seconds=60)
PER_ROUND_MAX = 20


def folder() -> Path:
    path = Path(settings.HOME) / "screens"
    path.mkdir(mode=0o755, exist_ok=True)
    return path


def refresh() -> int:
    """Take the pictures that are over a minute old, the oldest first, a bounded number; drop those of the departed."""
    old = clock.now() - AGE_MAX
    running = Instance.objects.filter(status=Instance.Status.RUNNING)
    due = [*running.filter(screen_at=None)[:PER_ROUND_MAX]] or [*running.filter(screen_at__lt=old).order_by("screen_at")[:PER_ROUND_MAX]]
    for instance in due:
        try:
            _write(folder() / f"{instance.id}.png", host.hypervisor().screenshot(instance.id))
        except CloudError:
            pass  # it stopped meanwhile, or is too busy: the old picture stays, and its turn comes again
        with transaction.atomic():
            Instance.objects.filter(id=instance.id).update(screen_at=clock.now())
            events.touch("instance", instance.id, instance.project_id)
    _drop_departed()
    return len(due)


def _drop_departed() -> None:
    files = {path.stem: path for path in folder().glob("*.png")}
    kept = {str(id) for id in Instance.objects.filter(status=Instance.Status.RUNNING).values_list("id", flat=True)}
    for stem, path in files.items():
        if stem not in kept:
            path.unlink(missing_ok=True)


def _write(path: Path, png: bytes) -> None:
    """Whole or not at all: a reader never sees half a picture."""
    temporary = path.with_suffix(".new")
    temporary.write_bytes(png)
    temporary.chmod(0o644)
    os.replace(temporary, path)
