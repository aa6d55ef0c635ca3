"""Pieces of the admin console: buttons that say why they are off, meters, quota lines."""

from __future__ import annotations

import uuid
from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from dashboard.templatetags.cb import icon as cb_icon
from identity.quotas import QuotaLine

register = template.Library()


@register.simple_tag
def act(
    label: str, *, why: str = "", opens: str = "", css: str = "", icon: str = "", name: str = "", value: str = "", about: str = ""
) -> SafeString:
    """A button: submits its form, or opens the dialog `opens`; with `why` it does nothing and says so. `about` completes what is spoken."""
    inner = format_html("{}{}", cb_icon(icon) if icon else "", label)
    if about:
        inner = format_html('{}<span class="visually-hidden"> {}</span>', inner, about)
    if why:
        key = f"why-{uuid.uuid4().hex[:8]}"
        return format_html(
            '<button type="button" class="btn {}" aria-disabled="true" title="{}" aria-describedby="{}">{}</button>'
            '<span hidden id="{}">{}</span>',
            css, why, key, inner, key, why,
        )  # fmt: skip
    if opens:
        return format_html('<button type="button" class="btn {}" data-open="{}" aria-haspopup="dialog">{}</button>', css, opens, inner)
    named = format_html(' name="{}" value="{}"', name, value) if name else ""
    return format_html('<button type="submit" class="btn {}"{}>{}</button>', css, named, inner)


@register.simple_tag
def meter(percent: float, label: str, *, warn_from: int = 85) -> SafeString:
    """Grey used, amber from 85 percent; its words are for those who cannot see it."""
    css = "is-warn" if percent >= warn_from else ""
    width = f"{max(0.0, min(100.0, float(percent))):.0f}"
    return format_html(
        '<svg class="cb-meter" role="img" aria-label="{}"><rect class="{}" width="{}%" height="6"/></svg>', label, css, width
    )


@register.filter
def values(mapping: dict[str, QuotaLine] | None, keys: str) -> list[QuotaLine | None]:
    """The values of several keys, in that order."""
    return [(mapping or {}).get(key) for key in keys.split()]


@register.filter
def titled(line: QuotaLine) -> str:
    """A field's label: the resource, and its unit if it has one."""
    return f"{line.label}, {line.unit}" if line.unit else line.label


@register.filter
def uses(line: QuotaLine) -> str:
    """A field's hint: what is used now."""
    return f"{line.used:,} in use now."


@register.filter
def why_not_delete(image: Any, why: str) -> str:
    """Why the image cannot be deleted: the role's reason first, then the instances that stand on it."""
    if why or not image.in_use:
        return why
    many = image.in_use > 1
    return f"{image.in_use} instance{'s' if many else ''} stand{'' if many else 's'} on {image.name}. Deactivate it instead."
