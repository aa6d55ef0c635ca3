"""Large objects: static ones, whose manifest lists segments, and dynamic ones, which are all that begins with a prefix."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import orjson

from storage import encryption, objects
from storage.api.swift import headers, symlinks, versions
from storage.api.swift.call import Call
from storage.api.swift.errors import PLAIN, SwiftError
from storage.api.swift.info import FILE_BYTES_MAX, MANIFEST_BYTES_MAX, SEGMENTS_MAX
from storage.directory import BucketInfo
from storage.engine import Version
from storage.errors import NoSuchObject
from storage.objects import Content, Write
from storage.properties import Properties, unpack
from storage.server import BodyTooLarge, Response

DEPTH_MAX = 10
DYNAMIC_SEGMENTS_MAX = 100_000


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a large object: bytes of a segment, or bytes that the manifest holds itself."""

    size: int
    data: bytes = b""
    bucket: BucketInfo | None = None
    version: Version | None = None
    properties: Properties | None = None
    start: int = 0
    wrong: bool = False  # The segment is gone, or another than it was.


# --- reading


async def static(call: Call, bucket: BucketInfo, version: Version, properties: Properties, more: dict[str, str]) -> Any:
    from storage.api.swift.objects import Found

    facts = properties.extra["slo"]
    rows = orjson.loads(await whole(call, version, properties))

    async def content(start: int, length: int) -> Content:
        pieces = await _pieces(call, rows, 1)
        return await _read(call, pieces, start, length, static=True)

    sizes = [len(base64.b64decode(row["data"])) if "data" in row else (row.get("range") or [0, row["bytes"]])[1] for row in rows]
    return Found(bucket, version, properties, facts["size"], f'"{facts["etag"]}"', content, more, sizes)


async def whole(call: Call, version: Version, properties: Properties) -> bytes:
    from storage.api.swift.objects import open_key

    got = await objects.content(call.plane, version, properties, await open_key(call, properties), 0, version.size)
    if isinstance(got, bytes):
        return got
    source = objects.VersionSource(call.plane, version, properties, await open_key(call, properties))
    return await source.read_all(version.size)


async def _pieces(call: Call, rows: list[dict[str, Any]], depth: int) -> list[Piece]:
    """The manifest's rows as stretches of plain objects; manifests in it are opened."""
    from storage.api.swift.objects import _at, look

    found: list[Piece] = []
    for row in rows:
        if "data" in row:
            data = base64.b64decode(row["data"])
            found.append(Piece(len(data), data=data))
            continue
        container, _, name = row["name"].lstrip("/").partition("/")
        start, length = row.get("range") or (0, row["bytes"])
        at = _at(call, call.project, container, name)
        await at.load()
        try:
            if at.info is None:
                raise NoSuchObject
            version, properties = look(at, at.info, at.key, None)
        except NoSuchObject:
            found.append(Piece(length, wrong=True))
            continue
        try:
            at.allow_read(properties)
            if "symlink" in properties.extra:
                at.info, version, properties, _ = await symlinks.follow(at, properties)
        except SwiftError:
            # Whoever may read the manifest is told that it does not hold, not which segment is closed to them.
            found.append(Piece(length, wrong=True))
            continue
        slo = properties.extra.get("slo")
        etag, size = (slo["etag"], slo["size"]) if slo else (version.etag, version.size)
        if etag != row["hash"] or size != row["bytes"]:
            found.append(Piece(length, wrong=True))
        elif slo and depth < DEPTH_MAX:
            inner = await _pieces(call, orjson.loads(await whole(call, version, properties)), depth + 1)
            found += _cut(inner, start, length)
        elif slo:
            raise SwiftError(409)  # Manifests within manifests, too deep.
        else:
            found.append(Piece(length, bucket=at.info, version=version, properties=properties, start=start))
    return found


def _cut(pieces: list[Piece], start: int, length: int) -> list[Piece]:
    """Those stretches that cover a range."""
    found, at, end = [], 0, start + length
    for piece in pieces:
        low, high = max(start, at), min(end, at + piece.size)
        if low < high:
            skip = low - at
            found.append(
                Piece(
                    high - low,
                    piece.data[skip : skip + high - low],
                    piece.bucket,
                    piece.version,
                    piece.properties,
                    piece.start + skip,
                    piece.wrong,
                )
            )
        at += piece.size
    return found


async def _read(call: Call, pieces: list[Piece], start: int, length: int, *, static: bool = False) -> Content:
    wanted = _cut(pieces, start, length)
    if not wanted:
        return b""
    if static and wanted[0].wrong:
        raise SwiftError(409)
    return _through(call, wanted)


async def _through(call: Call, pieces: list[Piece]) -> AsyncIterator[bytes]:
    from storage.api.swift.objects import open_key

    for piece in pieces:
        if piece.wrong:
            return  # The client sees that bytes are missing: the connection is cut.
        if piece.version is None or piece.properties is None:
            yield piece.data
            continue
        key = await open_key(call, piece.properties)
        source = objects.VersionSource(call.plane, piece.version, piece.properties, key, piece.start, piece.size)
        while chunk := await source.read():
            yield chunk


async def pieces_of(call: Call, found: Any, start: int, length: int) -> AsyncIterator[bytes]:
    """Bytes of a found object as pieces."""
    if not length:
        return
    got = await found.content(start, length)
    if isinstance(got, bytes):
        yield got
    elif isinstance(got, AsyncIterator):
        async for chunk in got:
            yield chunk
    else:
        # Views for sendfile do not fit between other bytes.
        for view in got:
            view.close()
        from storage.api.swift.objects import open_key

        key = await open_key(call, found.properties)
        source = objects.VersionSource(call.plane, found.version, found.properties, key, start, length)
        while chunk := await source.read():
            yield chunk


async def manifest(call: Call, bucket: BucketInfo, version: Version, properties: Properties, more: dict[str, str]) -> Any:
    """?multipart-manifest=get: the list itself, as it is kept, or (format=raw) as it was sent."""
    from storage.api.swift.objects import Found

    rows = orjson.loads(await whole(call, version, properties))
    if call.query.get("format") == "raw":
        body = orjson.dumps([_raw(row) for row in rows])
        etag = hashlib.md5(body, usedforsecurity=False).hexdigest()
    else:
        body, etag = orjson.dumps([_shown(row) for row in rows]), version.etag
        more = more | {"Content-Type": "application/json; charset=utf-8"}

    async def content(start: int, length: int) -> Content:
        return body[start : start + length]

    return Found(bucket, version, properties, len(body), etag, content, more)


def _raw(row: dict[str, Any]) -> dict[str, Any]:
    if "data" in row:
        return {"data": row["data"]}
    found = {"path": row["name"], "etag": row["hash"], "size_bytes": row["bytes"]}
    if row.get("range"):
        start, length = row["range"]
        found["range"] = f"{start}-{start + length - 1}"
    return found


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    found = {key: value for key, value in row.items() if key != "range"}
    if row.get("range"):
        start, length = row["range"]
        found["range"] = f"{start}-{start + length - 1}"
    return found


async def dynamic(call: Call, bucket: BucketInfo, version: Version, properties: Properties, more: dict[str, str]) -> Any:
    """All objects of a container that begin with a prefix, one after the other."""
    from storage.api.swift.objects import Found

    container, _, prefix = headers.unquote(headers.utf8(properties.headers["x-object-manifest"])).lstrip("/").partition("/")
    source = await call.container_of(container, bucket.owner)
    if source is None:
        raise SwiftError(404)
    call.allow("s3:ListBucket", bucket=source, permission="READ", acl="read")
    pieces: list[Piece] = []
    digest, after = hashlib.md5(usedforsecurity=False), b""
    while True:
        page = call.plane.store.list(source.id, prefix=prefix.encode(), after=after, limit=1000)
        for one in page.versions:
            kept = unpack(one.meta)
            if headers.expired(kept) or (source.id == bucket.id and one.name == version.name):
                continue
            inner = await _segment(call, source, one, kept)
            digest.update((kept.extra["slo"]["etag"] if "slo" in kept.extra else one.etag).encode())
            pieces += inner
        if page.next is None or len(pieces) > DYNAMIC_SEGMENTS_MAX:
            break
        after = page.next[0]

    async def content(start: int, length: int) -> Content:
        return await _read(call, pieces, start, length)

    etag = f'"{digest.hexdigest()}"'
    return Found(bucket, version, properties, sum(piece.size for piece in pieces), etag, content, more)


async def _segment(call: Call, bucket: BucketInfo, version: Version, properties: Properties) -> list[Piece]:
    if "slo" in properties.extra:
        return await _pieces(call, orjson.loads(await whole(call, version, properties)), 1)
    if "symlink" in properties.extra:
        bucket, version, properties, _ = await symlinks.follow(call, properties)
    return [Piece(version.size, bucket=bucket, version=version, properties=properties)] if version.size else []


# --- writing static ones


async def put_manifest(call: Call) -> Response:
    from storage.api.swift import objects as wire

    bucket = call.bucket
    try:
        body = await call.request.body.read_all(MANIFEST_BYTES_MAX)
    except BodyTooLarge as error:
        raise SwiftError(413, "Manifest is too large") from error
    rows = _parse(call, body)
    properties = headers.described(call)
    properties.headers.pop("x-object-manifest", None)
    heartbeat = call.query.get("heartbeat", "").lower() in ("on", "true", "1", "yes")
    kept, problems = await _look_up(call, rows)
    if problems:
        if heartbeat:
            return _heartbeat(call, "400 Bad Request", {}, problems)
        raise _refused(problems)
    etag = _etag_of(kept)
    size = sum(
        row["range"][1] if row.get("range") else row["bytes"] if "data" not in row else len(base64.b64decode(row["data"])) for row in kept
    )
    given = (call.header("etag") or "").strip().strip('"').lower()
    if given and given != etag:
        raise SwiftError(422)
    properties.extra["slo"] = {"etag": etag, "size": size, "segments": len(kept)}
    wire.dress(bucket, properties)
    await wire.check_quotas(call, bucket, 0)
    await versions.keep(call, bucket, call.key)
    text_body = orjson.dumps(kept)
    write = Write(
        properties, encryption.wish_of(bucket.documents), None, headers.write_condition(call), FILE_BYTES_MAX, key_project=bucket.owner
    )
    version = await objects.put(call.plane, bucket, call.key, Bytes(text_body), wire.Md5(), write)
    answer = wire.written(bucket, version, properties)
    answer.headers = {**answer.headers, "Etag": f'"{etag}"'}
    if heartbeat:
        return _heartbeat(call, "201 Created", {"Etag": f'"{etag}"', "Last Modified": answer.headers["Last-Modified"]}, [])
    return answer


def _refused(problems: list[tuple[str, str]]) -> SwiftError:
    return SwiftError(400, "Errors:\n" + "\n".join(f"{name}, {why}" for name, why in problems) + "\n")


async def check_segments(
    call: Call, version: Version, properties: Properties, project: str, into: BucketInfo, target: tuple[str, str]
) -> None:
    """Before a manifest is copied: where it goes, its segments must be there and readable as well. 400 with what is wrong."""
    from storage.api.swift.objects import _at

    rows = [
        {"data": row["data"]} if "data" in row else {"path": row["name"], "etag": row["hash"], "size_bytes": row["bytes"]}
        for row in orjson.loads(await whole(call, version, properties))
    ]
    at = _at(call, project, *target)
    at.info = into
    _, problems = await _look_up(at, rows)
    if problems:
        raise _refused(problems)


def _is_json(call: Call) -> bool:
    return "application/json" in (call.header("accept") or "")


def _heartbeat(call: Call, status: str, facts: dict[str, str], problems: list[tuple[str, str]]) -> Response:
    """202 at once, the outcome in the body: for clients behind impatient balancers. Here it is known already."""
    told = {"Response Status": status, "Response Body": "Bad Request" if problems else "", **facts}
    if _is_json(call):
        body, kind = orjson.dumps({**told, "Errors": problems}), "application/json; charset=UTF-8"
    else:
        lines = [f"{key}: {value}" for key, value in told.items()] + ["Errors:"] + [f"{name}, {why}" for name, why in problems]
        body, kind = ("\n".join(lines) + "\n").encode(), PLAIN

    async def pieces() -> AsyncIterator[bytes]:
        yield b" \n\r\n"
        yield body

    return Response(202, {"Content-Type": kind}, pieces())


class Bytes:
    """Bytes as a source."""

    def __init__(self, body: bytes) -> None:
        self.length: int | None = len(body)
        self._body = body

    async def read(self, limit: int = objects.PIECE_BYTES) -> bytes:
        body, self._body = self._body, b""
        return body

    async def read_all(self, limit: int) -> bytes:
        return await self.read()


def _parse(call: Call, body: bytes) -> list[dict[str, Any]]:
    try:
        rows = orjson.loads(body)
    except ValueError as error:
        raise SwiftError(400, "Manifest must be valid JSON.\n") from error
    if not isinstance(rows, list):
        raise SwiftError(400, "Manifest must be a list.\n")
    if len(rows) > SEGMENTS_MAX:
        raise SwiftError(413, f"Number of object-backed segments must be less than or equal to {SEGMENTS_MAX}")
    problems: list[str] = []
    for number, row in enumerate(rows):
        problems += [f"Index {number}: {why}" for why in _problems(call, row)]
    if not rows:
        problems.append("Manifest must have at least one segment.")
    elif not problems and all("data" in row for row in rows):
        problems.append("Inline data segments require at least one object-backed segment.")
    if problems:
        raise SwiftError(400, "\n".join(problems) + "\n")
    return rows


def _problems(call: Call, row: Any) -> list[str]:
    if not isinstance(row, dict):
        return ["not a JSON object"]
    if "data" in row:
        extra = set(row) - {"data"}
        if extra:
            return [f"extraneous keys {', '.join(sorted(map(repr, extra)))}"]
        try:
            data = base64.b64decode(row["data"], validate=True) if isinstance(row["data"], str) else b""
        except (binascii.Error, ValueError):
            return ["data must be valid base64"]
        return [] if data else ["too small; each segment must be at least 1 byte."]
    if "path" not in row:
        return ["missing 'path' key" if "data" not in row else "", "expected keys to include one of 'path' or 'data'"][1:]
    found = []
    extra = set(row) - {"path", "etag", "size_bytes", "range"}
    if extra:
        found.append(f"extraneous keys {', '.join(sorted(map(repr, extra)))}")
    path = row["path"]
    if not isinstance(path, str) or len([part for part in path.lstrip("/").split("/", 1) if part]) < 2:
        found.append("path does not refer to an object. Path must be of the form /container/object.")
    elif path.lstrip("/") == f"{call.container}/{call.object}":
        found.append("manifest must not include itself as a segment")
    size = row.get("size_bytes")
    if size is not None:
        try:
            size = int(size)
            if size < 1:
                found.append("too small; each segment must be at least 1 byte.")
        except (TypeError, ValueError):
            found.append("invalid size_bytes")
            size = None
    if row.get("etag") is not None and not isinstance(row["etag"], str):
        found.append("etag must be a string")
    if row.get("range"):
        found += _range_problems(row["range"], size)
    return found


def _range_problems(text: Any, size: int | None) -> list[str]:
    if not isinstance(text, str) or text.count("-") != 1 or "," in text:
        return ["multiple ranges (only one allowed)"] if isinstance(text, str) and "," in text else ["invalid range"]
    first, _, last = text.partition("-")
    if (
        not (first or last)
        or (first and not first.isdecimal())
        or (last and not last.isdecimal())
        or (first and last and int(first) > int(last))
    ):
        return ["invalid range"]
    if size is not None and ((first and int(first) >= size) or (not first and int(last) == 0)):
        return ["unsatisfiable range"]
    return []


async def _look_up(call: Call, rows: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[tuple[str, str]]]:
    """The rows with what the segments are, and what is wrong with them."""
    from storage.api.swift.objects import _at, look

    kept: list[dict[str, Any]] = []
    problems: list[tuple[str, str]] = []
    for row in rows:
        if "data" in row:
            kept.append({"data": base64.b64encode(base64.b64decode(row["data"])).decode()})
            continue
        container, _, name = row["path"].lstrip("/").partition("/")
        shown = f"/{container}/{name}"
        told = headers.quoted_path(row["path"])
        at = _at(call, call.project, container, name)
        await at.load()
        if at.info is None and call.who.project != call.project:
            problems.append((told, "403 Forbidden"))
            continue
        try:
            if at.info is None:
                raise NoSuchObject
            version, properties = look(at, at.info, at.key, None)
        except NoSuchObject:
            problems.append((told, "404 Not Found"))
            continue
        try:
            at.allow_read(properties)
            if "symlink" in properties.extra:
                at.info, version, properties, _ = await symlinks.follow(at, properties)
        except SwiftError as error:
            problems.append((told, f"{error.status} {'Forbidden' if error.status == 403 else 'Error'}"))
            continue
        slo = properties.extra.get("slo")
        etag, size = (slo["etag"], slo["size"]) if slo else (version.etag, version.size)
        if size < 1:
            problems.append((told, "Too Small; each segment must be at least 1 byte."))
            continue
        if row.get("size_bytes") is not None and int(row["size_bytes"]) != size:
            problems.append((told, "Size Mismatch"))
        if row.get("etag") and row["etag"].strip('"') != etag:
            problems.append((told, "Etag Mismatch"))
        entry: dict[str, Any] = {
            "name": shown,
            "bytes": size,
            "hash": etag,
            "content_type": headers.utf8(properties.content_type or headers.OCTETS),
            "last_modified": headers.iso(headers.changed_ns(version, properties)),
        }
        if slo:
            entry["sub_slo"] = True
        if row.get("range"):
            first, _, last = row["range"].partition("-")
            start = int(first) if first else max(0, size - int(last))
            end = min(int(last), size - 1) if first and last else size - 1
            if start >= size or (not first and int(last) == 0):
                problems.append((told, "Unsatisfiable Range"))
            elif (start, end) != (0, size - 1):
                entry["range"] = [start, end - start + 1]
        kept.append(entry)
    return kept, problems


def _etag_of(rows: list[dict[str, Any]]) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    for row in rows:
        if "data" in row:
            digest.update(hashlib.md5(base64.b64decode(row["data"]), usedforsecurity=False).hexdigest().encode())
        elif row.get("range"):
            start, length = row["range"]
            digest.update(f"{row['hash']}:{start}-{start + length - 1};".encode())
        else:
            digest.update(row["hash"].encode())
    return digest.hexdigest()


# --- deleting


async def delete(call: Call) -> Response:
    """?multipart-manifest=delete: the segments, then the manifest, with a report as of bulk deletions."""
    from storage.api.swift import bulk

    bucket = call.bucket_or_refuse()
    call.allow_delete()
    names = await _all_names(call, bucket, call.container, call.key, 1)
    return await bulk.delete_names(call, names)


async def _all_names(call: Call, bucket: BucketInfo, container: str, key: bytes, depth: int) -> list[str]:
    from storage.api.swift.objects import _at, look

    try:
        version, properties = look(call, bucket, key, None)
    except NoSuchObject as error:
        if depth == 1:
            raise SwiftError(404) from error
        return [f"{container}/{key.decode()}"]
    found: list[str] = []
    if "slo" not in properties.extra:
        if depth == 1:
            raise SwiftError(400, "Not an SLO manifest")
        return [f"{container}/{key.decode()}"]
    for row in orjson.loads(await whole(call, version, properties)):
        if "data" in row:
            continue
        inner, _, name = row["name"].lstrip("/").partition("/")
        if row.get("sub_slo") and depth < DEPTH_MAX:
            at = _at(call, call.project, inner, name)
            await at.load()
            if at.info is not None:
                found += await _all_names(at, at.info, inner, at.key, depth + 1)
                continue
        found.append(row["name"].lstrip("/"))
    return [*dict.fromkeys(found), f"{container}/{key.decode()}"]
