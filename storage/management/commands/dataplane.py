"""`manage.py dataplane`: the object store's processes."""

from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from cloudbox.common.errors import Conflict
from storage import dataplane


class Command(BaseCommand):
    # The checks import every page of the portal; what runs here needs none of them.
    requires_system_checks: ClassVar[list[str]] = []
    help = "Run the object store: its workers, and the parent that keeps them."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--nursery", action="store_true", help="Be what the workers are forked from; the parent starts it so.")

    def handle(self, *args: Any, nursery: bool = False, **options: Any) -> None:
        config = dataplane.config_of(settings.HOME, settings.BOX)
        if nursery:
            dataplane.run_nursery(config)
            return
        try:
            dataplane.run_parent(config)
        except Conflict as error:
            raise CommandError(error.message) from error
