"""What runs inside an instance, by its agent: what it tells, and passwords."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from uuid import UUID

from django.db import transaction

from cloudbox.common import clock, jobs
from cloudbox.common.errors import Conflict, Invalid
from compute import actions, instances, sealing
from compute.models import GuestReport, Instance
from identity.context import Context

PASSWORD_LENGTH = (8, 72)
GENERATED_BYTES = 15
_USER = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.-]{0,31}")


def report(ctx: Context, id: UUID) -> GuestReport | None:
    """What the agent told last, at most a minute old while it answers; None if none ever did."""
    instance = instances.get(ctx, id)
    return GuestReport.objects.filter(instance=instance).first()


def why_no_generated(instance: Instance) -> str:
    """Why no password can be made up for it: nobody could read it."""
    if not instance.public_key:
        return f"{instance.name} has no key to encrypt a password for. Choose one yourself."
    if sealing.rsa_key(instance.public_key) is None:
        return f"The key of {instance.name} is no RSA key, so nothing can be encrypted for it. Choose a password yourself."
    return ""


def set_first_password(ctx: Context, ids: Iterable[UUID], password: str) -> None:
    """Have the next first boot of these set it for root: the metadata service tells it for an hour, to cloud-init as vendor data and to
    others as `admin_pass`. It needs an image that asks; where an agent runs, `set_password` works at any time."""
    ctx.require("instances.launch")
    if not password.isprintable():
        raise Invalid("A password is one line that can be printed.", field="adminPass")
    rows = Instance.objects.filter(id__in=[*ids], project=ctx.project)
    rows.update(first_password=sealing.seal(password), first_password_at=clock.now())


def set_password(ctx: Context, id: UUID, *, user: str = "root", password: str | None = None) -> Instance:
    """Have the agent set it. None: a new one is made up, and kept only as encrypted for the instance's key."""
    ctx.require(actions.ACTIONS["password"].policy)
    if not _USER.fullmatch(user):
        raise Invalid("An account's name has letters, digits, dots and dashes.", field="user")
    if password is not None:
        least, most = PASSWORD_LENGTH
        if not least <= len(password) <= most or not password.isprintable() or not password.isascii():
            raise Invalid(f"A password has {least} to {most} characters of the keyboard.", field="password")
    with transaction.atomic():
        instances.get(ctx, id)
        instance = Instance.objects.select_for_update(of=("self",)).get(id=id)
        actions.check(instance, "password")
        if password is None and (reason := why_no_generated(instance)):
            raise Conflict(reason, field="password")
        arguments = {"user": user, "sealed": sealing.seal(password or secrets.token_urlsafe(GENERATED_BYTES)), "keep": password is None}
        jobs.enqueue("set-password-instance", id, actor=ctx.actor, project_id=instance.project_id, arguments=arguments)
    return instances.get(ctx, id)
