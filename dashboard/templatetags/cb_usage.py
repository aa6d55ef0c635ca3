"""Charts of what was held over time, as SVG without a script."""

from __future__ import annotations

from collections.abc import Sequence

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from dashboard.templatetags.cb import size
from storage.usage import Held

register = template.Library()
HIGH, WIDE = 60, 10


@register.simple_tag
def bars(series: Sequence[Held]) -> SafeString:
    """A bar for each day, as high as what was held on average; the table beside it says the same in figures."""
    most = max((one.bytes for one in series), default=0) or 1
    drawn = format_html_join(
        "",
        '<rect x="{}" y="{}" width="{}" height="{}"><title>{}: {}</title></rect>',
        (
            (n * WIDE + 1, HIGH - high, WIDE - 2, high, one.at.strftime("%d %B"), size(one.bytes))
            for n, one in enumerate(series)
            for high in [max(1, round(HIGH * one.bytes / most)) if one.bytes else 0]
        ),
    )
    last = size(series[-1].bytes) if series else "nothing"
    said = f"Held on average each day: {size(most) if most > 1 else 'nothing'} at the most, {last} today"
    return format_html(
        '<svg class="bu-bars" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>',
        WIDE * len(series), HIGH, said, drawn,
    )  # fmt: skip
