"""The tabs of a bucket, for the pages that stand below it."""

from __future__ import annotations

from urllib.parse import quote

from identity.context import Context

# key, title, what follows the bucket's address
TABS: tuple[tuple[str, str, str], ...] = (
    ("overview", "Overview", "/overview"),
    ("objects", "Objects", "/o"),
    ("access", "Access", "/access"),
    ("versioning", "Versions and lock", "/versioning"),
    ("lifecycle", "Lifecycle", "/lifecycle"),
    ("events", "Events", "/events"),
    ("usage", "Usage", "/usage"),
    ("website", "Website and CORS", "/website"),
    ("settings", "Settings", "/settings"),
)


def base(ctx: Context, bucket: str) -> str:
    """Where a bucket's pages begin."""
    return f"/p/{ctx.needed_project.slug}/buckets/{quote(bucket, safe='')}"


def tabs(ctx: Context, bucket: str) -> list[tuple[str, str, str]]:
    """(key, title, address) for buckets/_tabs.html."""
    return [(key, title, base(ctx, bucket) + path) for key, title, path in TABS]
