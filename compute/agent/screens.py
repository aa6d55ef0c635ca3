"""The last picture of each running machine, kept as a file that web processes may read."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path

from django.conf import settings
from django.core.cache import cache
from django.db import transaction
from django.db.models import Q

from cloudbox.common import clock, events
from cloudbox.common.errors import CloudError
from compute import consoles, host
from compute.models import Instance

AGE_MAX = dt.timedelta(seconds=60)
WATCHED_AGE_MAX = dt.timedelta(seconds=4)
PER_ROUND_MAX = 20


def folder() -> Path:
    path = Path(settings.HOME) / "screens"
    path.mkdir(mode=0o755, exist_ok=True)
    return path


def refresh() -> int:
    """Take the pictures that are over a minute old, or watched and over some seconds; the oldest first, a bounded number.

    Drops those of the departed.
    """
    due = _due()
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


def _due() -> list[Instance]:
    running = Instance.objects.filter(status=Instance.Status.RUNNING)
    if new := [*running.filter(screen_at=None)[:PER_ROUND_MAX]]:
        return new
    moment = clock.now()
    shown = {consoles.screen_key(id): id for id in running.values_list("id", flat=True)}
    watched = [shown[key] for key in cache.get_many(shown)]
    due = Q(screen_at__lt=moment - AGE_MAX) | Q(screen_at__lt=moment - WATCHED_AGE_MAX, id__in=watched)
    return [*running.filter(due).order_by("screen_at")[:PER_ROUND_MAX]]


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
