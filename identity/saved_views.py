"""Saved views: queries of lists under names, each person's own in each project. Nobody else sees them, so no event tells of them."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from cloudbox.common.errors import Invalid, NotFound, QuotaExceeded
from identity.context import Context
from identity.models import SavedView, User
from identity.names import clean_text

VIEWS_MAX = 12
NAME_LENGTH_MAX = 40
QUERY_LENGTH_MAX = 1000


def list(ctx: Context, noun: str) -> QuerySet[SavedView]:
    """This person's views of the list, the unnamed one first if there is one."""
    ctx.require("users.self")
    return SavedView.objects.filter(user=ctx.needed_user, project=ctx.needed_project, noun=noun)


def save(ctx: Context, noun: str, *, name: str, query: str) -> SavedView:
    """Keep the query under the name; a view of that name is replaced. Without a name it is how the list opens by itself."""
    ctx.require("users.self")
    name = clean_text(name, field="name", length_max=NAME_LENGTH_MAX)
    if len(query) > QUERY_LENGTH_MAX or not query.isprintable():
        raise Invalid("This view is too long to be kept. Take a filter away.", field="query")
    with transaction.atomic():
        User.objects.select_for_update().get(id=ctx.needed_user.id)  # one at a time, or two could pass the limit
        rows = list(ctx, noun)
        if not rows.filter(name=name).exists() and rows.count() >= VIEWS_MAX:
            raise QuotaExceeded(f"{VIEWS_MAX} views of a list are the most. Delete one first.", field="name")
        row, _ = SavedView.objects.update_or_create(
            user=ctx.needed_user, project=ctx.needed_project, noun=noun, name=name, defaults={"query": query}
        )
    return row


def delete(ctx: Context, id: UUID) -> SavedView:
    """Forget a view. Those of others are not there."""
    ctx.require("users.self")
    row = SavedView.objects.filter(user=ctx.needed_user, project=ctx.needed_project, id=id).first()
    if row is None:
        raise NotFound("There is no such view.")
    row.delete()
    return row
