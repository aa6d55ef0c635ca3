"""Small pieces of pages: icons, states, numbers and times as people read them."""

from __future__ import annotations

import datetime as dt
import json as jsonlib
from typing import Any

from django import template
from django.template import Context
from django.templatetags.static import static
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from cloudbox.common import clock
from dashboard import commands, words

register = template.Library()


@register.simple_tag
def icon(name: str, label: str = "") -> SafeString:
    """An icon of the sprite; with a label it speaks, without it is decoration."""
    spoken = format_html('role="img" aria-label="{}"', label) if label else mark_safe('aria-hidden="true"')
    return format_html('<svg class="cb-i" {}><use href="{}#{}"/></svg>', spoken, static("img/icons.svg"), name)


@register.simple_tag
def state(status: str, label: str = "", *, pill: bool = False) -> SafeString:
    """Glyph and word of a status; as a pill in page headings."""
    found = words.state(str(status), label)
    css = f"cb-st is-{found.css}" + (" cb-pill" if pill else "")
    glyph = mark_safe(words.GLYPHS[found.kind])
    return format_html('<span class="{}"><svg viewBox="0 0 12 12" aria-hidden="true">{}</svg>{}</span>', css, glyph, found.word)


@register.filter
def gib(mib: float | None) -> str:
    """MiB as people say it: 512 MiB, 2 GiB, 1.5 GiB."""
    if mib is None:
        return "–"
    return f"{mib:g} MiB" if mib < 1024 else f"{mib / 1024:.4g} GiB"


@register.filter
def size(count: float | None) -> str:
    """Bytes in the largest unit that keeps it above one."""
    value = float(count or 0)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


@register.simple_tag
def ago(moment: dt.datetime | None) -> SafeString:
    """Relative under a day, else the date; the exact time in the title."""
    if moment is None:
        return mark_safe("–")
    seconds = (clock.now() - moment).total_seconds()
    return format_html(
        '<time datetime="{}" title="{}">{}</time>', moment.isoformat(), f"{moment:%d %B %Y %H:%M:%S UTC}", _said(seconds, moment)
    )


def _said(seconds: float, moment: dt.datetime) -> str:
    if seconds < 45:
        return "just now"
    if seconds < 3600:
        minutes = max(1, round(seconds / 60))
        return f"{minutes} min ago"
    if seconds < 86400:
        return f"{round(seconds / 3600)} h ago"
    return f"{moment.day} {moment:%B}" if moment.year == clock.now().year else f"{moment.day} {moment:%B %Y}"


@register.simple_tag
def left(moment: dt.datetime) -> SafeString:
    """How long it is until then: 23 h 40 min."""
    minutes = max(0, round((moment - clock.now()).total_seconds() / 60))
    said = f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
    return format_html('<time datetime="{}" title="{}">{}</time>', moment.isoformat(), f"{moment:%d %B %Y %H:%M:%S UTC}", said)


@register.simple_tag
def spark(values: list[float] | None) -> SafeString:
    """A line of CPU percentages, 64 × 20."""
    if not values or len(values) < 2:
        return mark_safe('<span class="cb-dim" aria-label="no data">–</span>')
    step = 64 / (len(values) - 1)
    points = " ".join(f"{'M' if n == 0 else 'L'}{n * step:.1f} {19 - min(100.0, v) * 0.18:.1f}" for n, v in enumerate(values))
    return format_html(
        '<svg class="cb-spark" viewBox="0 0 64 20" role="img" aria-label="CPU now {} percent">'
        '<path class="a" d="{} V20 H0 z"/><path d="{}"/></svg>',
        round(values[-1]),
        points,
        points,
    )


@register.filter
def json(value: Any) -> SafeString:
    """For data attributes; the template escapes it."""
    return jsonlib.dumps(value, default=str)  # type: ignore[return-value]


@register.filter
def get(mapping: dict[Any, Any], key: Any) -> Any:
    """A value by a key that is a variable."""
    return mapping.get(key) if mapping else None


@register.inclusion_tag("dashboard/parts/as_command.html", takes_context=True)
def as_command(context: Context, key: str, *, bare: bool = False, **values: object) -> dict[str, Any]:
    """A button, and behind it what the page does as commands, with the page's values; `bare` when the button stands elsewhere."""
    request, ctx = context["request"], context["ctx"]
    tokens = f"/p/{ctx.project.slug}/credentials" if ctx.project else ""
    return {"requests": commands.of_page(request, ctx, key, **values), "tokens": tokens, "bare": bare}


@register.simple_tag(takes_context=True)
def csv_url(context: Context, page: str = "") -> str:
    """Where this list is as a file: beside its page, with the page's filters and without its place in the list."""
    request = context["request"]
    query = request.GET.copy()
    for name in ("after", "view", "cols"):
        query.pop(name, None)
    return f"{page or request.path}.csv" + (f"?{query.urlencode()}" if query else "")
