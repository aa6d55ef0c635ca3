"""Events in pages."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from cloudbox.common.models import Event
from dashboard import sentences
from dashboard.portal import instance_marks

register = template.Library()

# Where the page of a thing lies, below the project.
_PAGES = {
    "instance": "instances",
    "router": "routers",
    "floating-ip": "floating-ips",
    "network": "networks",
    "load-balancer": "load-balancers",
    "image": "images",
    "keypair": "keypairs",
    "snippet": "snippets",
    "vpn-peer": "vpn",
    "security-group": "security-groups",
}


@register.simple_tag
def told(event: Event, base: str = "", there: Collection[UUID] = (), *, by: bool = True) -> SafeString:
    """The event without its time: who, did, what. The thing is a link while it is `there`; without `by` it leaves out who."""
    name = sentences.subject(event)
    link = base and event.noun in _PAGES and event.subject_id in there
    thing = format_html('<a class="cb-in" href="{}/{}/{}">{}</a>', base, _PAGES[event.noun], event.subject_id, name) if link else name
    if became := sentences.became(event):
        return format_html("{} {}", thing or event.subject, became)
    before, after = sentences.act(event)
    who = format_html('<b class="cb-b">{}</b>', sentences.who(event)) if by else ""
    return format_html_join(" ", "{}", ((part,) for part in (who, before, thing, after) if part))


@register.simple_tag
def chart_mark(event: Event) -> SafeString:
    """Attributes by which the charts of the page find the event; none for what they do not mark."""
    if not (word := instance_marks.word(event)):
        return SafeString("")
    return format_html(' data-mark="{}" data-word="{}" data-told="{}"', int(event.at.timestamp()), word, sentences.text(event))
