"""A vault in a bucket, by S3: chunks in and out, tables, manifests. Whoever writes here has the lock of the disk's chain."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from threading import Lock
from typing import Any, Protocol
from uuid import UUID

from cloudbox.common import object_client
from cloudbox.common.errors import CloudError, Conflict, NotFound
from cloudbox.common.object_client import ObjectClient
from cloudbox.common.object_signing import Keys
from compute.backup_store.format import (
    CHUNK_BYTES,
    MANIFEST_BYTES_MAX,
    OVERHEAD_BYTES,
    ROW_BYTES,
    Codec,
    Damaged,
    Manifest,
    Table,
    manifest_of,
)

KEYS_SECONDS, KEYS_SPARE_SECONDS = 3600, 600
VAULT_BYTES_MAX = 64 * 1024
SHARED_CHUNKS_MAX = 4  # of one restore in memory


class Store(Protocol):
    """What is needed of an object store: part of `ObjectClient`."""

    def walk(self, bucket: str, *, prefix: str = "") -> Iterator[object_client.Entry]: ...

    def list_objects(self, bucket: str, *, prefix: str = "", delimiter: str = "", token: str = "") -> object_client.Page: ...

    def get(self, bucket: str, key: str) -> AbstractContextManager[Any]: ...

    def put(self, bucket: str, key: str, body: bytes, *, content_type: str = "", headers: Mapping[str, str] | None = None) -> Any: ...

    def delete_many(self, bucket: str, wanted: list[tuple[str, str]]) -> list[Any]: ...


def service_keys(project_id: UUID) -> Callable[[], Keys]:
    """Keys of the box as an admin of the project, renewed before they end."""
    from identity import temporary

    lock, state = Lock(), {"until": 0.0, "keys": Keys("", "")}

    def current() -> Keys:
        with lock:
            if state["until"] < time.time() + KEYS_SPARE_SECONDS:  # type: ignore[operator]
                given = temporary.issue_for_service(project=project_id, seconds=KEYS_SECONDS)
                state["keys"], state["until"] = Keys(given.access_key, given.secret_key, given.session_token), given.expires_at
            return state["keys"]  # type: ignore[return-value]

    return current


def store_of(project_id: UUID) -> Store:
    """The box's object store as the project sees it. NotSupported on a box without one."""
    return ObjectClient(object_client.endpoint(), service_keys(project_id))  # type: ignore[return-value]


class Repository:
    def __init__(self, store: Store, bucket: str, prefix: str, codec: Codec) -> None:
        self._store, self.bucket, self.prefix, self.codec = store, bucket, prefix, codec

    def __repr__(self) -> str:
        return f"Repository({self.bucket}/{self.prefix})"

    # --- the vault itself

    def vault(self) -> bytes | None:
        """What vault.json says; None: there is no vault here."""
        try:
            return self._read("vault.json", VAULT_BYTES_MAX)
        except NotFound:
            # Whether it is the object that is missing or the bucket: only the second is an error.
            next(iter(self._store.walk(self.bucket, prefix=f"{self.prefix}vault.json")), None)
            return None

    def put_vault(self, text: bytes) -> None:
        self._store.put(self.bucket, f"{self.prefix}vault.json", text, content_type="application/json")

    # --- chunks

    def chunk_name(self, disk_id: UUID, digest: bytes) -> str:
        text = digest.hex()
        return f"{disk_id}/chunks/{text[:2]}/{text}"

    def chunks(self, disk_id: UUID) -> dict[bytes, int]:
        """Every chunk of the disk that is in the bucket, and what it takes."""
        found = {}
        for entry in self._store.walk(self.bucket, prefix=f"{self.prefix}{disk_id}/chunks/"):
            text = entry.key.rpartition("/")[2]
            try:
                digest = bytes.fromhex(text)
            except ValueError:
                continue  # somebody else's object in our folder: none of ours to use or to delete
            if len(digest) == 32:
                found[digest] = entry.size
        return found

    def put_chunk(self, disk_id: UUID, digest: bytes, data: bytes) -> int:
        """Store it; gives what it takes."""
        name = self.chunk_name(disk_id, digest)
        body = self.codec.seal(data, name)
        self._store.put(self.bucket, self.prefix + name, body, content_type="application/octet-stream")
        return len(body)

    def chunk(self, disk_id: UUID, digest: bytes, *, length: int) -> bytes:
        """The bytes that were stored, proven by their digest. Damaged when they are not; NotFound never: a missing chunk is damage."""
        name = self.chunk_name(disk_id, digest)
        try:
            data = self.codec.open(self._read(name, CHUNK_BYTES + OVERHEAD_BYTES), name, limit=CHUNK_BYTES)
        except NotFound as error:
            raise Damaged(f"{name} is missing in the bucket {self.bucket}.", resource=name) from error
        if len(data) != length or self.codec.digest(data) != digest:
            raise Damaged(f"{name} in the bucket {self.bucket} was changed or damaged: it is not what its name says.", resource=name)
        return data

    # --- backups

    def put_backup(self, manifest: Manifest, table: Table) -> None:
        """First the table, then the manifest: with it the backup is there."""
        name = f"{manifest.disk_id}/backups/{manifest.backup_id}"
        self._store.put(self.bucket, f"{self.prefix}{name}.table", self.codec.seal(bytes(table.rows), f"{name}.table"))
        text = manifest.text()
        body = text if self.codec.key is None else self.codec.seal(text, f"{name}.json")
        self._store.put(self.bucket, f"{self.prefix}{name}.json", body, content_type="application/json")

    def manifest(self, disk_id: UUID, backup_id: UUID) -> Manifest:
        name = f"{disk_id}/backups/{backup_id}.json"
        body = self._read(name, MANIFEST_BYTES_MAX)
        found = manifest_of(body if self.codec.key is None else self.codec.open(body, name, limit=MANIFEST_BYTES_MAX))
        if (found.disk_id, found.backup_id) != (disk_id, backup_id):
            raise Damaged("The manifest is another backup's.", resource=name)
        return found

    def table(self, manifest: Manifest) -> Table:
        name = f"{manifest.disk_id}/backups/{manifest.backup_id}.table"
        limit = -(-manifest.size_bytes // CHUNK_BYTES) * ROW_BYTES
        rows = self.codec.open(self._read(name, limit + OVERHEAD_BYTES), name, limit=limit)
        if hashlib.sha256(rows).hexdigest() != manifest.table_sha256:
            raise Damaged("The table of the backup is not the one that its manifest names.", resource=name)
        return Table(manifest.size_bytes, rows)

    def disks(self) -> list[UUID]:
        """The disks that the vault has something of."""
        found, token = [], ""
        while True:
            page = self._store.list_objects(self.bucket, prefix=self.prefix, delimiter="/", token=token)
            for prefix in page.prefixes:
                try:
                    found.append(UUID(prefix.removeprefix(self.prefix).rstrip("/")))
                except ValueError:
                    continue
            token = page.next
            if not token:
                return found

    def backups(self, disk_id: UUID) -> list[UUID]:
        """Every backup of a disk that has a manifest."""
        found = []
        for entry in self._store.walk(self.bucket, prefix=f"{self.prefix}{disk_id}/backups/"):
            name = entry.key.rpartition("/")[2]
            if name.endswith(".json"):
                try:
                    found.append(UUID(name.removesuffix(".json")))
                except ValueError:
                    continue
        return found

    def forget(self, disk_id: UUID, backup_id: UUID) -> None:
        """First the manifest: from then on there is no such backup. Its chunks go with `sweep`."""
        for end in ("json", "table"):
            self._delete([f"{disk_id}/backups/{backup_id}.{end}"])

    def sweep(self, disk_id: UUID, *, tell: Callable[[], None] = lambda: None) -> int:
        """Delete the chunks of a disk that no table names, and tables without a manifest; gives how many bytes that freed.

        Damaged, and nothing deleted, if any table cannot be read: what it names is not known then.
        """
        there = self.backups(disk_id)
        needed: set[bytes] = set()
        for backup_id in there:
            needed.update(digest for _, digest in self.table(self.manifest(disk_id, backup_id)).filled())
            tell()
        kept = {f"{disk_id}/backups/{backup_id}.table" for backup_id in there}
        walk = self._store.walk(self.bucket, prefix=f"{self.prefix}{disk_id}/backups/")
        lone = [name for entry in walk if (name := entry.key.removeprefix(self.prefix)).endswith(".table") and name not in kept]
        freed, batch = 0, lone
        for digest, size in self.chunks(disk_id).items():
            if digest not in needed:
                freed += size
                batch = [*batch, self.chunk_name(disk_id, digest)]
                if len(batch) >= object_client.DELETE_MAX:
                    self._delete(batch)
                    batch = []
                    tell()
        self._delete(batch)
        return freed

    # --- bytes

    def _read(self, name: str, limit: int) -> bytes:
        with self._store.get(self.bucket, self.prefix + name) as download:
            return bytes(download.read(limit))

    def _delete(self, names: Iterable[str]) -> None:
        wanted = [(self.prefix + name, "") for name in names]
        for start in range(0, len(wanted), object_client.DELETE_MAX):
            failed = self._store.delete_many(self.bucket, wanted[start : start + object_client.DELETE_MAX])
            if failed:
                raise Conflict(f"The bucket {self.bucket} keeps {failed[0].key}: {failed[0].message}")


def readable(error: CloudError, bucket: str) -> str:
    """What the store said, with the bucket's name."""
    return error.message if bucket in error.message else f"The bucket {bucket}: {error.message}"
