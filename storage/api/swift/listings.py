"""Lists of containers and objects, as text, JSON or XML."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import orjson

from storage.api.swift import headers as fields
from storage.api.swift.call import Call
from storage.api.swift.errors import SwiftError
from storage.api.swift.info import LISTING_MAX
from storage.engine import Version
from storage.properties import Properties, unpack
from storage.server import Response

TYPES = {"plain": "text/plain", "json": "application/json", "xml": "application/xml"}
_BY_TYPE = {"text/plain": "plain", "application/json": "json", "application/xml": "xml", "text/xml": "xml"}
Row = dict[str, Any]
# What stands in for an object in the lists of versions where it was deleted.
DELETED = "application/x-deleted;swift_versions_deleted=1"


def kind_of(call: Call) -> tuple[str, str]:
    """(format, content type) that the client wants, by `format` or Accept; 406 if it takes none of ours."""
    wanted = call.query.get("format", "").lower()
    if call.flag("versions"):
        # Versions are told in JSON alone.
        if wanted not in ("", "json") or (not wanted and not _takes_json(call.header("accept") or "*/*")):
            raise SwiftError(406)
        wanted = "json"
    if wanted:
        kind = wanted if wanted in TYPES else "plain"
        return kind, TYPES[kind]
    accept = call.header("accept")
    if not accept:
        return "plain", TYPES["plain"]
    best: tuple[float, int, str] | None = None
    for number, item in enumerate(accept.split(",")):
        name, *parameters = (part.strip() for part in item.split(";"))
        weight = 1.0
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key.strip() == "q":
                try:
                    weight = float(value)
                except ValueError as error:
                    raise SwiftError(400, f"Invalid Accept header: {accept[:200]}") from error
                if not 0 <= weight <= 1:
                    raise SwiftError(400, f"Invalid Accept header: {accept[:200]}")
        if "/" not in name:
            raise SwiftError(400, f"Invalid Accept header: {accept[:200]}")
        found = (
            name.lower()
            if name.lower() in _BY_TYPE
            else "text/plain"
            if name in ("*/*", "text/*")
            else "application/json"
            if name == "application/*"
            else ""
        )
        if found and weight > 0 and (best is None or weight > best[0]):
            best = (weight, -number, found)
    if best is None:
        raise SwiftError(406)
    return _BY_TYPE[best[2]], best[2]


def _takes_json(accept: str) -> bool:
    return any(one.partition(";")[0].strip() in ("application/json", "application/*", "*/*") for one in accept.split(","))


def limit_of(call: Call) -> int:
    text = call.query.get("limit", "")
    if not text:
        return LISTING_MAX
    try:
        limit = int(text)
    except ValueError:
        return LISTING_MAX
    if limit < 0:
        return LISTING_MAX
    if limit > LISTING_MAX:
        raise SwiftError(412, f"Maximum limit is {LISTING_MAX}")
    return limit


def reverse_of(call: Call) -> bool:
    return call.query.get("reverse", "").lower() in ("true", "1", "yes", "on", "t", "y")


def answer(call: Call, rows: Sequence[Row], headers: dict[str, str], *, root: str, name: str, element: str) -> Response:
    """The rows in the wanted form; each has `name`, or `subdir`."""
    kind, content_type = kind_of(call)
    headers = headers | {"Content-Type": f"{content_type}; charset=utf-8", "Vary": "Accept"}
    if kind == "json":
        body = orjson.dumps(list(rows))
    elif kind == "xml":
        inner = "".join(_element(row, element) for row in rows)
        body = f'<?xml version="1.0" encoding="UTF-8"?>\n<{root} name={quoteattr(name)}>{inner}</{root}>'.encode()
    else:
        body = "".join(f"{row.get('name', row.get('subdir'))}\n" for row in rows).encode()
        if not rows:
            return Response(204, headers)
    if call.method == "HEAD":
        return Response(204, headers)
    return Response(200, headers, body)


def _element(row: Row, element: str) -> str:
    if "subdir" in row:
        return f"<subdir name={quoteattr(row['subdir'])}><name>{escape(row['subdir'])}</name></subdir>"
    inner = "".join(f"<{key}>{escape(_xml(value))}</{key}>" for key, value in row.items())
    return f"<{element}>{inner}</{element}>"


def _xml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


# --- rows


def object_row(version: Version) -> Row:
    properties = unpack(version.meta)
    size, etag = length_and_etag(version, properties)
    found: Row = {
        "name": version.name.decode("utf-8", "replace"),
        "hash": etag,
        "bytes": size,
        "content_type": fields.utf8(properties.content_type or fields.OCTETS),
        "last_modified": fields.iso(fields.changed_ns(version, properties)),
    }
    if "slo" in properties.extra:
        found["slo_etag"] = f'"{properties.extra["slo"]["etag"]}"'
    if "symlink" in properties.extra:
        link = properties.extra["symlink"]
        found["symlink_path"] = f"/v1/{fields.quoted_path(link['account'], link['container'], link['object'])}"
        if link.get("slo_etag"):
            found["slo_etag"] = f'"{link["slo_etag"]}"'
        if link.get("etag"):
            found["symlink_etag"], found["symlink_bytes"] = link["etag"], link["bytes"]
    return found


def length_and_etag(version: Version, properties: Properties) -> tuple[int, str]:
    """As listings tell: of a static large object the sum of its segments' sizes, but the manifest's own digest."""
    slo = properties.extra.get("slo")
    return (slo["size"] if slo else version.size), version.etag
