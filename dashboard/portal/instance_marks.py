"""What the charts of an instance mark: the moments at which its power changed, each with a word and its sentence."""

from __future__ import annotations

from uuid import UUID

from cloudbox.common import clock
from cloudbox.common.models import Event
from compute import metrics
from identity import activity
from identity.context import Context

MARKS_MAX = 40
# What people ask for; of what follows by itself only failures and what nobody asked for are marked, or every start would be there twice.
_ASKED = {
    "launch": "launch", "start": "start", "stop": "stop", "force-stop": "off", "reboot": "reboot", "reset": "reset", "pause": "pause",
    "resume": "resume", "suspend": "suspend", "resize": "resize",
}  # fmt: skip
_BY_ITSELF = {"running": "start", "stopped": "off", "paused": "pause"}


def word(event: Event) -> str:
    """The word at the mark; empty for what leaves none."""
    if event.noun != "instance" or event.outcome != Event.Outcome.OK:
        return ""
    if event.verb == "error":
        return "error"
    if event.verb == "stopped" and not event.detail:  # an asked-for stop has come true
        return ""
    return _ASKED.get(event.verb, "") or (_BY_ITSELF.get(event.verb, "") if event.api == "system" else "")


def of(ctx: Context, instance_id: UUID, range: str) -> list[Event]:
    """The events that the charts of that range mark, newest first, at most forty."""
    back, _ = metrics.RANGES[range]
    verbs = {*_ASKED, *_BY_ITSELF, "error"}
    rows = activity.list(ctx, subject_id=instance_id).filter(at__gte=clock.now() - back, verb__in=verbs, outcome=Event.Outcome.OK)
    return [event for event in rows[: 3 * MARKS_MAX] if word(event)][:MARKS_MAX]
