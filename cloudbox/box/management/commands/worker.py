"""`manage.py worker`: the privileged process of the box."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from django.core.management.base import BaseCommand

from cloudbox.schedule import TABLE
from compute.agent.worker import Worker, ensure_folders, take_the_lock


class Command(BaseCommand):
    # The checks import every page of the portal; what runs here needs none of them.
    requires_system_checks: ClassVar[list[str]] = []
    help = "Run the worker: jobs, machine events, consoles, metadata, metrics and the schedule."

    def handle(self, *args: Any, **options: Any) -> None:
        lock = take_the_lock()
        ensure_folders()
        try:
            asyncio.run(Worker([(row.name, row.every_seconds, row.run) for row in TABLE]).run())
        finally:
            lock.close()
