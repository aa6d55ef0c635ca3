"""`manage.py box_user create|reset-password`: accounts from the command line, for `bin/cloudbox user`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from django.core.management.base import BaseCommand, CommandError, CommandParser

from cloudbox.common.errors import CloudError
from identity import projects, users
from identity.context import SYSTEM
from identity.models import Role, User


class Command(BaseCommand):
    # The checks import every page of the portal; what runs here needs none of them.
    requires_system_checks: ClassVar[list[str]] = []
    help = "Create an account, or give one a new password."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("verb", choices=["create", "reset-password"])
        parser.add_argument("email")
        parser.add_argument("--name", default="")
        parser.add_argument("--box-role", default="", choices=["", "support", "admin"])
        parser.add_argument("--project", default="", help="short name of a project to join")
        parser.add_argument("--role", default=Role.MEMBER, choices=Role.values)

    def handle(self, *args: Any, **options: Any) -> None:
        ctx = replace(SYSTEM, api="cli")
        try:
            if options["verb"] == "create":
                user, password = users.create(ctx, email=options["email"], name=options["name"], box_role=options["box_role"])
                if options["project"]:
                    project = projects.get(ctx, options["project"])
                    projects.add_member(replace(ctx, project=project), email=user.email, role=options["role"])
            else:
                found = User.objects.filter(email__iexact=options["email"]).first()
                if found is None:
                    raise CommandError(f"Nobody here has the e-mail {options['email']}.")
                user, password = found, users.reset_password(ctx, found)
        except CloudError as error:
            raise CommandError(error.message) from error
        self.stdout.write(f"{user.email}\t{password}")
