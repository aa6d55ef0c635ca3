"""`manage.py box_credentials`: a new API token (and, for aws, an access key) of the demo project, ready to paste."""

from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from cloudbox.common import clock
from cloudbox.common.errors import CloudError
from identity import credentials
from identity.authn.session import context_of
from identity.models import User

NOT_YET = "The {} API is not served yet, so there is nothing for this file to reach. Use --format env for the REST API."


class Command(BaseCommand):
    # The checks import every page of the portal; what runs here needs none of them.
    requires_system_checks: ClassVar[list[str]] = []
    help = "Print credentials in the form that clients read."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--format", default="env", choices=["env", "openrc", "clouds.yaml", "aws"])
        parser.add_argument("--email", required=True)
        parser.add_argument("--project", default="demo")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["format"] != "env":
            raise CommandError(NOT_YET.format("AWS" if options["format"] == "aws" else "OpenStack"))
        user = User.objects.filter(email__iexact=options["email"]).first()
        if user is None:
            raise CommandError(f"Nobody here has the e-mail {options['email']}.")
        try:
            ctx = context_of(user, options["project"], api="cli")
            name = f"command line {clock.now():%Y-%m-%d %H:%M:%S}"
            _, text = credentials.create_token(ctx, name=name, role="admin", days=90)
        except CloudError as error:
            raise CommandError(error.message) from error
        url = f"{settings.PUBLIC_URL}/api/v1"
        self.stdout.write(f"export CLOUDBOX_URL={url}\nexport CLOUDBOX_PROJECT={options['project']}\nexport CLOUDBOX_TOKEN={text}")
        self.stdout.write(f'# curl -H "Authorization: Bearer $CLOUDBOX_TOKEN" {url}/projects/{options["project"]}/instances')
