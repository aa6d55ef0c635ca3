"""TempURL: an address that is good for one method until a moment, signed with a key of the account or the container.

Public document: "TempURL" in Swift's middleware documentation.
"""

from __future__ import annotations

import base64
import calendar
import hmac
import ipaddress
import re
import time
from urllib.parse import quote

from storage.api.swift import headers
from storage.api.swift.call import Call, swift_of
from storage.api.swift.errors import SwiftError
from storage.api.swift.info import DIGESTS, TEMPURL_METHODS
from storage.server import Response

_HEX = {40: "sha1", 64: "sha256", 128: "sha512"}
_KEYS = ("temp-url-key", "temp-url-key-2")
_LINK_WORDS = re.compile(r"[\r\n]")


def is_asked(call: Call) -> bool:
    return "temp_url_sig" in call.query or "temp_url_expires" in call.query


def keys_of(meta: dict[str, str]) -> list[str]:
    return [meta[name] for name in _KEYS if meta.get(name)]


def all_keys(call: Call) -> list[str]:
    """Of the account, then of the container."""
    account = keys_of(call.account.documents.get("meta", {})) if call.account else []
    return account + (keys_of(swift_of(call.info).get("meta", {})) if call.info else [])


def expires_of(text: str) -> int:
    """Seconds since 1970, from those or from a time in ISO 8601; 0 for neither."""
    if text.isdecimal() and len(text) < 16:
        return int(text)
    for form in ("%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d"):
        try:
            return calendar.timegm(time.strptime(text, form))
        except ValueError:
            continue
    return 0


def signature_of(text: str) -> tuple[str, str] | None:
    """(digest, signature in hexadecimal) as clients write it: bare, or as <digest>:<Base64>."""
    name, colon, encoded = text.partition(":")
    if colon:
        try:
            raw = base64.b64decode(encoded.replace("-", "+").replace("_", "/") + "=" * (-len(encoded) % 4))
        except ValueError:
            return None
        return (name, raw.hex()) if name in DIGESTS else None
    return (_HEX[len(text)], text) if len(text) in _HEX else None


def check(call: Call) -> None:
    """Let the call in by its signature, or 401. It is then good for the address's object (or prefix) alone."""
    query = call.query
    found = signature_of(query.get("temp_url_sig", ""))
    expires = expires_of(query.get("temp_url_expires", ""))
    prefix, network = query.get("temp_url_prefix"), query.get("temp_url_ip_range")
    # A folder of a static site, or all of it, has an address of its own.
    whole = prefix is not None and call.method in ("GET", "HEAD")
    if found is None or not expires or not call.container or not (call.object or whole) or call.method not in TEMPURL_METHODS:
        raise _invalid()
    if expires < time.time() or (prefix is not None and not call.object.startswith(prefix)) or not _is_within(call, network):
        raise _invalid()
    if "x-object-manifest" in call.headers and call.method in ("PUT", "POST"):
        raise SwiftError(400, "X-Object-Manifest not allowed in a TempURL PUT.")
    if "x-symlink-target" in call.headers or "x-copy-from" in call.headers:
        raise SwiftError(400, "Neither links nor copies are made by a TempURL.")
    digest, signature = found
    path = f"/v1/{call.account_name}/{call.container}/{prefix if prefix is not None else call.object}"
    scoped = f"prefix:{path}" if prefix is not None else path
    methods = {"GET": ("GET",), "HEAD": ("HEAD", "GET", "PUT", "POST", "DELETE")}.get(call.method, (call.method,))
    of_account = len(keys_of(call.account.documents.get("meta", {}))) if call.account else 0
    for number, key in enumerate(all_keys(call)):
        for method in methods:
            # The path is signed as it was sent, decoded: both spellings of clients are the same bytes here.
            text = f"{f'ip={network}{chr(10)}' if network else ''}{method}\n{expires}\n{scoped}"
            if hmac.compare_digest(hmac.new(headers.utf8(key).encode(), text.encode(), digest).hexdigest(), signature.lower()):
                call.signed_for, call.signed_project = methods, call.project
                call.signed_prefix, call.signed_exact = (call.object, True) if prefix is None else (prefix, False)
                if number >= of_account and call.info is not None:
                    call.signed_bucket = call.info.id
                # What is signed is the object as it is now.
                call.query.pop("version-id", None)
                return
    raise _invalid()


def _invalid() -> SwiftError:
    return SwiftError(401, "401 Unauthorized: Temp URL invalid\n", {"Content-Type": "text/plain"})


def _is_within(call: Call, network: str | None) -> bool:
    if network is None:
        return True
    try:
        return ipaddress.ip_address(call.request.peer) in ipaddress.ip_network(network)
    except ValueError:
        return False


def clean(call: Call, response: Response) -> None:
    """What leaves by a TempURL: no metadata but X-Object-Meta-Public-*, and a name to save the download under."""
    found = dict(response.headers)
    for name in list(found):
        lower = name.lower()
        if lower.startswith("x-object-meta-") and not lower.startswith("x-object-meta-public-"):
            del found[name]
    if call.method in ("GET", "HEAD") and response.status in (200, 206):
        found |= _disposition(call, found)
        expires = expires_of(call.query["temp_url_expires"])
        found["Expires"] = headers.http_date(expires)
    response.headers = found


def _disposition(call: Call, found: dict[str, str]) -> dict[str, str]:
    query = call.query
    if "inline" in query and "filename" not in query:
        return {"Content-Disposition": "inline"}
    kind = "inline" if "inline" in query else "attachment"
    name = query.get("filename")
    if name is None:
        if "Content-Disposition" in found:
            return {}
        name = call.object.rstrip("/").rpartition("/")[2]
    plain = quote(name, safe=" /") if not name.isascii() else name
    simple = _LINK_WORDS.sub("", plain.replace('"', "%22"))
    return {"Content-Disposition": f"{kind}; filename=\"{simple}\"; filename*=UTF-8''{quote(name, safe='')}"}
