"""How an instance is told about itself: by the metadata service with or without tokens, and how far these travel; on a disk."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction

from cloudbox.common import events
from cloudbox.common.errors import Invalid
from compute import actions, images, instances
from compute.models import ConfigDrive, Instance
from identity.context import Context

HOPS_MAX = 64


def set(ctx: Context, id: UUID, *, tokens_required: bool, token_hops: int = 1, config_drive: str | None = None) -> Instance:
    """`tokens_required`: nothing is told without a token of IMDSv2, so that a program inside which can be made to fetch an address tells
    nobody. `token_hops`: how many hops an answer with a token travels; 2 for containers inside. Taken up with the next
    request. `config_drive`: the disk that tells the same, from its next start on; empty: none, None: as it is."""
    ctx.require("instances.update")
    if not 1 <= token_hops <= HOPS_MAX:
        raise Invalid(f"A token travels 1 to {HOPS_MAX} hops.", field="token_hops")
    images.check_choice(ConfigDrive, config_drive or None, "config_drive")
    with transaction.atomic():
        instances.get(ctx, id)
        instance = Instance.objects.select_for_update(of=("self",)).get(id=id)
        actions.check(instance, "rename")
        if (instance.tokens_required, instance.token_hops) != (tokens_required, token_hops):
            instance.tokens_required, instance.token_hops = tokens_required, token_hops
            instance.save(update_fields=["tokens_required", "token_hops", "changed_at"])
            detail = f"required, {token_hops} hops" if tokens_required else "not required"
            events.publish(ctx.actor, "metadata-tokens", "instance", instance, detail=detail)
        if config_drive is not None and config_drive != instance.config_drive:
            instance.config_drive = config_drive
            instance.save(update_fields=["config_drive", "changed_at"])
            words = instance.get_config_drive_display() if config_drive else "none"
            events.publish(ctx.actor, "config-drive", "instance", instance, detail=f"{words}, from its next start on")
    return instances.get(ctx, id)
