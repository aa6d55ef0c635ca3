"""`manage.py box_project create`: projects from the command line, for `bin/cloudbox project`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from django.core.management.base import BaseCommand, CommandError, CommandParser

from cloudbox.common.errors import CloudError
from compute import networks
from identity import projects
from identity.context import SYSTEM


class Command(BaseCommand):
    # The checks import every page of the portal; what runs here needs none of them.
    requires_system_checks: ClassVar[list[str]] = []
    help = "Create a project with a network of its own."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("verb", choices=["create"])
        parser.add_argument("name")
        parser.add_argument("--slug", default="")
        parser.add_argument("--owner", default="", help="e-mail of its admin")

    def handle(self, *args: Any, **options: Any) -> None:
        ctx = replace(SYSTEM, api="cli")
        try:
            project = projects.create(ctx, name=options["name"], slug=options["slug"], owner_email=options["owner"])
            networks.create(replace(ctx, project=project), name="private")
        except CloudError as error:
            raise CommandError(error.message) from error
        self.stdout.write(project.slug)
