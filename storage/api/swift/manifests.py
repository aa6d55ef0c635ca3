"""Manifests of static large objects: written, checked, deleted together with their segments."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import AsyncIterator
from typing import Any

import orjson

from storage import encryption, manifests, objects
from storage.api.swift import bulk, headers, symlinks, versions
from storage.api.swift.call import Call
from storage.api.swift.errors import PLAIN, REASONS, SwiftError
from storage.api.swift.found import at_object, look
from storage.api.swift.history import version_id_of
from storage.api.swift.info import FILE_BYTES_MAX, MANIFEST_BYTES_MAX, SEGMENTS_MAX
from storage.api.swift.writing import Bytes, Md5, check_quotas, dress, written
from storage.directory import BucketInfo
from storage.engine import Version
from storage.errors import NoSuchObject, NoSuchVersion
from storage.manifests import DEPTH_MAX
from storage.objects import Write
from storage.properties import Properties
from storage.server import BodyTooLarge, Response


async def put(call: Call) -> Response:
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
            return _heartbeat(call, 400, {}, problems)
        raise _refused(problems)
    etag = _etag_of(kept)
    size = sum(
        row["range"][1] if row.get("range") else row["bytes"] if "data" not in row else len(base64.b64decode(row["data"])) for row in kept
    )
    given = (call.header("etag") or "").strip().strip('"').lower()
    if given and given != etag:
        if heartbeat:
            return _heartbeat(call, 422, {}, [])
        raise SwiftError(422)
    properties.extra["slo"] = {"etag": etag, "size": size, "segments": len(kept)}
    dress(bucket, properties)
    await check_quotas(call, bucket, 0)
    await versions.keep(call, bucket, call.key)
    text_body = orjson.dumps(kept)
    write = Write(
        properties,
        encryption.wish_of(bucket.documents),
        None,
        headers.write_condition(call),
        FILE_BYTES_MAX,
        key_project=bucket.owner,
        cause=call.cause("ObjectCreated:Put"),
    )
    version = await objects.put(call.plane, bucket, call.key, Bytes(text_body), Md5(), write)
    answer = written(bucket, version, properties)
    answer.headers = {**answer.headers, "Etag": f'"{etag}"'}
    if heartbeat:
        return _heartbeat(call, 201, {"Etag": f'"{etag}"', "Last Modified": answer.headers["Last-Modified"]}, [])
    return answer


def _refused(problems: list[tuple[str, str]]) -> SwiftError:
    return SwiftError(400, "Errors:\n" + "\n".join(f"{name}, {why}" for name, why in problems) + "\n")


async def check_segments(
    call: Call, version: Version, properties: Properties, project: str, into: BucketInfo, target: tuple[str, str]
) -> None:
    """Before a manifest is copied: where it goes, its segments must be there and readable as well. 400 with what is wrong."""
    rows = [
        {"data": row["data"]} if "data" in row else {"path": row["name"], "etag": row["hash"], "size_bytes": row["bytes"]}
        for row in await manifests.rows_of(call.plane, version, properties)
    ]
    at = at_object(call, project, *target)
    at.info = into
    _, problems = await _look_up(at, rows)
    if problems:
        raise _refused(problems)


def _is_json(call: Call) -> bool:
    return "application/json" in (call.header("accept") or "")


def _heartbeat(call: Call, status: int, facts: dict[str, str], problems: list[tuple[str, str]]) -> Response:
    """202 at once, the outcome in the body: for clients behind impatient balancers. Here it is known already."""
    title, text = REASONS.get(status, ("Created", ""))
    told = {"Response Status": f"{status} {title}", "Response Body": f"{title}\n{text}" if text else "", **facts}
    if _is_json(call):
        body, kind = orjson.dumps({**told, "Errors": problems}), "application/json; charset=UTF-8"
    else:
        lines = [f"{key}: {value}" for key, value in told.items()] + ["Errors:"] + [f"{name}, {why}" for name, why in problems]
        body, kind = ("\n".join(lines) + "\n").encode(), PLAIN

    async def pieces() -> AsyncIterator[bytes]:
        yield b" \n\r\n"
        yield body

    return Response(202, {"Content-Type": kind}, pieces())


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
    kept: list[dict[str, Any]] = []
    problems: list[tuple[str, str]] = []
    for row in rows:
        if "data" in row:
            kept.append({"data": base64.b64encode(base64.b64decode(row["data"])).decode()})
            continue
        container, _, name = row["path"].lstrip("/").partition("/")
        shown = f"/{container}/{name}"
        told = headers.quoted_path(row["path"])
        at = at_object(call, call.project, container, name)
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
    bucket = call.bucket_or_refuse()
    call.allow_delete()
    version_id = version_id_of(call)
    names = await _all_names(call, bucket, call.container, call.key, 1, version_id)
    return await bulk.delete_names(call, names, version_id=version_id)


async def _all_names(call: Call, bucket: BucketInfo, container: str, key: bytes, depth: int, version_id: str | None = None) -> list[str]:
    try:
        version, properties = look(call, bucket, key, version_id)
    except (NoSuchObject, NoSuchVersion) as error:
        if depth == 1:
            raise SwiftError(404) from error
        return [f"{container}/{key.decode()}"]
    found: list[str] = []
    if "slo" not in properties.extra:
        if depth == 1:
            raise SwiftError(400, "Not an SLO manifest")
        return [f"{container}/{key.decode()}"]
    for row in await manifests.rows_of(call.plane, version, properties):
        if "data" in row:
            continue
        inner, _, name = row["name"].lstrip("/").partition("/")
        if row.get("sub_slo") and depth < DEPTH_MAX:
            at = at_object(call, call.project, inner, name)
            await at.load()
            if at.info is not None:
                found += await _all_names(at, at.info, inner, at.key, depth + 1)
                continue
        found.append(row["name"].lstrip("/"))
    return [*dict.fromkeys(found), f"{container}/{key.decode()}"]
