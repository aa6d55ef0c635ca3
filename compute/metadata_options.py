"""How the metadata service answers an instance: with or without tokens, and how far these travel."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction

from cloudbox.common import events
from cloudbox.common.errors import Invalid
from compute import actions, instances
from compute.models import Instance
from identity.context import Context

HOPS_MAX = 64


def set(ctx: Context, id: UUID, *, tokens_required: bool, token_hops: int = 1) -> Instance:
    """`tokens_required`: nothing is told without a token of IMDSv2, so that a program inside which can be made to fetch an address tells
    nobody. `token_hops`: how many hops an answer with a token travels; 2 for containers inside. Taken up with the next request."""
    ctx.require("instances.update")
    if not 1 <= token_hops <= HOPS_MAX:
        raise Invalid(f"A token travels 1 to {HOPS_MAX} hops.", field="token_hops")
    with transaction.atomic():
        instances.get(ctx, id)
        instance = Instance.objects.select_for_update(of=("self",)).get(id=id)
        actions.check(instance, "rename")
        if (instance.tokens_required, instance.token_hops) != (tokens_required, token_hops):
            instance.tokens_required, instance.token_hops = tokens_required, token_hops
            instance.save(update_fields=["tokens_required", "token_hops", "changed_at"])
            detail = f"required, {token_hops} hops" if tokens_required else "not required"
            events.publish(ctx.actor, "metadata-tokens", "instance", instance, detail=detail)
    return instances.get(ctx, id)
