"""The objects of a bucket: folder by folder, page by page as S3 lists them, with a panel for one object.

The address says all: `prefix` the folder, `q` what names in it begin with, `after` the store's token of the page, `trail` those of the
pages before, `object` and `version` what the panel shows, `deleted=1` that deleted objects are listed, too. Names stand in the query and
not in the path, since browsers resolve dots and servers fold slashes there, and an object may be called `a/../b//c`.
"""

from __future__ import annotations

import dataclasses
import shlex
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path
from django.views.decorators.http import require_POST, require_safe

from cloudbox.common.errors import AlreadyExists, Conflict, Forbidden, Invalid, PreconditionFailed
from cloudbox.common.object_client import Entry, ObjectClient, endpoint
from cloudbox.common.object_signing import Keys
from dashboard.forms.base import Form
from dashboard.object_names import leaf, shown, unwire, why_unreachable, wire
from dashboard.portal import bucket_tabs, object_detail, object_rounds, object_uploads
from dashboard.portal.object_detail import Detail
from dashboard.portal.object_store import Place, allow_store, place, public_url, why_no_uploads
from dashboard.shell import attempt, page, portal_page
from identity import temporary
from identity.context import Context
from storage import bulk, configurations

PAGE = 100
# Of deleted objects: how many versions are looked through at most to fill a page.
LOOKS_MAX, LOOK = 10, 500
TRAIL_LENGTH_MAX = 3000
HOURS = {"1": "1 hour", "24": "24 hours", "72": "3 days", "168": "7 days"}


@dataclass(frozen=True)
class Look:
    """What the address says, as it was said but for names, which are the objects' own."""

    prefix: str = ""
    q: str = ""
    after: str = ""
    trail: str = ""
    object: str = ""
    version: str = ""
    deleted: str = ""

    @classmethod
    def of(cls, query: Any) -> Look:
        said = {name.name: str(query.get(name.name, "")) for name in dataclasses.fields(cls)}
        for name in ("prefix", "q", "object"):
            said[name] = unwire(said[name])
        # A link to a folder whose slash was lost.
        if said["prefix"] and not said["prefix"].endswith("/"):
            said["prefix"] += "/"
        return cls(**{**said, "deleted": "1" if said["deleted"] == "1" else "", "version": said["version"][:64]})

    def url(self, base: str, **changes: str) -> str:
        wanted = dataclasses.asdict(dataclasses.replace(self, **changes))
        kept = {name: wire(value) if name in ("prefix", "q", "object") else value for name, value in wanted.items() if value}
        return f"{base}/o" + (f"?{urlencode(kept)}" if kept else "")


@dataclass(frozen=True)
class Row:
    """A folder or an object in the list."""

    key: str
    name: str
    url: str
    is_folder: bool = False
    entry: Entry | None = None
    is_open: bool = False

    @property
    def wire(self) -> str:
        return wire(self.key)

    @property
    def icon(self) -> str:
        if self.is_folder:
            return "folder"
        kind = object_detail.kind_of(self.key, "")
        return "photo" if kind.startswith("image/") else "file"

    @property
    def why_unreachable(self) -> str:
        return why_unreachable(self.key)


@require_safe
@portal_page
def index(request: HttpRequest, ctx: Context, name: str) -> HttpResponse:
    return _show(request, place(ctx, name), Look.of(request.GET))


def _show(request: HttpRequest, where: Place, look: Look, *, detail: Detail | None = None, status: int = 200, **more: Any) -> HttpResponse:
    """The page, with the panel if an object is looked at; forms of the panel come back through here with their errors."""
    base, url = bucket_tabs.base(where.ctx, where.row.name), public_url(request)
    listing = _listing(where, look, base)
    if look.object and detail is None:
        detail = object_detail.read(where, look.object, look.version, url)
    usage = getattr(where.row, "usage", None)
    context = {
        "bucket": where.row,
        "bucket_base": base,
        "tabs": bucket_tabs.tabs(where.ctx, where.row.name),
        "tab": "objects",
        "usage": usage,
        "class_title": configurations.class_label(where.row.storage_class),
        "look": look,
        "folder": shown(look.prefix),
        "folder_wire": wire(look.prefix),
        "q": shown(look.q),
        "crumbs": _crumbs(look, base),
        "here": look.url(base),
        "here_now": look.url(base, version=""),
        "close": look.url(base, object="", version=""),
        "toggle_deleted": look.url(base, deleted="" if look.deleted else "1", after="", trail="") if where.has_versions else "",
        "keeps_versions": where.keeps_versions,
        "has_versions": where.has_versions,
        "detail": detail,
        "hours": HOURS.items(),
        "requests": [(title, shown(text)) for title, text in _commands(where, look, url)],
        "why_change": where.ctx.why_not("buckets.manage"),
        "why_upload": why_no_uploads(request, where.ctx),
        "targets": object_rounds.targets(where),
        "working": bool(bulk.under_way(where.ctx, where.row)),
        "user_id": where.ctx.needed_user.id,
        **listing,
        **more,
    }
    if detail is not None:
        context |= object_detail.facts(where.ctx, detail)
        context.setdefault("properties", _properties_form(request, detail, unposted=True))
        context.setdefault("tag_form", _tags_form(request, detail, unposted=True))
    response = page(request, "portal/objects/list.html", context, status=status)
    # Addresses in the page are good for an hour and for their reader alone.
    response["Cache-Control"] = "no-store"
    return allow_store(response, url)


def _commands(where: Place, look: Look, url: str) -> list[tuple[str, str]]:
    """What the page does as `aws` says it, with keys of the project in its usual places."""
    aws = f"aws --endpoint-url {shlex.quote(url or 'ENDPOINT')} "
    there = shlex.quote(f"s3://{where.name}/{look.prefix}")
    one = shlex.quote(f"s3://{where.name}/{look.object}") if look.object else f"{there}NAME"
    return [
        ("List this folder", f"{aws}s3 ls {there}"),
        ("Upload a file", f"{aws}s3 cp FILE {there}"),
        ("Upload a folder", f"{aws}s3 sync FOLDER {there}"),
        ("Download", f"{aws}s3 cp {one} ."),
        ("Make a link for a day", f"{aws}s3 presign {one} --expires-in 86400"),
        ("Delete", f"{aws}s3 rm {one}"),
    ]


def _crumbs(look: Look, base: str) -> list[tuple[str, str]]:
    """(name, address) of the folders down to this one; the bucket itself is the template's."""
    found, path_ = [], ""
    for part in look.prefix.split("/")[:-1]:
        path_ += part + "/"
        found.append((shown(part) or "⟨empty⟩", Look(prefix=path_, deleted=look.deleted).url(base)))
    return found


def _listing(where: Place, look: Look, base: str) -> dict[str, Any]:
    """Rows and the ways to other pages. Who may not list sees why instead."""
    try:
        folders, entries, next_ = _deleted_page(where, look) if look.deleted and where.has_versions else _page(where, look)
    except Forbidden as error:
        return {"rows": [], "refused": error.message}
    except Invalid:  # A token of another store, or an edited address.
        if not look.after:
            raise
        return _listing(where, dataclasses.replace(look, after="", trail=""), base)
    rows = [Row(key, shown(leaf(key, look.prefix)), Look(prefix=key, deleted=look.deleted).url(base), is_folder=True) for key in folders]
    rows += [
        Row(
            one.key,
            shown(leaf(one.key, look.prefix)),
            look.url(base, object=one.key, version=""),
            entry=one,
            is_open=one.key == look.object,
        )
        for one in entries
        if one.key != look.prefix
    ]
    # Tokens lead forwards only, so the address remembers those that led here; "-" is the first page's.
    trail = [one for one in look.trail.split(".") if one]
    longer = ".".join([*trail, look.after or "-"])
    shut = {"object": "", "version": ""}
    ways = {"next": "", "previous": "", "first": look.url(base, after="", trail="", **shut) if look.after else ""}
    if next_:
        ways["next"] = look.url(base, after=next_, trail=longer if len(longer) <= TRAIL_LENGTH_MAX else "", **shut)
    if trail:
        ways["previous"] = look.url(base, after="" if trail[-1] == "-" else trail[-1], trail=".".join(trail[:-1]), **shut)
    return {
        "rows": rows,
        "folder_count": len(folders),
        "object_count": len(rows) - len(folders),
        "bytes": sum(one.size for one in entries),
        **ways,
    }


def _page(where: Place, look: Look) -> tuple[list[str], list[Entry], str]:
    found = where.client.list_objects(where.name, prefix=look.prefix + look.q, delimiter="/", token=look.after, limit=PAGE)
    return found.prefixes, found.entries, found.next


def _deleted_page(where: Place, look: Look) -> tuple[list[str], list[Entry], str]:
    """The newest version of each name, deletions included. S3 has no such listing: versions are looked through until a page is full."""
    after, _, version = unwire(look.after).partition("\0") if look.after else ("", "", "")
    folders: list[str] = []
    entries: list[Entry] = []
    for _ in range(LOOKS_MAX):
        found = where.client.list_versions(
            where.name, prefix=look.prefix + look.q, delimiter="/", after=after, after_version=version, limit=LOOK
        )
        folders += found.prefixes
        entries += [one for one in found.entries if one.latest]
        after, version = found.next, found.next_version
        if not after or len(entries) + len(folders) >= PAGE:
            break
    return folders, entries, wire(f"{after}\0{version}") if after else ""


# --- one object


def _back(where: Place, look: Look, **changes: str) -> HttpResponseRedirect:
    return HttpResponseRedirect(look.url(bucket_tabs.base(where.ctx, where.row.name), **changes))


@require_safe
@portal_page
def download(request: HttpRequest, ctx: Context, name: str) -> HttpResponse:
    """To the object itself, under its name, by an address that only its reader has."""
    where, look = place(ctx, name), Look.of(request.GET)
    if not look.object:
        raise Invalid("Say which object.")
    if reason := why_unreachable(look.object):
        raise Conflict(reason)
    url = public_url(request)
    if not url:
        raise Conflict("This page came by https, and the object store of this box answers by http only.")
    where.client.head(where.name, look.object, version=look.version)
    response = HttpResponseRedirect(object_detail.address(where, look.object, look.version, url, seconds=300))
    response["Cache-Control"] = "no-store"
    return response


def _properties_form(request: HttpRequest, detail: Detail, *, unposted: bool = False) -> Form:
    headers = {name: detail.header.get(name, "") for name in object_detail.HEADERS}
    form = Form(request, **headers, metadata=detail.metadata_lines)
    return _as_stored(form, {**headers, "metadata": detail.metadata_lines}) if unposted else form


def _tags_form(request: HttpRequest, detail: Detail, *, unposted: bool = False) -> Form:
    form = Form(request, tags=detail.tag_lines)
    return _as_stored(form, {"tags": detail.tag_lines}) if unposted else form


def _as_stored(form: Form, values: dict[str, str]) -> Form:
    """The form beside the one that was posted, or opened by a link: it shows what is stored."""
    for name, value in values.items():
        form[name].value = value
    form.posted = False
    return form


@require_POST
@portal_page
def properties(request: HttpRequest, ctx: Context, name: str) -> HttpResponse:
    """Type, headers and metadata, all at once."""
    where, look = place(ctx, name), Look.of(request.GET)
    detail = _looked_at(request, where, look)
    form = _properties_form(request, detail)

    def save() -> None:
        ctx.require("buckets.manage")
        if reason := detail.why_no_edit:
            raise Conflict(reason)
        headers = object_detail.headers_of({name: form.text(name) for name in object_detail.HEADERS})
        etag = request.POST.get("etag", "")
        object_detail.replace_properties(where, look.object, etag, headers, object_detail.metadata_of(form.text("metadata")))

    if form.run(save):
        messages.success(request, f"Saved the properties of {detail.name}.")
        return _back(where, look)
    return _show(request, where, look, detail=detail, status=form.status, properties=form)


@require_POST
@portal_page
def tags(request: HttpRequest, ctx: Context, name: str) -> HttpResponse:
    where, look = place(ctx, name), Look.of(request.GET)
    detail = _looked_at(request, where, look)
    form = _tags_form(request, detail)

    def save() -> None:
        ctx.require("buckets.manage")
        where.client.put_tags(where.name, look.object, object_detail.tags_of(form.text("tags")), version=look.version)

    if form.run(save):
        messages.success(request, f"Saved the tags of {detail.name}.")
        return _back(where, look)
    return _show(request, where, look, detail=detail, status=form.status, tag_form=form)


def _looked_at(request: HttpRequest, where: Place, look: Look) -> Detail:
    if not look.object:
        raise Invalid("Say which object.")
    return object_detail.read(where, look.object, look.version, public_url(request))


@require_POST
@portal_page
def share(request: HttpRequest, ctx: Context, name: str) -> HttpResponse:
    """A link that opens the object without a sign-in, until its time is over."""
    where, look = place(ctx, name), Look.of(request.GET)
    detail, url = _looked_at(request, where, look), public_url(request)
    if reason := detail.why_unreachable or detail.error or ("" if url else why_no_uploads(request, ctx)):
        raise Conflict(reason)
    hours = request.POST.get("hours", "")
    if hours not in HOURS:
        raise Invalid(f"A link works for {', '.join(HOURS.values())}.")
    seconds = int(hours) * 3600
    made = temporary.issue(user=ctx.needed_user.id, project=ctx.project_id, seconds=seconds, role="reader")
    keys = Keys(made.access_key, made.secret_key, made.session_token)
    linking = dataclasses.replace(where, client=ObjectClient(endpoint(), lambda: keys))
    as_download = request.POST.get("download") == "on"
    kind = "" if as_download else object_detail.kind_of(look.object, detail.head.content_type if detail.head else "")
    link = object_detail.address(linking, look.object, look.version, url, kind=_shared_as(kind), seconds=seconds)
    ends = datetime.fromtimestamp(time.time() + seconds, UTC)
    return _show(request, where, look, detail=detail, link=link, link_ends=ends, shared_hours=hours)


def _shared_as(kind: str) -> str:
    """A page is shared as its text: under the portal's host name nothing of a stranger's may look like a page of ours."""
    return (
        "text/plain; charset=utf-8" if kind.endswith(("html", "xhtml+xml", "svg+xml")) or kind in ("text/xml", "application/xml") else kind
    )


@require_POST
@portal_page
def restore(request: HttpRequest, ctx: Context, name: str) -> HttpResponse:
    """Make an older version the current one again, or take a deletion back."""
    where, look = place(ctx, name), Look.of(request.GET)
    said, version = shown(look.object), request.POST.get("version", "")[:64]

    def act() -> None:
        ctx.require("buckets.manage")
        if not look.object or not version:
            raise Invalid("Say which version.")
        if request.POST.get("marker"):
            where.client.delete(where.name, look.object, version=version)
        else:
            object_detail.restore(where, look.object, version)

    done = f"{said} is back." if request.POST.get("marker") else f"The older version of {said} is the current one again."
    attempt(request, act, done=done)
    return _back(where, look, version="")


@require_POST
@portal_page
def forget(request: HttpRequest, ctx: Context, name: str) -> HttpResponse:
    """Delete one version for good."""
    where, look = place(ctx, name), Look.of(request.GET)
    version = request.POST.get("version", "")[:64]

    def act() -> None:
        ctx.require("buckets.manage")
        if not look.object or not version:
            raise Invalid("Say which version.")
        where.client.delete(where.name, look.object, version=version)

    attempt(request, act, done=f"Deleted one version of {shown(look.object)} for good.")
    return _back(where, look, version="")


@require_POST
@portal_page
def new_folder(request: HttpRequest, ctx: Context, name: str) -> HttpResponse:
    """An object store has no folders, only names with slashes; an empty object that ends with one stands for a folder."""
    where, look = place(ctx, name), Look.of(request.GET)
    wanted = request.POST.get("name", "").strip().strip("/")
    made = ""

    def act() -> None:
        nonlocal made
        ctx.require("buckets.manage")
        if not wanted or any(part in ("", ".", "..") for part in wanted.split("/")):
            raise Invalid("A folder needs a name; dots alone, or nothing between two slashes, are none.")
        made = unwire(wire(f"{look.prefix}{wanted}/"))
        if where.client.list_objects(where.name, prefix=made, limit=1).entries:
            raise AlreadyExists(f"There is a folder called {shown(wanted)} already.")
        try:
            where.client.put(where.name, made, b"", content_type="application/x-directory", headers={"if-none-match": "*"})
        except PreconditionFailed as error:
            raise AlreadyExists(f"There is a folder called {shown(wanted)} already.") from error

    done = attempt(request, act, done=f"Made the folder {shown(wanted)}.")
    return _back(where, Look(prefix=made) if done else look)


_BASE = "/buckets/<str:name>/o"
urlpatterns = [
    path(_BASE, index, name="objects"),
    path(f"{_BASE}/download", download, name="object-download"),
    path(f"{_BASE}/properties", properties, name="object-properties"),
    path(f"{_BASE}/tags", tags, name="object-tags"),
    path(f"{_BASE}/share", share, name="object-share"),
    path(f"{_BASE}/restore", restore, name="object-restore"),
    path(f"{_BASE}/forget", forget, name="object-forget"),
    path(f"{_BASE}/folder", new_folder, name="object-folder"),
    *object_rounds.urlpatterns,
    *object_uploads.urlpatterns,
]
