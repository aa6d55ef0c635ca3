"""What the command palette answers: what may be done here, things by name, id or address, pages, create, projects, the rest.

It runs while one types, so every search is one small query, and nothing is searched before two letters are there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote
from uuid import UUID

from django.db.models import Q
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe

from cloudbox.common.errors import CloudError
from compute import backups, floating_ips, images, instances, keypairs, networks, routers, security_groups, snapshots, snippets, volumes
from dashboard.context import ADMIN, PORTAL
from dashboard.portal import instance_rows
from dashboard.shell import LAST_PROJECT, account_page
from identity import projects, users
from identity.authn.session import context_for
from identity.context import Context
from storage import buckets

QUERY_MAX = 200
EACH = 5
PROJECTS = 8
_NOUNS = {entry.path for section in PORTAL for entry in section.entries}
_PROJECT = re.compile(r"/p/([a-z0-9-]+)(?:/|$)")
_INSTANCE = re.compile(r"/p/[a-z0-9-]+/instances/([0-9a-f-]{36})(?:/|$)")
_REQUEST = re.compile(r"req-[0-9a-f-]{36}")

Item = dict[str, Any]

# title, path below the project, icon, the action whose right it needs
CREATE = (
    ("Launch an instance", "instances/new", "server", "instances.launch"),
    ("Create a bucket", "buckets/new", "bucket", "buckets.manage"),
    ("Create a network", "networks/new", "net", "networks.manage"),
    ("Create a router", "routers/new", "updown", "networks.manage"),
    ("Take a floating IP", "floating-ips/new", "globe", "networks.manage"),
    ("Create a security group", "security-groups/new", "shield", "security_groups.manage"),
    ("Give VPN access", "vpn", "lock", "vpn.manage"),
    ("Create a volume", "volumes/new", "disk", "volumes.manage"),
    ("Make a backup", "backups/new", "shield", "backups.manage"),
    ("Create a key pair", "keypairs/new", "key", "keypairs.manage"),
    ("Write a snippet", "snippets/new", "code", "snippets.manage"),
    ("Create an API token", "credentials/tokens/new", "code", "credentials.create"),
    ("Create an access key", "credentials/keys/new", "lock", "credentials.create"),
    ("Add a member", "members/add", "users", "members.manage"),
)
ACCOUNT = (
    ("Profile", "/account/profile", "user"),
    ("Security", "/account/security", "lock"),
    ("Sessions", "/account/sessions", "clock"),
    ("Appearance", "/account/appearance", "moon"),
)


@require_safe
@account_page
def palette(request: HttpRequest, ctx: Context) -> HttpResponse:
    q = request.GET.get("q", "").strip()[:QUERY_MAX]
    here = request.GET.get("at", "")[:QUERY_MAX]
    ctx = _in_project(request, here) or ctx
    if request.GET.get("mode") == "project":
        groups = [_projects(ctx, q, here)]
    else:
        admin = here.startswith("/admin")
        groups = [_on_this(ctx, here, q), _things(ctx, q), *(_of_admin(ctx, q) if admin else ())]
        groups += [_pages(ctx, q, admin=admin), _create(ctx, q), _projects(ctx, q, here), _rest(ctx, q)]
    response = JsonResponse({"groups": [group for group in groups if group["items"]]})
    response["Cache-Control"] = "no-store"
    return response


def _in_project(request: HttpRequest, here: str) -> Context | None:
    """The project that the page belongs to, or the one last looked at."""
    found = _PROJECT.match(here)
    slug = found[1] if found else request.session.get(LAST_PROJECT)
    try:
        return context_for(request, slug) if slug else None
    except CloudError:
        return None


def _fits(q: str, *texts: str) -> bool:
    """Every word of the query is somewhere in the texts."""
    whole = " ".join(texts).casefold()
    return all(word in whole for word in q.casefold().split())


def _group(title: str, items: list[Item]) -> dict[str, Any]:
    return {"title": title, "items": items}


def _on_this(ctx: Context, here: str, q: str) -> dict[str, Any]:
    """The actions on the instance whose page this is, with the reasons of those that are not possible."""
    found = _INSTANCE.match(here)
    if found is None or ctx.project is None:
        return _group("", [])
    try:
        instance = instances.get(ctx, UUID(found[1]))
    except (CloudError, ValueError):
        return _group("", [])
    base = f"/p/{ctx.project.slug}/instances/{instance.id}"
    items: list[Item] = []
    buttons = [*instance_rows.suggested(ctx, instance), *instance_rows.menu(ctx, instance), instance_rows.button(ctx, instance, "delete")]
    for button in buttons:
        title = f"{button.label} {instance.name}"
        if not _fits(q, title):
            continue
        item: Item = {"title": title, "icon": button.icon, "why": button.reason}
        if button.key == "console":
            item["url"] = f"{base}/console"
        elif button.key == "delete":
            item["url"] = f"{base}/settings#delete"
        elif button.ask:
            item["open"] = f"ask-{button.key}"  # the question on the page itself
        else:
            item |= {"post": f"{base}/do/{button.key}", "fields": {"back": here}}
        items.append(item)
    items.sort(key=lambda item: bool(item["why"]))  # what is possible first
    return _group(f"On {instance.name}", items[: EACH + 2])


def _things(ctx: Context, q: str) -> dict[str, Any]:
    """By name, address or the beginning of an id. The right to look is checked by the verbs."""
    if len(q) < 2 or ctx.project is None:
        return _group("Things", [])
    return _group("Things", [item for search in _SEARCHES for item in search(ctx, q)])


def _by_name(q: str) -> Q:
    """By name, or by id when the text can only be one."""
    by_id = Q()
    if re.fullmatch(r"[0-9a-fA-F-]{8,36}", q):
        try:
            by_id = Q(id=UUID(q))
        except ValueError:
            digits = q.replace("-", "")
            by_id = Q(id__gte=UUID(digits.ljust(32, "0")), id__lte=UUID(digits.ljust(32, "f")))
    return Q(name__icontains=q) | by_id if by_id else Q(name__icontains=q)


def _instances(ctx: Context, q: str) -> Iterator[Item]:
    for row in instances.list(ctx, q=q)[:EACH]:
        addresses = ", ".join(port.ip for port in row.ports.all())
        note = f"{row.get_status_display()}{', ' + addresses if addresses else ''}"
        yield {"title": row.name, "note": note, "icon": "server", "url": f"{_base(ctx)}/instances/{row.id}"}


def _named(icon: str, folder: str, rows: Callable[[Context], Any], note: Callable[[Any], str]) -> Callable[[Context, str], Iterator[Item]]:
    def search(ctx: Context, q: str) -> Iterator[Item]:
        for row in rows(ctx).filter(_by_name(q))[:EACH]:
            yield {"title": row.name, "note": note(row), "icon": icon, "url": f"{_base(ctx)}/{folder}/{row.id}"}

    return search


def _buckets(ctx: Context, q: str) -> Iterator[Item]:
    for row in buckets.list_buckets(ctx).filter(_by_name(q))[:EACH]:
        yield {"title": row.name, "note": "Bucket", "icon": "bucket", "url": f"{_base(ctx)}/buckets/{quote(row.name, safe='')}/overview"}


def _snapshots(ctx: Context, q: str) -> Iterator[Item]:
    for row in snapshots.list(ctx).filter(_by_name(q))[:EACH]:
        yield {"title": row.name, "note": f"Snapshot of {row.volume.name}", "icon": "snap", "url": f"{_base(ctx)}/volumes/{row.volume_id}"}


def _floating_ips(ctx: Context, q: str) -> Iterator[Item]:
    for row in floating_ips.list(ctx).filter(address__startswith=q)[:EACH]:
        yield {"title": row.address, "note": "Floating IP", "icon": "globe", "url": f"{_base(ctx)}/floating-ips/{row.id}"}


_SEARCHES: tuple[Callable[[Context, str], Iterator[Item]], ...] = (
    _instances,
    _buckets,
    _named("image", "images", images.list, lambda row: "Image"),
    _named("disk", "volumes", volumes.list, lambda row: f"Volume of {row.size_gib} GiB"),
    _snapshots,
    _named("shield", "backups", backups.list, lambda row: f"Backup of {row.source_name}"),
    _named("net", "networks", networks.list, lambda row: f"Network {row.cidr}"),
    _named("updown", "routers", routers.list, lambda row: "Router"),
    _floating_ips,
    _named("shield", "security-groups", security_groups.list, lambda row: "Security group"),
    _named("key", "keypairs", keypairs.list, lambda row: "Key pair"),
    _named("code", "snippets", snippets.list, lambda row: "Snippet"),
)


def _base(ctx: Context) -> str:
    return f"/p/{ctx.needed_project.slug}"


def _of_admin(ctx: Context, q: str) -> list[dict[str, Any]]:
    """For those who keep the box: any project, any person, and what belongs to a request id."""
    if not ctx.may("box.look") or len(q) < 2:
        return []
    found = [
        {"title": row.name, "note": "Project", "icon": "folder", "url": f"/admin/projects/{row.slug}"} for row in _all_projects(ctx, q)
    ]
    people = users.list(ctx, q=q)[:EACH]
    found += [{"title": row.email, "note": "User", "icon": "user", "url": f"/admin/users/{row.id}"} for row in people]
    if _REQUEST.fullmatch(q):
        found.append({"title": f"What {q[:12]}… did", "note": "Audit log", "icon": "log", "url": f"/admin/audit?q={q}"})
    return [_group("On the box", found)]


def _all_projects(ctx: Context, q: str) -> Any:
    return projects.list(ctx, all=True, q=q)[:EACH]


def _pages(ctx: Context, q: str, *, admin: bool) -> dict[str, Any]:
    items: list[Item] = []
    places: list[tuple[str, Any, str]] = [("/admin", ADMIN, "Admin")] if ctx.box_role else []
    if ctx.project is not None:
        places.insert(0, (_base(ctx), PORTAL, ""))
    if admin:
        places.reverse()
    for base, sections, note in places:
        for entry in (entry for section in sections for entry in section.entries):
            if _fits(q, entry.title, note):
                items.append({"title": entry.title, "note": note, "icon": entry.icon, "url": f"{base}/{entry.path}".rstrip("/")})
    items += [
        {"title": title, "note": "Account", "icon": icon, "url": url} for title, url, icon in ACCOUNT if q and _fits(q, title, "account")
    ]
    return _group("Pages", items if q else items[:4])


def _create(ctx: Context, q: str) -> dict[str, Any]:
    if ctx.project is None:
        return _group("Create", [])
    fitting = [one for one in CREATE if _fits(q, one[0], "new")]
    items = [{"title": title, "icon": icon, "url": f"{_base(ctx)}/{path}", "why": ctx.why_not(act)} for title, path, icon, act in fitting]
    return _group("Create", items if q else items[:3])


def _projects(ctx: Context, q: str, here: str) -> dict[str, Any]:
    """The noun of the page is kept: from the networks of one project to those of the other."""
    folder = here.split("/")[3] if here.startswith("/p/") and here.count("/") > 2 else ""
    noun = f"/{folder}" if folder and folder in _NOUNS else ""
    rows = [row for row in projects.list(ctx, q=q)[:PROJECTS] if ctx.project is None or row.id != ctx.project.id]
    items = [{"title": row.name, "note": row.slug, "icon": "folder", "url": f"/p/{row.slug}{noun}"} for row in rows]
    return _group("Switch to project", items)


def _rest(ctx: Context, q: str) -> dict[str, Any]:
    items: list[Item] = [
        {"title": "API reference", "icon": "code", "url": "/api/v1/docs"},
        {"title": "This page as a command", "icon": "term", "open": "commands"},
        {"title": "Keyboard shortcuts", "icon": "help", "open": "keys"},
        {"title": "Theme: light", "icon": "eye", "theme": "light"},
        {"title": "Theme: dark", "icon": "moon", "theme": "dark"},
        {"title": "Theme: as the system", "icon": "gear", "theme": ""},
        {"title": "Sign out", "icon": "power", "post": "/sign-out"},
    ]
    found = [item for item in items if _fits(q, item["title"])]
    return _group("More", found if q else found[:2])
