"""How the pages of a bucket reach its objects: by S3, with credentials for a while of whoever looks, so that they can do what their
user may do and nothing else; and where browsers find the store.
"""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_POST

from cloudbox.common.errors import CloudError, Invalid
from cloudbox.common.object_client import ObjectClient, endpoint
from cloudbox.common.object_signing import Keys
from dashboard import errors
from dashboard.object_names import unwire
from dashboard.shell import portal_page
from identity import temporary
from identity.context import Context
from storage import buckets
from storage.models import Bucket

# A page's own requests take moments; addresses that it hands to the browser live for an hour from the page's making.
KEYS_SECONDS = 3 * 3600
ADDRESS_SECONDS = 3600
KEPT_MAX = 2000
_kept: dict[tuple[UUID, UUID], temporary.Temporary] = {}


@dataclass(frozen=True)
class Place:
    """A bucket as a page works on it: its row, the name that S3 knows it by, and a client for whoever looks."""

    ctx: Context
    row: Bucket
    client: ObjectClient

    @property
    def name(self) -> str:
        """A container's name is its project's own; S3 says it with the project in front (as Ceph does)."""
        return s3_name(self.row)

    @property
    def keeps_versions(self) -> bool:
        """Does an overwritten or deleted object stay as a version? (Of a suspended bucket only older ones do.)"""
        return self.row.versioning == Bucket.Versioning.ENABLED

    @property
    def has_versions(self) -> bool:
        return self.row.versioning != Bucket.Versioning.OFF


def s3_name(row: Bucket) -> str:
    return row.name if row.shared_name else f"{row.project.slug}:{row.name}"


def place(ctx: Context, name: str) -> Place:
    """Raises NotFound for a bucket that is not the project's."""
    row = buckets.get(ctx, name)
    return Place(ctx, row, client_of(ctx))


def client_of(ctx: Context) -> ObjectClient:
    made = _standing(ctx)
    keys = Keys(made.access_key, made.secret_key, made.session_token)
    return ObjectClient(endpoint(), lambda: keys)


def _standing(ctx: Context) -> temporary.Temporary:
    """This person's credentials, made anew before those that exist are too old for an address: the data plane looks up each once."""
    asked = (ctx.needed_user.id, ctx.project_id)
    found = _kept.get(asked)
    if found is None or found.expires_at < time.time() + ADDRESS_SECONDS + 60:
        if len(_kept) >= KEPT_MAX:
            _kept.clear()
        found = _kept[asked] = temporary.issue(user=asked[0], project=asked[1], seconds=KEYS_SECONDS)
    return found


# --- the browser's side


def public_url(request: HttpRequest) -> str:
    """Where this page's browser finds the store: under the host name that it came by, on the store's port; empty if nowhere."""
    if settings.STORE_PUBLIC_URL:
        return settings.STORE_PUBLIC_URL.rstrip("/")
    secure = settings.TLS or request.is_secure()
    port = settings.STORE_TLS_PORT if secure else settings.STORE_PORT
    if not port:
        return ""
    host = urlsplit(f"//{request.get_host()}").hostname or ""
    return f"{'https' if secure else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"


def why_no_uploads(request: HttpRequest, ctx: Context) -> str:
    """Why this person cannot upload from this page; empty if they can."""
    if not public_url(request):
        return "This page came by https, and the object store of this box answers by http only: browsers refuse the mixture."
    return ctx.why_not("buckets.manage")


def allow_store(response: HttpResponse, url: str) -> HttpResponse:
    """Let this page, and no other, load pictures, films and PDFs from the store and send it bodies."""
    if url:
        names = ("img-src", "media-src", "connect-src", "frame-src")
        response._csp_update = {name: [url] for name in names}  # type: ignore[attr-defined]
    return response


# --- programs of the page


def answers_json(view: Callable[..., dict[str, Any]]) -> Callable[..., HttpResponse]:
    """A view `(place, body, request) -> dict` for a script of a bucket's page: JSON in and out, errors as one sentence.

    All of these change objects or prepare to: who may not is refused here, before the store would.
    """

    @require_POST
    @portal_page
    @functools.wraps(view)
    def wrapped(request: HttpRequest, ctx: Context, name: str) -> HttpResponse:
        try:
            where = place(ctx, name)
            ctx.require("buckets.manage")
            return JsonResponse(view(where, Body(request), request))
        except CloudError as error:
            return JsonResponse({"error": error.message, "code": getattr(error, "code", "")}, status=errors.status_of(error)[0])

    return wrapped


class Body:
    """A script's JSON, read field by field. Everything raises Invalid when it is not what it should be."""

    def __init__(self, request: HttpRequest) -> None:
        if request.content_type != "application/json":
            raise Invalid("The page sent something that is not JSON. Load it again.")
        try:
            found = json.loads(request.body)
        except ValueError as error:
            raise Invalid("The page sent something that is not JSON. Load it again.") from error
        if not isinstance(found, dict):
            raise Invalid("The page sent something that is no JSON object. Load it again.")
        self._found: dict[str, Any] = found

    def text(self, name: str, default: str = "") -> str:
        return _text(self._found.get(name, default), name)

    def flag(self, name: str) -> bool:
        return self._found.get(name) is True

    def number(self, name: str, most: int, default: int | None = None) -> int:
        return _number(self._found.get(name, default), name, most)

    def texts(self, name: str, most: int) -> list[str]:
        return [_text(one, name) for one in self._list(name, most)]

    def keys(self, name: str, most: int) -> list[str]:
        return [unwire(_text(one, name)) for one in self._list(name, most)]

    def rows(self, name: str, most: int) -> list[Row]:
        return [Row(one, name) for one in self._list(name, most)]

    def _list(self, name: str, most: int) -> list[Any]:
        found = self._found.get(name, [])
        if not isinstance(found, list) or len(found) > most:
            raise Invalid(f"“{name}” is a list of at most {most}.", field=name)
        return found


class Row(Body):
    """An object in a list of a Body."""

    def __init__(self, found: Any, name: str) -> None:
        if not isinstance(found, dict):
            raise Invalid(f"“{name}” is a list of objects.", field=name)
        self._found = found


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise Invalid(f"“{name}” is text.", field=name)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise Invalid(f"“{name}” holds half a character.", field=name) from error
    return value


def _number(value: Any, name: str, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise Invalid(f"“{name}” is a number from 0 to {most}.", field=name)
    return value
