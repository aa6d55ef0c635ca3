"""Many at once: ?bulk-delete, and ?extract-archive."""

from __future__ import annotations

import asyncio
import io
import tarfile
from collections.abc import Sequence
from typing import Any
from xml.sax.saxutils import escape

import orjson

from cloudbox.common.errors import CloudError
from storage import encryption, objects
from storage.api.swift import headers
from storage.api.swift.acls import WRITES
from storage.api.swift.call import Call
from storage.api.swift.errors import REASONS, TABLE, SwiftError
from storage.api.swift.found import at_object
from storage.api.swift.info import BULK_CONTAINERS_MAX, BULK_DELETES_MAX, BULK_FAILURES_MAX, FILE_BYTES_MAX
from storage.api.swift.writing import Md5, check_name, check_quotas, dress
from storage.objects import Write
from storage.properties import Properties
from storage.server import Response

TYPES = {"text/plain": "plain", "application/json": "json", "application/xml": "xml", "text/xml": "xml"}
LINE_MAX = 4 * 1024
BODY_BYTES_MAX = BULK_DELETES_MAX * 3 * 1400
ARCHIVE_BYTES_MAX = FILE_BYTES_MAX


def _kind(call: Call) -> tuple[str, str]:
    accept = (call.header("accept") or "").partition(";")[0].strip().lower()
    if accept in ("", "*/*"):
        return "plain", "text/plain"
    if accept not in TYPES:
        raise SwiftError(406)
    return TYPES[accept], accept


def _status_of(error: Exception) -> int:
    if isinstance(error, SwiftError):
        return error.status
    return next(TABLE[kind] for kind in type(error).__mro__ if kind in TABLE)


def _line(status: int) -> str:
    return f"{status} {REASONS[status][0] if status in REASONS else {200: 'OK', 201: 'Created'}[status]}"


def report(call: Call, facts: dict[str, Any], errors: Sequence[tuple[str, str]]) -> Response:
    """What was done, in the wanted form."""
    kind, content_type = _kind(call)
    if kind == "json":
        body = orjson.dumps({**facts, "Errors": [list(pair) for pair in errors]})
    elif kind == "xml":
        root = "delete" if "Number Deleted" in facts else "extract"
        inner = "".join(
            f"<{key.lower().replace(' ', '_')}>{escape(str(value))}</{key.lower().replace(' ', '_')}>" for key, value in facts.items()
        )
        listed = "".join(f"<object><name>{escape(name)}</name><status>{escape(status)}</status></object>" for name, status in errors)
        body = f"<{root}>\n{inner}<errors>\n{listed}</errors>\n</{root}>\n".encode()
    else:
        lines = [f"{key}: {value}" for key, value in facts.items()] + ["Errors:"] + [f"{name}, {status}" for name, status in errors]
        body = ("\n".join(lines) + "\n").encode()
    return Response(200, {"Content-Type": content_type}, body)


# --- deleting


async def delete(call: Call) -> Response:
    """POST ?bulk-delete: a line a name, percent-encoded; containers go when they are empty by then."""
    if not call.project:
        raise call.refuse()
    _kind(call)
    body = await call.request.body.read_all(BODY_BYTES_MAX)
    if not body.strip():
        return report(call, _deleted(0, 0, 400, "Invalid bulk delete."), [])
    names = []
    for line in body.split(b"\n"):
        if line.strip():
            try:
                name = headers.unquote(line.strip().decode())
            except UnicodeDecodeError:
                name = line.strip().decode("utf-8", "replace")
            names.append(name.lstrip("/") if name.startswith("/") else name)
    if len(names) > BULK_DELETES_MAX:
        return report(call, _deleted(0, 0, 413, f"Maximum Bulk Deletes: {BULK_DELETES_MAX} per request"), [])
    return await delete_names(call, names)


def _deleted(count: int, missing: int, status: int, text: str = "") -> dict[str, Any]:
    return {"Number Deleted": count, "Number Not Found": missing, "Response Body": text, "Response Status": _line(status)}


async def delete_names(call: Call, names: Sequence[str], *, version_id: str | None = None) -> Response:
    """One after the other; with a `version_id`, of the last name that version for good."""
    from storage.api.swift import containers
    from storage.api.swift import objects as wire

    count = missing = 0
    errors: list[tuple[str, str]] = []
    worst = 0
    for number, name in enumerate(names, 1):
        container, _, key = name.partition("/")
        at = at_object(call, call.project, container, key)
        versioned = version_id is not None and number == len(names)
        at.query = {"version-id": call.query["version-id"]} if versioned else {}
        try:
            if len(name) > LINE_MAX or not container:
                raise SwiftError(400)
            await at.load()
            if key:
                await wire.delete(at) if versioned else await wire.delete_one(at)
            else:
                await containers.delete(at)
            count += 1
        except (SwiftError, CloudError) as error:
            status = _status_of(error)
            if status == 404:
                missing += 1
                continue
            worst = max(worst, status)
            errors.append((headers.quoted_path(f"/{name}"), _line(status)))
            if len(errors) >= BULK_FAILURES_MAX or status == 401:
                break
        await asyncio.sleep(0)
    if errors:
        only = {status for _, status in errors}
        status = 401 if only == {_line(401)} else 400
        return report(call, _deleted(count, missing, status), errors)
    status = 404 if not count and missing else 200
    return report(call, _deleted(count, missing, status), errors)


# --- uploading an archive


async def extract(call: Call) -> Response:
    """PUT ?extract-archive=tar|tar.gz|tar.bz2: each file of it becomes an object.

    Where the address names no container, the first folder does.
    """
    _kind(call)
    call.allow_account(WRITES)
    form = call.query.get("extract-archive", "").lower()
    mode = {"tar": "r:", "tar.gz": "r:gz", "tar.bz2": "r:bz2"}.get(form)
    if mode is None:
        raise SwiftError(400, "Unsupported archive format")
    if "content-length" not in call.headers and "transfer-encoding" not in call.headers:
        raise SwiftError(411)
    # The archive is read as it comes, in a thread; entries are handed over one at a time.
    loop = asyncio.get_running_loop()
    feed = _Feed(call, loop)
    created = 0
    errors: list[tuple[str, str]] = []
    made: set[str] = set()
    status = 201
    text = ""
    try:
        archive = await call.plane.run(lambda: tarfile.open(fileobj=feed, mode=mode.replace(":", "|")))  # type: ignore[call-overload]  # noqa: SIM115
        while (member := await call.plane.run(archive.next)) is not None:
            if not member.isfile():
                continue
            path = "/".join(part for part in (call.container, call.object.rstrip("/"), member.name.removeprefix("./").lstrip("/")) if part)
            container, _, name = path.partition("/")
            if not name:
                continue
            shown = headers.quoted_path(f"/{path}")
            try:
                await _store(call, archive, member, container, name, made)
                created += 1
            except (SwiftError, CloudError) as error:
                found = _status_of(error)
                errors.append((shown, _line(found)))
                if found == 401 or len(errors) >= BULK_FAILURES_MAX:
                    break
    except (tarfile.TarError, EOFError, OSError) as error:
        status, text = 400, f"Invalid Tar File: {error}"
    if errors:
        status = 400
    elif not created and status == 201:
        status, text = 400, "Invalid Tar File: No Valid Files"
    return report(call, {"Number Files Created": created, "Response Body": text, "Response Status": _line(status)}, errors)


def _open(feed: io.RawIOBase, mode: str) -> tarfile.TarFile:
    return tarfile.open(fileobj=feed, mode=mode)  # type: ignore[call-overload,no-any-return]


class _Feed(io.RawIOBase):
    """The request's body as a file, for a thread."""

    def __init__(self, call: Call, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._call, self._loop = call, loop
        self._left = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        while size < 0 or len(self._left) < size:
            piece = asyncio.run_coroutine_threadsafe(self._call.request.body.read(), self._loop).result()
            if not piece:
                break
            self._left += piece
        found, self._left = (self._left, b"") if size < 0 else (self._left[:size], self._left[size:])
        return found


async def _store(call: Call, archive: tarfile.TarFile, member: tarfile.TarInfo, container: str, name: str, made: set[str]) -> None:
    from storage.api.swift import containers

    at = at_object(call, call.project, container, name)
    await at.load()
    if at.info is None:
        if container not in made and len(made) >= BULK_CONTAINERS_MAX:
            raise SwiftError(400)
        plain = at_object(call, call.project, container, "")
        plain.query, plain.request = {}, call.request
        await call.verb(containers._create, container, call.plane.storage_class, {})
        made.add(container)
        await at.load()
    bucket = at.bucket
    at.allow_write()
    check_name(at.key)
    if member.size > FILE_BYTES_MAX:
        raise SwiftError(413)
    await check_quotas(at, bucket, member.size)
    file = archive.extractfile(member)
    assert file is not None
    properties = Properties(content_type=headers.mimetypes.guess_type(name)[0] or headers.OCTETS)
    for key, value in (member.pax_headers or {}).items():
        kept = key.removeprefix("SCHILY.xattr.user.").removeprefix("LIBARCHIVE.xattr.user.")
        if kept != key and kept.startswith("meta."):
            properties.user[kept.removeprefix("meta.").lower()] = headers.wire(value)
        elif kept == "mime_type":
            properties.content_type = headers.wire(value)
    dress(bucket, properties)
    wish, cause = encryption.wish_of(bucket.documents), call.cause("ObjectCreated:Put")
    write = Write(properties, wish, None, None, FILE_BYTES_MAX, key_project=bucket.owner, cause=cause)
    await objects.put(call.plane, bucket, at.key, _Member(call, file, member.size), Md5(), write)


class _Member:
    """A file of the archive as a source."""

    def __init__(self, call: Call, file: Any, size: int) -> None:
        self.length: int | None = size
        self._call, self._file = call, file

    async def read(self, limit: int = objects.PIECE_BYTES) -> bytes:
        found: bytes = await self._call.plane.run(self._file.read, limit)
        return found

    async def read_all(self, limit: int) -> bytes:
        found: bytes = await self._call.plane.run(self._file.read)
        return found
