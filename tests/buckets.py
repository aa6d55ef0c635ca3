"""An object store in memory, with as much of S3 as backups use; tests/contracts/test_backup_store.py holds it against the real one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from cloudbox.common.errors import NotFound, TooLarge, Unavailable
from cloudbox.common.object_client import Entry, Failure, Head, Page, Part, Upload


class _Download:
    def __init__(self, body: bytes) -> None:
        self._body = body
        self.head = Head({"content-length": str(len(body))})

    def __iter__(self) -> Iterator[bytes]:
        yield self._body

    def read(self, limit: int) -> bytes:
        if len(self._body) > limit:
            raise TooLarge(f"It is longer than {limit} bytes.")
        return self._body


@dataclass
class Buckets:
    """`objects` by bucket and name. `breaks_after`: so many requests from now on it answers no more; `locked`: what cannot be deleted."""

    objects: dict[str, dict[str, bytes]] = field(default_factory=lambda: {"safe": {}})
    breaks_after: int | None = None
    locked: set[str] = field(default_factory=set)
    puts: list[str] = field(default_factory=list)
    uploads: dict[str, dict[int, bytes]] = field(default_factory=dict)

    def _bucket(self, bucket: str) -> dict[str, bytes]:
        if self.breaks_after is not None:
            self.breaks_after -= 1
            if self.breaks_after < 0:
                raise Unavailable("The object store does not answer.")
        if bucket not in self.objects:
            raise NotFound(f"There is no bucket {bucket}.")
        return self.objects[bucket]

    def walk(self, bucket: str, *, prefix: str = "") -> Iterator[Entry]:
        there = self._bucket(bucket)
        return iter([Entry(key=key, size=len(there[key])) for key in sorted(there) if key.startswith(prefix)])

    def list_objects(self, bucket: str, *, prefix: str = "", delimiter: str = "", token: str = "") -> Page:
        there, entries, prefixes = self._bucket(bucket), [], set()
        for key in sorted(there):
            if key.startswith(prefix):
                rest = key.removeprefix(prefix)
                if delimiter and delimiter in rest:
                    prefixes.add(prefix + rest.partition(delimiter)[0] + delimiter)
                else:
                    entries.append(Entry(key=key, size=len(there[key])))
        return Page(entries, sorted(prefixes))

    @contextmanager
    def get(self, bucket: str, key: str) -> Iterator[_Download]:
        there = self._bucket(bucket)
        if key not in there:
            raise NotFound(f"There is no object {key}.")
        yield _Download(there[key])

    def put(self, bucket: str, key: str, body: bytes, *, content_type: str = "", headers: Mapping[str, str] | None = None) -> None:
        self._bucket(bucket)[key] = body
        self.puts.append(key)

    def create_bucket(self, bucket: str) -> None:
        self.objects.setdefault(bucket, {})
        self._bucket(bucket)

    def create_upload(self, bucket: str, key: str) -> str:
        self._bucket(bucket)
        self.uploads[f"upload of {key}"] = {}
        return f"upload of {key}"

    def list_uploads(self, bucket: str, *, prefix: str = "") -> Iterator[Upload]:
        self._bucket(bucket)
        found = [Upload(id.removeprefix("upload of "), id) for id in self.uploads]
        return iter([each for each in found if each.key.startswith(prefix)])

    def put_part(self, bucket: str, key: str, upload: str, number: int, body: bytes) -> Part:
        self._bucket(bucket)
        if upload not in self.uploads:
            raise NotFound("There is no such upload.")
        self.uploads[upload][number] = body
        return Part(number, f"{number}", len(body))

    def complete_upload(self, bucket: str, key: str, upload: str, parts: list[Part]) -> str:
        kept = self._bucket(bucket)
        there = self.uploads.pop(upload)
        kept[key] = b"".join(there[part.number] for part in parts)
        return ""

    def abort_upload(self, bucket: str, key: str, upload: str) -> None:
        self._bucket(bucket)
        self.uploads.pop(upload, None)

    def delete(self, bucket: str, key: str) -> None:
        self._bucket(bucket).pop(key, None)

    def delete_many(self, bucket: str, wanted: list[tuple[str, str]]) -> list[Failure]:
        there, failed = self._bucket(bucket), []
        for key, _ in wanted:
            if key in self.locked:
                failed.append(Failure(key, "", "AccessDenied", "It is locked."))
            else:
                there.pop(key, None)
        return failed
