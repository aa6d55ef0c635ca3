"""Browser forms (multipart/form-data, RFC 7578): the fields before the file, then the file as a stream."""

from __future__ import annotations

import re

from storage.api.s3.errors import S3Error
from storage.server import Body

FIELDS_MAX_BYTES = 64 << 10
FIELDS_MAX = 100
_READ = 256 << 10
_DISPOSITION = re.compile(rb"content-disposition:\s*form-data\s*;(.*)", re.IGNORECASE | re.DOTALL)
_PARAMETER = re.compile(rb'\s*([a-z0-9*_-]+)="((?:[^"\\]|\\.)*)"|\s*([a-z0-9*_-]+)=([^;\s]+)', re.IGNORECASE)


def _malformed(message: str = "The body of your POST request is not well-formed multipart/form-data.") -> S3Error:
    return S3Error("MalformedPOSTRequest", message)


def boundary_of(content_type: str) -> bytes:
    kind, _, rest = content_type.partition(";")
    found = re.search(r'boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))', rest)
    if kind.strip().lower() != "multipart/form-data" or found is None:
        raise S3Error("PreconditionFailed", "Bucket POST must be of the enclosure-type multipart/form-data")
    return (found[1] or found[2]).encode("latin-1")


class Form:
    """The form of one request. After `read_fields` it is a source of the file's bytes (see storage.objects.Source)."""

    def __init__(self, body: Body, content_type: str) -> None:
        self._body = body
        self._mark = b"\r\n--" + boundary_of(content_type)
        self._buffer = b"\r\n"  # So that the first boundary looks like all others.
        self._ended = False
        self.fields: dict[str, str] = {}  # Names in lower case.
        self.names: dict[str, str] = {}  # Lower case -> as given.
        self.file_name = ""
        self.file_type = ""
        self.length: int | None = None

    async def _more(self) -> bool:
        piece = await self._body.read(_READ)
        self._buffer += piece
        return bool(piece)

    async def _until(self, mark: bytes, limit: int) -> bytes:
        """What comes before `mark`, which is taken away as well."""
        start = 0
        while (at := self._buffer.find(mark, start)) < 0:
            start = max(0, len(self._buffer) - len(mark))
            if len(self._buffer) > limit:
                raise S3Error("MaxPostPreDataLengthExceededError", "Your POST request fields preceding the upload file were too large.")
            if not await self._more():
                raise _malformed()
        found, self._buffer = self._buffer[:at], self._buffer[at + len(mark) :]
        return found

    async def read_fields(self) -> None:
        """All fields up to the file. Raises S3Error if there is no file."""
        if await self._until(self._mark, FIELDS_MAX_BYTES):
            raise _malformed()
        size = 0
        while True:
            if not await self._next_part():
                raise S3Error(
                    "InvalidArgument", "POST requires exactly one file upload per request.", ArgumentName="file", ArgumentValue="0"
                )
            name, file_name, kind = self._described(await self._until(b"\r\n\r\n", FIELDS_MAX_BYTES))
            if name.lower() == "file":
                self.file_name, self.file_type = file_name, kind
                return
            value = await self._until(self._mark, FIELDS_MAX_BYTES)
            size += len(name) + len(value)
            if size > FIELDS_MAX_BYTES or len(self.fields) >= FIELDS_MAX:
                raise S3Error("MaxPostPreDataLengthExceededError", "Your POST request fields preceding the upload file were too large.")
            self.fields[name.lower()] = value.decode("utf-8", "surrogateescape")
            self.names[name.lower()] = name

    async def _next_part(self) -> bool:
        """Behind a boundary: True if a part follows, False if it was the last."""
        while len(self._buffer) < 2:
            if not await self._more():
                raise _malformed()
        if self._buffer.startswith(b"--"):
            return False
        if not self._buffer.startswith(b"\r\n"):
            raise _malformed()
        self._buffer = self._buffer[2:]
        return True

    def _described(self, head: bytes) -> tuple[str, str, str]:
        """(name, file name, content type) of a part."""
        name = file_name = kind = ""
        for line in head.split(b"\r\n"):
            found = _DISPOSITION.match(line)
            if found:
                for match in _PARAMETER.finditer(found[1]):
                    key = (match[1] or match[3]).lower()
                    # Browsers leave a backslash as it is; only before a quote is it more than itself.
                    value = re.sub(rb'\\(")', rb"\1", match[2] if match[1] else match[4]).decode("utf-8", "surrogateescape")
                    if key == b"name":
                        name = value
                    elif key == b"filename":
                        file_name = value
            elif line[:13].lower() == b"content-type:":
                kind = line[13:].strip().decode("latin-1")
        if not name:
            raise _malformed("A part of the form has no name.")
        return name, file_name, kind

    # --- the file

    async def read(self, limit: int = 1 << 20) -> bytes:
        if self._ended:
            return b""
        while (at := self._buffer.find(self._mark)) < 0:
            safe = len(self._buffer) - len(self._mark)
            if safe > 0:
                found, self._buffer = self._buffer[:safe], self._buffer[safe:]
                return found
            if not await self._more():
                raise S3Error("IncompleteBody", "The body ended before the form did.")
        found, self._buffer = self._buffer[:at], self._buffer[at:]
        if found:
            return found
        self._ended = True
        await self._rest()
        return b""

    async def _rest(self) -> None:
        """Fields behind the file are passed over, as S3 passes over them; the bytes have to be read."""
        left = FIELDS_MAX_BYTES
        self._buffer = b""
        while left > 0 and (piece := await self._body.read(_READ)):
            left -= len(piece)

    async def read_all(self, limit: int) -> bytes:
        pieces = []
        while piece := await self.read():
            pieces.append(piece)
        return b"".join(pieces)
