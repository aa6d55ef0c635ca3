"""The box's own pages as callers: they upload and show objects by presigned addresses from another origin, whose bucket need not
know of CORS; and what answers to presigned addresses may do in a browser.

Only requests that are signed in their query are let in so, since such a signature was made by the portal for just this request: no
cookie, no password of a browser takes part, and credentials are not allowed. The signed query may itself name the origin that it is
for (behind a forwarded port nobody else knows it). Other origins still need the bucket's own rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import unquote, urlsplit

METHODS = "GET, HEAD, PUT"
EXPOSED = "ETag, Content-Length, Content-Range, Content-Type, Last-Modified, x-amz-checksum-crc32, x-amz-request-id, x-amz-version-id"
PREFLIGHT_SECONDS = 600
ORIGIN = "x-cloudbox-origin"
_PORTS = {"http": 80, "https": 443}
_HEADERS = ("content-type", "content-md5", "range", "if-match", "if-none-match")
# What somebody uploaded is shown under the host name of the portal: it is shown, and never run. Scripts, forms and frames stay off;
# pictures, sound and film are what they are. A PDF is left out: viewers of browsers refuse to work inside a sandbox, and run no page.
SANDBOX = "default-src 'none'; img-src 'self' data:; media-src 'self'; style-src 'unsafe-inline'; sandbox"


class Portal:
    """Which origins are the box's own pages: those named, and every host name that this request came by, on one of these ports."""

    def __init__(self, origins: Iterable[str] = (), ports: Iterable[int] = ()) -> None:
        self.origins, self.ports = frozenset(map(_origin, origins)) - {None}, frozenset(ports)

    def includes(self, origin: str, host: str) -> bool:
        """`origin` and `host` as the headers say them. People call a box by many names, but by the same for portal and store."""
        parsed = _origin(origin)
        if parsed is None:
            return False
        return parsed in self.origins or (parsed[2] in self.ports and parsed[1] == _name(host))


def _origin(text: str) -> tuple[str, str, int] | None:
    try:
        parts = urlsplit(text)
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return None
    if parts.scheme not in _PORTS or not parts.hostname or port is None or parts.path or parts.query or parts.username:
        return None
    return parts.scheme, parts.hostname, port


def _name(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def is_presigned(query: bytes) -> bool:
    return b"X-Amz-Signature=" in query


def is_named(origin: str, query: bytes) -> bool:
    """Does the query say that it is for this origin? Whoever alters it there breaks the signature."""
    return any(
        unquote(value.decode("latin-1")) == origin
        for name, _, value in (pair.partition(b"=") for pair in query.split(b"&"))
        if name == ORIGIN.encode()
    )


def headers_for(origin: str, requested: str = "") -> dict[str, str]:
    """Of an answer, or of a preflight that names the headers it wants to send."""
    names = [name.strip().lower() for name in requested.split(",")]
    allowed = [name for name in names if name in _HEADERS or name.startswith("x-amz-")]
    found = {"Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": EXPOSED, "Vary": "Origin"}
    if requested:
        found["Access-Control-Allow-Headers"] = ", ".join(allowed)
        found["Vary"] = "Origin, Access-Control-Request-Headers, Access-Control-Request-Method"
    return found


def preflight(origin: str, requested: str) -> dict[str, str]:
    return headers_for(origin, requested) | {
        "Access-Control-Allow-Methods": METHODS,
        "Access-Control-Max-Age": str(PREFLIGHT_SECONDS),
    }


def guarded(headers: Mapping[str, str]) -> dict[str, str]:
    """What is added to the answer to a presigned GET: see SANDBOX."""
    kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    found = {"X-Content-Type-Options": "nosniff"}
    return found if kind == "application/pdf" else found | {"Content-Security-Policy": SANDBOX}


def of_box(box: Mapping[str, object]) -> Portal:
    """From box.json: the portal's port, the address that people are told, and further ones (`portal_origins`: a proxy's, say)."""
    more = box.get("portal_origins") or ()
    assert isinstance(more, list | tuple)
    urls = [str(url) for url in (box.get("url"), *more) if url]
    port = box.get("port")
    # The address that people are told may have a path; an origin has none.
    return Portal([f"{p.scheme}://{p.netloc}" for p in map(urlsplit, urls)], [int(port)] if isinstance(port, int) else [])
