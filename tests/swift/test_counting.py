"""Counting what containers hold, while containers come and go."""

from __future__ import annotations

import threading
import time

from django.db import connection, transaction

from cloudbox.common import clock
from storage.models import Bucket, BucketUsage
from tests.swift.conftest import Swift


def waiting() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
        found: tuple[int] = cursor.fetchone()
    return found[0] > 0


def test_a_container_deleted_while_it_is_counted(swift: Swift) -> None:
    """The deletion waits for the count, which is written first, and takes it along."""
    swift.ok("PUT", "c")
    row = Bucket.objects.get(name="c")
    answers: list[int] = []
    deletion = threading.Thread(target=lambda: answers.append(swift.ask("DELETE", "c").status))
    with transaction.atomic():
        Bucket.objects.select_for_update(no_key=True).get(pk=row.pk)
        BucketUsage.objects.filter(bucket=row).delete()
        deletion.start()
        deadline = time.monotonic() + 20
        while not waiting():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        BucketUsage.objects.create(bucket_id=row.pk, counted_at=clock.now())
    deletion.join(30)
    assert answers == [204]
    assert not Bucket.objects.filter(pk=row.pk).exists()
