"""Charts of what was held and sent over time, as SVG without a script."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from dashboard.templatetags.cb import size
from storage.traffic import Moved
from storage.usage import Held

register = template.Library()
HIGH, WIDE = 60, 10


@register.simple_tag
def bars(series: Sequence[Held]) -> SafeString:
    """A bar for each day, as high as what was held on average; the table beside it says the same in figures."""
    return _bars([(one.at, one.bytes) for one in series], "Held on average each day")


@register.simple_tag
def sent_bars(series: Sequence[Moved]) -> SafeString:
    """A bar for each day, as high as what was sent to clients."""
    return _bars([(one.at, one.sent_bytes) for one in series], "Sent each day")


def _bars(days: Sequence[tuple[dt.datetime, int]], about: str) -> SafeString:
    most = max((amount for _, amount in days), default=0) or 1
    drawn = format_html_join(
        "",
        '<rect x="{}" y="{}" width="{}" height="{}"><title>{}: {}</title></rect>',
        (
            (n * WIDE + 1, HIGH - high, WIDE - 2, high, at.strftime("%d %B"), size(amount))
            for n, (at, amount) in enumerate(days)
            for high in [max(1, round(HIGH * amount / most)) if amount else 0]
        ),
    )
    last = size(days[-1][1]) if days else "nothing"
    said = f"{about}: {size(most) if most > 1 else 'nothing'} at the most, {last} today"
    return format_html(
        '<svg class="bu-bars" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>',
        WIDE * len(days), HIGH, said, drawn,
    )  # fmt: skip
