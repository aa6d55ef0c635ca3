"""`manage.py box_credentials`: a new credential of the demo project, in the form that clients read.

`env` and the OpenStack forms carry an API token (to OpenStack an application credential), `aws` an access key for S3.
"""

from __future__ import annotations

import secrets
from typing import Any, ClassVar
from urllib.parse import urlsplit

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from cloudbox.common import clock
from cloudbox.common.errors import CloudError
from identity import credentials
from identity.authn.session import context_of
from identity.context import Context
from identity.models import ApiToken, Role, User
from storage import certificates

DAYS = 90


class Command(BaseCommand):
    # The checks import every page of the portal; what runs here needs none of them.
    requires_system_checks: ClassVar[list[str]] = []
    help = "Print credentials in the form that clients read."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--format", default="env", choices=["env", "openrc", "clouds.yaml", "aws"])
        parser.add_argument("--email", required=True)
        parser.add_argument("--project", default="demo")
        parser.add_argument("--role", default=Role.ADMIN, choices=Role.values, help="what the credential may do at most")

    def handle(self, *args: Any, **options: Any) -> None:
        user = User.objects.filter(email__iexact=options["email"]).first()
        if user is None:
            raise CommandError(f"Nobody here has the e-mail {options['email']}.")
        try:
            ctx = context_of(user, options["project"], api="cli")
            # Names are unique, and two may be asked for in one second.
            name = f"command line {clock.now():%Y-%m-%d %H:%M:%S} {secrets.token_hex(2)}"
            lines = FORMATS[options["format"]](ctx, name, options["role"])
        except CloudError as error:
            raise CommandError(error.message) from error
        self.stdout.write("\n".join(lines))


def _token(ctx: Context, name: str, role: str) -> tuple[ApiToken, str]:
    return credentials.create_token(ctx, name=name, role=role, days=DAYS)


def _env(ctx: Context, name: str, role: str) -> list[str]:
    _, text = _token(ctx, name, role)
    url, slug = f"{settings.PUBLIC_URL}/api/v1", ctx.needed_project.slug
    return [
        f"export CLOUDBOX_URL={url}",
        f"export CLOUDBOX_PROJECT={slug}",
        f"export CLOUDBOX_TOKEN={text}",
        f'# curl -H "Authorization: Bearer $CLOUDBOX_TOKEN" {url}/projects/{slug}/instances',
    ]


def _application_credential(ctx: Context, name: str, role: str) -> dict[str, str]:
    token, text = _token(ctx, name, role)
    return {
        "auth_url": f"{settings.PUBLIC_URL}/identity/v3",
        "application_credential_id": token.id.hex,
        "application_credential_secret": text.removeprefix(f"cbx_{token.id.hex}_"),
    }


def _openrc(ctx: Context, name: str, role: str) -> list[str]:
    auth = _application_credential(ctx, name, role)
    return [
        "# source this, then: openstack token issue",
        "export OS_AUTH_TYPE=v3applicationcredential",
        *(f"export OS_{key.upper()}={value}" for key, value in auth.items()),
        f"export OS_REGION_NAME={settings.REGION}",
        "export OS_IDENTITY_API_VERSION=3",
    ]


def _clouds_yaml(ctx: Context, name: str, role: str) -> list[str]:
    auth = _application_credential(ctx, name, role)
    return [
        "# clouds.yaml; then: openstack --os-cloud cloudbox token issue",
        "clouds:",
        "  cloudbox:",
        "    auth_type: v3applicationcredential",
        "    auth:",
        *(f"      {key}: {value}" for key, value in auth.items()),
        f"    region_name: {settings.REGION}",
        '    identity_api_version: "3"',
    ]


def _aws(ctx: Context, name: str, role: str) -> list[str]:
    if settings.STORE_PORT is None:
        raise CommandError("This box serves no S3 yet, so there is nothing that such a key could open. `--format env` is for its REST API.")
    key, secret = credentials.create_access_key(ctx, name=name)
    parts = urlsplit(settings.PUBLIC_URL)
    endpoint = settings.BOX.get("store_url") or f"{parts.scheme}://{parts.hostname}:{settings.STORE_PORT}"
    lines = [
        f"export AWS_ACCESS_KEY_ID={key.id}",
        f"export AWS_SECRET_ACCESS_KEY={secret}",
        f"export AWS_DEFAULT_REGION={settings.REGION}",
        f"export AWS_ENDPOINT_URL_S3={endpoint}",
        "# aws s3 ls",
    ]
    if tls_port := settings.BOX.get("store_tls_port"):
        lines += ["# By TLS:", f"# export AWS_ENDPOINT_URL_S3=https://{parts.hostname}:{tls_port}"]
        if (authority := certificates.trusted(settings.HOME, settings.BOX)) is not None:
            lines.append(f"# export AWS_CA_BUNDLE={authority}  (a copy of it does; other programs call it --cacert, ca_cert, verify)")
    return lines


FORMATS = {"env": _env, "openrc": _openrc, "clouds.yaml": _clouds_yaml, "aws": _aws}
