"""`manage.py seed_box`: what a new box begins with. Reads JSON on stdin, prints JSON; a second run changes nothing."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, ClassVar

from django.core.management.base import BaseCommand

from compute import flavors, images, keypairs, networks, volume_types
from compute.models import Flavor, Network, VolumeType
from identity import projects, users
from identity.context import SYSTEM, Context
from identity.models import Membership, Project, Role, User

DEMO_SLUG = "demo"
# name, vCPUs, MiB, GiB. The smallest is for the demo image, which needs 96 MiB.
SIZES = (
    ("m1.nano", 1, 128, 1),
    ("m1.micro", 1, 512, 5),
    ("m1.small", 1, 2048, 20),
    ("m1.medium", 2, 4096, 40),
    ("m1.large", 4, 8192, 80),
)


# name, what it is for, operations and MiB a second at most.
VOLUME_TYPES: tuple[tuple[str, str, int | None, int | None], ...] = (
    ("standard", "As fast as this box's disks", None, None),
    ("economy", "For archives and backups: 300 operations and 60 MiB a second", 300, 60),
)


class Command(BaseCommand):
    # The checks import every page of the portal; what runs here needs none of them.
    requires_system_checks: ClassVar[list[str]] = []
    help = 'Create the administrator, the demo project, sizes and the demo image. Reads {"admin_email", "admin_password", "demo_image"}.'

    def handle(self, *args: Any, **options: Any) -> None:
        ask = json.load(sys.stdin)
        admin, created = self._admin(ask["admin_email"], ask.get("admin_password", ""))
        for sort, (name, vcpus, memory_mib, disk_gib) in enumerate(SIZES, start=1):
            if not Flavor.objects.filter(name=name).exists():
                flavors.create(SYSTEM, name=name, vcpus=vcpus, memory_mib=memory_mib, disk_gib=disk_gib, sort=sort * 10)
        for sort, (name, description, iops, rate) in enumerate(VOLUME_TYPES, start=1):
            if not VolumeType.objects.filter(name=name).exists():
                volume_types.create(SYSTEM, name=name, description=description, iops_max=iops, mib_per_second_max=rate, sort=sort * 10)
        project = self._project(admin)
        image = None
        if ask.get("demo_image"):
            image = images.register(
                SYSTEM,
                name="Tiny Linux",
                source=Path(ask["demo_image"]),
                os="tiny",
                description="The demo: boots in seconds, signs you in on its console",
                min_memory_mib=96,
            )
        self.stdout.write(
            json.dumps(
                {"admin_created": created, "admin_email": admin.email, "project": project.slug, "image": str(image.id) if image else None}
            )
        )

    def _admin(self, email: str, password: str) -> tuple[User, bool]:
        there = User.objects.filter(email__iexact=email).first()
        if there is not None:
            return there, False
        return users.create(SYSTEM, email=email, name="Administrator", password=password, box_role="admin")[0], True

    def _project(self, admin: User) -> Project:
        project = Project.objects.filter(slug=DEMO_SLUG).first() or projects.create(
            SYSTEM, name="Demo", slug=DEMO_SLUG, owner_email=admin.email, description="To try things out"
        )
        ctx = Context(user=admin, project=project, role=Role.ADMIN, box_role=admin.box_role, api="cli")
        Membership.objects.get_or_create(user=admin, project=project, defaults={"role": Role.ADMIN})
        if not Network.objects.filter(project=project).exists():
            networks.create(ctx, name="private", cidr="10.20.0.0/24")
        if not keypairs.list(ctx).exists():
            self._keypair(ctx)
        return project

    def _keypair(self, ctx: Context) -> None:
        """The demo's private key lies beside the box's other secrets, for `bin/cloudbox credentials`."""
        from django.conf import settings

        keypair, private = keypairs.create(ctx, name="demo")
        path = Path(settings.HOME) / "secrets" / "demo_key"
        path.touch(mode=0o600)
        path.write_text(private)
        (path.parent / "demo_key.pub").write_text(keypair.public_key + "\n")
