"""`manage.py box_certificates`: the object store's certificate, made or looked at; a step of `up`."""

from __future__ import annotations

import os
import pwd
from typing import Any, ClassVar

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from cloudbox.box.paths import USER
from cloudbox.common.errors import Invalid
from storage import certificates


class Command(BaseCommand):
    # The checks import every page of the portal; what runs here needs none of them.
    requires_system_checks: ClassVar[list[str]] = []
    help = "Make the box's own authority and the object store's certificate where they are missing, or see whether a given one serves."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            made = certificates.renew(settings.HOME, settings.BOX)
            self._readable(certificates.pair(settings.HOME, settings.BOX))
        except Invalid as error:
            raise CommandError(error.message) from error
        self.stdout.write("made" if made else "kept")

    def _readable(self, pair: certificates.Pair) -> None:
        """As the account that serves: root, who asks here, reads everything. Done last, since there is no way back."""
        record = pwd.getpwnam(USER)
        os.setgroups([])
        os.setgid(record.pw_gid)
        os.setuid(record.pw_uid)
        for path in (pair.certificate, pair.key):
            if not os.access(path, os.R_OK):
                raise CommandError(
                    f"{path} cannot be read by the account {USER}, which serves. "
                    f"Put a copy where it can: install -m 640 -g {USER} {path} …, and have whoever renews it do the same."
                )
