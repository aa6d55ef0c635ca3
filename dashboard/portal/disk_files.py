"""The page of the files on a disk that is kept, of a backup or of a snapshot, and the way of one file out of it."""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse

from cloudbox.common.errors import CloudError, Forbidden, Invalid
from compute.disk_files import File, Look
from dashboard import downloads
from dashboard.shell import page

PATH_MAX = 4096


def folder(request: HttpRequest, context: dict[str, Any], look: Callable[[int | None, str], Look]) -> HttpResponse:
    """One folder. What cannot be read says so in the page: the rest of the disk may be whole.

    `context`: `name` of what it is and a sentence of `words` on it, where its pages are (`at`), the `trail` to it, its `command`.
    """
    path = request.GET.get("path", "/")[:PATH_MAX]
    context = context | {"path": path, "command": context["command"][0], "values": context["command"][1]}
    try:
        context["look"] = found = look(_part_of(request), path)
    except Forbidden:
        raise
    except CloudError as error:
        return page(request, "portal/disk_files.html", context | {"refused": error.message}, status=200)
    names = [name for name in found.path.split("/") if name]
    context |= {
        "rows": [(node, f"{found.path.rstrip('/')}/{node.name}", _pointed(found.path, node.link)) for node in found.entries],
        "crumbs": [(name, "/" + "/".join(names[: place + 1])) for place, name in enumerate(names)],
        "folder": names[-1] if names else "",
    }
    return page(request, "portal/disk_files.html", context)


def download(request: HttpRequest, read: Callable[[int | None, str], File]) -> HttpResponse:
    found = read(_part_of(request), request.GET.get("path", "")[:PATH_MAX])
    return downloads.file(request, found.name, found.size_bytes, found.body)


def _part_of(request: HttpRequest) -> int | None:
    text = request.GET.get("part", "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 3):
        raise Invalid("A part of a disk has a number.", field="part")
    return int(text)


def _pointed(folder: str, link: str) -> str:
    """Where a link leads on this disk, as a path; empty when it is none."""
    return posixpath.normpath(posixpath.join(folder, link)) if link else ""
