"""Bytes to a request's head, strictly: what two readers could understand differently is refused (RFC 9112 sections 2, 3, 5 and 6).

llhttp (by httptools) reads the grammar: it refuses bare line feeds, folded lines, control characters, a second Content-Length, and
Content-Length beside Transfer-Encoding. What it leaves open is decided here. It is only ever shown heads: where a body ends is
counted by bodies.py, so that no byte of a body can be taken for a request.
"""

from __future__ import annotations

import re

import httptools

from storage.server.limits import Limits

END = b"\r\n\r\n"
_LENGTH = re.compile(r"[0-9]{1,18}", re.ASCII)
_HOST = re.compile(r"[0-9A-Za-z._~!$&'()*+,;=%:\[\]-]*", re.ASCII)

# Twice in one request these would mean one thing to us and another to whoever stands in front of us, or to a signature.
_ONCE = frozenset(
    "authorization content-length content-md5 content-range content-type date expect host if-modified-since if-unmodified-since "
    "range transfer-encoding x-amz-content-sha256 x-amz-date x-amz-decoded-content-length x-amz-security-token x-auth-token".split()
)
_COMMON = (
    "Host User-Agent Accept Accept-Encoding Connection Content-Length Content-Type Content-MD5 Content-Encoding Expect Range Date ETag "
    "Authorization Transfer-Encoding Cookie Origin Referer If-Match If-None-Match If-Modified-Since If-Unmodified-Since Cache-Control "
    "X-Amz-Date X-Amz-Content-Sha256 X-Amz-Security-Token X-Amz-Decoded-Content-Length X-Amz-Trailer X-Amz-Sdk-Checksum-Algorithm "
    "X-Amz-Acl X-Amz-Checksum-Crc32 X-Amz-Checksum-Crc32c X-Amz-Checksum-Crc64nvme X-Amz-Checksum-Sha256 X-Amz-Copy-Source "
    "X-Amz-User-Agent X-Auth-Token X-Storage-Token X-Forwarded-For Amz-Sdk-Invocation-Id Amz-Sdk-Request"
)
# Names are compared in lower case; the usual spellings are looked up instead of being decoded each time.
_NAMES = {spelling.encode(): name.lower() for name in _COMMON.split() for spelling in (name, name.lower())}
_METHODS = {m.encode(): m for m in ("GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "COPY", "PATCH", "CONNECT", "TRACE")}


class HeadError(Exception):
    """The head cannot be served; `status` and a sentence say why. The connection ends with it."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class Head:
    """What a head says. `length` is None when the body is chunked."""

    __slots__ = ("expects", "headers", "keep_alive", "length", "method", "old", "path", "query")

    method: str
    path: bytes
    query: bytes
    headers: dict[str, str]
    length: int | None
    keep_alive: bool
    old: bool  # HTTP/1.0
    expects: bool  # the client waits for "100 Continue"


class HeadParser:
    """Reads heads of one connection, one after the other. A head may be fed in pieces; broken ones are noticed as early as may be."""

    __slots__ = ("_complete", "_count", "_headers", "_host", "_limits", "_parser", "_target")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._host = ""  # the last one that was found good
        self._begin()
        self._parser = httptools.HttpRequestParser(self)

    def _begin(self) -> None:
        self._target = b""
        self._headers: dict[str, str] = {}
        self._count = 0
        self._complete = False

    # --- what httptools calls

    def on_url(self, piece: bytes) -> None:
        self._target += piece

    def on_header(self, name: bytes, value: bytes) -> None:
        key = _NAMES.get(name) or name.decode("ascii").lower()
        text = value.decode("latin-1").rstrip(" \t")  # llhttp takes away the space before it only
        if key in self._headers:
            if key in _ONCE:
                raise HeadError(400, f"The header {key} came twice.")
            text = f"{self._headers[key]},{text}"
            self._count += 1
        self._headers[key] = text

    def on_headers_complete(self) -> None:
        self._complete = True

    # ---

    def feed(self, data: bytes, whole: bytes) -> Head | None:
        """`data` ends with the head's end, or before it; `whole` is the head from its beginning, with or without what follows it.

        Returns the head, or None if it goes on. Raises HeadError.
        """
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # No upgrade is offered, and a server may go on as if none had been asked for (RFC 9110 section 7.8).
        except httptools.HttpParserInvalidMethodError as error:
            raise HeadError(400, "No such method is served here.") from error
        except httptools.HttpParserCallbackError as error:
            if isinstance(error.__context__, HeadError):
                raise error.__context__ from None
            raise HeadError(400, "The request has characters where they may not be.") from error
        except httptools.HttpParserError as error:
            raise HeadError(400, f"The request is not HTTP: {error}.") from error
        if not self._complete:
            if len(self._target) > self._limits.target_max_bytes:
                raise HeadError(414, f"The address is longer than {self._limits.target_max_bytes} bytes.")
            return None
        head = self._head(self._version(whole))
        self._begin()
        if head.length != 0 or head.method == "CONNECT" or "upgrade" in head.headers:
            self._parser = httptools.HttpRequestParser(self)  # the old one would wait for the body
        return head

    @staticmethod
    def _version(whole: bytes) -> bytes:
        """llhttp also speaks of other protocols (RTSP, ICE), so the line's own end is looked at."""
        end = whole.find(b"\r\n")
        if end < 2:  # empty lines before
            whole = whole.lstrip(b"\r\n")
            end = whole.find(b"\r\n")
        word = whole[end - 9 : end]
        if word != b" HTTP/1.1" and word != b" HTTP/1.0":
            raise HeadError(505, "This server speaks HTTP/1.1.")
        return word

    def _head(self, version: bytes) -> Head:
        limits, headers, target = self._limits, self._headers, self._target
        if len(headers) + self._count > limits.headers_max:
            raise HeadError(431, f"There are more than {limits.headers_max} headers.")
        if len(target) > limits.target_max_bytes:
            raise HeadError(414, f"The address is longer than {limits.target_max_bytes} bytes.")
        if b"#" in target:
            raise HeadError(400, "The address has a fragment, which is the client's own business.")
        head = Head()
        head.old = version == b" HTTP/1.0"
        method = _METHODS.get(self._parser.get_method())
        if method is None or method == "CONNECT" or method == "TRACE":
            raise HeadError(501, "No such method is served here.")
        head.method = method
        if not target.startswith(b"/"):
            target = self._absolute(target)
        head.path, _, head.query = target.partition(b"?")
        host = headers.get("host")
        if host is None:
            if not head.old:
                raise HeadError(400, "The header Host is missing.")
        elif host != self._host:  # A connection's requests name the same one nearly always.
            if not _HOST.fullmatch(host):
                raise HeadError(400, "The header Host is not a name.")
            self._host = host
        head.headers = headers
        head.length = self._length(old=head.old) if "content-length" in headers or "transfer-encoding" in headers else 0
        head.keep_alive = not head.old
        if "connection" in headers:
            options = headers["connection"].lower()
            if "close" in options:
                head.keep_alive = False
        head.expects = False
        if "expect" in headers:
            # RFC 9110, section 10.1.1, lets a server pass over other expectations, and S3's clients send odd ones.
            head.expects = headers["expect"].lower() == "100-continue" and not head.old
        return head

    def _absolute(self, target: bytes) -> bytes:
        """The form that is meant for proxies: its host counts, not the header's (RFC 9112 section 3.2.2)."""
        if target == b"*":
            return target
        scheme, mark, rest = target.partition(b"://")
        if not mark or scheme.lower() not in (b"http", b"https"):
            raise HeadError(400, "The address has to begin with a slash.")
        host, slash, path = rest.partition(b"/")
        host, question, query = host.partition(b"?")
        self._headers["host"] = host.decode("latin-1")
        return b"/" + (question + query if question else path if slash else b"")

    def _length(self, *, old: bool) -> int | None:
        coding = self._headers.get("transfer-encoding")
        length = self._headers.get("content-length")
        if coding is not None:
            if length is not None:
                raise HeadError(400, "Content-Length and Transfer-Encoding exclude each other.")
            if old:
                raise HeadError(400, "HTTP/1.0 has no Transfer-Encoding.")
            if coding.lower() != "chunked":
                raise HeadError(501, "The only Transfer-Encoding served here is chunked.")
            return None
        assert length is not None
        if not _LENGTH.fullmatch(length):
            raise HeadError(400, "The header Content-Length is not a number of bytes.")
        bytes_ = int(length)
        if bytes_ > self._limits.body_max_bytes:
            raise HeadError(413, f"The body is larger than {self._limits.body_max_bytes} bytes.")
        return bytes_
