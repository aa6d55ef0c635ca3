"""What a data-plane worker knows by heart: buckets, access keys, projects. No ORM call on the way of a request that it knows.

A lookup is one dict access and one look at the shared table of generations. What is not known is loaded in a thread, once for all who
wait for it. What is known to be missing is remembered for a short while as well. PostgreSQL's notices (migration 0002) drop what
changed; when their connection breaks, everything is dropped.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID

from storage import cors, documents, lifecycle, notifications, policies
from storage.access import PublicBlock, Who
from storage.acls import Acl
from storage.engine import STORAGE_CLASSES, Mode, StorageClass
from storage.generations import Generations
from storage.policies import Policy

ENTRIES_MAX = 50_000  # Of each kind, per worker; more, and the kind starts afresh.
MISSING_SECONDS = 5.0
# Even without any notice nothing is believed for longer than this.
KNOWN_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class BucketInfo:
    """A bucket as the data plane needs it: parsed, immutable, shared by all requests until it changes."""

    id: UUID
    name: str
    owner: str  # The project's id in hex.
    owner_name: str
    region: str
    storage_class: StorageClass
    versioning: str  # "off", "enabled", "suspended"
    ownership: str  # "writer", "preferred", "enforced"
    object_lock: bool
    created: float
    documents: dict[str, Any]
    quota_bytes: int | None
    quota_objects: int | None
    policy: Policy | None
    acl: Acl
    block: PublicBlock
    cors: tuple[cors.Rule, ...]
    lifecycle: tuple[lifecycle.Rule, ...]
    notifications: tuple[notifications.Rule, ...]
    plain: bool  # No policy, lock, default encryption, lifecycle or quota of its own: the common case, asked once.

    @property
    def acls_off(self) -> bool:
        return self.ownership == "enforced"

    @property
    def mode(self) -> Mode:
        return Mode.ADD if self.versioning == "enabled" else Mode.REPLACE


@dataclass(frozen=True, slots=True)
class BucketRow:
    """What a loader reads of a bucket's row."""

    id: UUID
    name: str
    project: UUID
    project_name: str
    region: str
    storage_class: str
    versioning: str
    ownership: str
    object_lock: bool
    created: float
    documents: dict[str, Any]
    quota_bytes: int | None = None
    quota_objects: int | None = None


def info_of(row: BucketRow) -> BucketInfo:
    kept = row.documents
    owner = row.project.hex
    policy = policies.parse(kept["policy"]["text"], bucket=row.name) if kept.get("policy") else None
    return BucketInfo(
        id=row.id,
        name=row.name,
        owner=owner,
        owner_name=row.project_name,
        region=row.region,
        storage_class=STORAGE_CLASSES[row.storage_class],
        versioning=row.versioning,
        ownership=row.ownership,
        object_lock=row.object_lock,
        created=row.created,
        documents=kept,
        quota_bytes=row.quota_bytes,
        quota_objects=row.quota_objects,
        policy=policy,
        acl=kept.get("acl") or [["user", owner, "FULL_CONTROL"]],
        block=documents.public_block(kept),
        cors=cors.parse(kept["cors"]) if kept.get("cors") else (),
        lifecycle=lifecycle.parse(kept["lifecycle"]) if kept.get("lifecycle") else (),
        notifications=notifications.parse(kept["notification"]) if kept.get("notification") else (),
        plain=not (row.object_lock or kept.get("encryption") or kept.get("lifecycle")),
    )


@dataclass(frozen=True, slots=True)
class Credential:
    """An access key, its secret, and whom it makes of who holds it."""

    id: str
    secret: str
    project: UUID
    user: UUID | None  # None: a service of the box.
    who: Who
    expires: float = 0.0  # Of a temporary key, in seconds since 1970.


@dataclass(frozen=True, slots=True)
class Account:
    """A project: its buckets and how much it may keep."""

    id: UUID
    name: str
    slug: str
    suspended: bool
    buckets: tuple[UUID, ...]
    bytes_max: int | None
    objects_max: int | None
    buckets_max: int | None
    documents: dict[str, Any] = field(default_factory=dict)  # Swift's (models/accounts.py).
    classes: tuple[str, ...] = ()  # The storage class of each of its buckets, in their order.
    domain: str = ""  # The id of the project's domain in hex; empty for the default one, in which names are good enough for ACLs.


@dataclass(frozen=True, slots=True)
class Bearer:
    """Whom a token of Keystone's makes of who shows it."""

    who: Who
    user: UUID
    project: UUID | None
    login: str  # What the user signs in as,
    project_slug: str  # and where; the names that ACLs may use beside the ids. Empty where they would not be unique.
    expires: float  # In seconds since 1970.
    everywhere: bool = False  # May do anything in every account: an administrator of the box, or a ResellerAdmin.


@dataclass(frozen=True, slots=True)
class EncryptionSecret:
    """One version of a named key, unsealed."""

    id: UUID
    name: str
    number: int
    secret: bytes
    enabled: bool


class Loader(Protocol):
    """Reads from the database, in a thread; None is "there is none"."""

    def bucket(self, name: str) -> BucketInfo | None: ...
    def credential(self, key_id: str) -> Credential | None: ...
    def account(self, project: str) -> Account | None: ...
    def encryption_key(self, project: str, name: str) -> EncryptionSecret | None: ...
    def encryption_version(self, key: str, number: int) -> EncryptionSecret | None: ...
    def container(self, project: str, name: str) -> BucketInfo | None: ...
    def token(self, text: str) -> Bearer | None: ...
    def temporary(self, token: str) -> Credential | None: ...


@dataclass(slots=True)
class _Known:
    value: Any
    generation: int
    until: float


@dataclass(slots=True)
class _Kind:
    load: Callable[[str], Any]
    known: dict[str, _Known] = field(default_factory=dict)
    loading: dict[str, asyncio.Future[Any]] = field(default_factory=dict)


class Directory:
    """`peek_*` answers at once or says MISS; `find_*` loads what is not known. Used from the event loop's thread only."""

    def __init__(self, loader: Loader, generations: Generations, *, run: Callable[..., Any]) -> None:
        """`run(function, *arguments)` calls a function in a thread and is awaited."""
        self._generations, self._run = generations, run
        self._kinds = {
            "bucket": _Kind(loader.bucket),
            "key": _Kind(loader.credential),
            "project": _Kind(loader.account),
            "encryption-name": _Kind(lambda name: loader.encryption_key(*name.split(" ", 1))),
            "encryption-key": _Kind(lambda name: loader.encryption_version(name.split(" ")[0], int(name.split(" ")[1]))),
            "container": _Kind(lambda name: loader.container(*name.split("/", 1))),
            "token": _Kind(loader.token),
            "temporary": _Kind(loader.temporary),
        }
        self._buckets, self._keys = self._kinds["bucket"].known, self._kinds["key"].known

    # --- the two lookups of every request

    def peek_bucket(self, name: str) -> BucketInfo | None:
        """The bucket if it is known and fresh. None does not say that there is none: `find_bucket` knows."""
        known = self._buckets.get(name)
        if known is None or known.generation != self._generations.of(name) or known.until < time.monotonic():
            return None
        return known.value  # type: ignore[no-any-return]

    def peek_credential(self, key_id: str) -> Credential | None:
        known = self._keys.get(key_id)
        return None if known is None or known.until < time.monotonic() else known.value

    # --- with loading

    async def find_bucket(self, name: str) -> BucketInfo | None:
        return await self._find("bucket", name, self._generations.of(name))  # type: ignore[no-any-return]

    async def find_credential(self, key_id: str) -> Credential | None:
        return await self._find("key", key_id, 0)  # type: ignore[no-any-return]

    async def find_temporary(self, token: str) -> Credential | None:
        """By a session token that `identity.temporary` has sealed."""
        return await self._find("temporary", token, 0)  # type: ignore[no-any-return]

    async def find_account(self, project: str) -> Account | None:
        return await self._find("project", project, self._generations.of(f"project {project}"))  # type: ignore[no-any-return]

    async def find_container(self, project: str, name: str) -> BucketInfo | None:
        """A bucket by the project that owns it."""
        key = f"{project}/{name}"
        return await self._find("container", key, self._generations.of(key))  # type: ignore[no-any-return]

    async def find_token(self, text: str) -> Bearer | None:
        return await self._find("token", text, 0)  # type: ignore[no-any-return]

    async def find_encryption_key(self, project: str, name: str) -> EncryptionSecret | None:
        return await self._find("encryption-name", f"{project} {name}", 0)  # type: ignore[no-any-return]

    async def find_encryption_version(self, key: str, number: int) -> EncryptionSecret | None:
        return await self._find("encryption-key", f"{key} {number}", 0)  # type: ignore[no-any-return]

    async def _find(self, kind: str, name: str, generation: int) -> Any:
        about = self._kinds[kind]
        known = about.known.get(name)
        if known is not None and known.generation == generation and known.until > time.monotonic():
            return known.value
        tag = f"{name}\0{generation}"
        if (waiting := about.loading.get(tag)) is not None:
            return await asyncio.shield(waiting)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        about.loading[tag] = future
        try:
            value = await self._run(about.load, name)
        except BaseException as error:
            if about.loading.pop(tag, None) is future and not future.done():
                future.set_exception(error if isinstance(error, Exception) else asyncio.CancelledError())
                future.exception()  # Who waits gets it; if nobody does, that is no mistake.
            raise
        # Dropped while it was being loaded: it serves those who asked before, and is not kept.
        if about.loading.pop(tag, None) is future:
            if len(about.known) >= ENTRIES_MAX:
                about.known.clear()
            seconds = KNOWN_SECONDS if value is not None else MISSING_SECONDS
            about.known[name] = _Known(value, generation, time.monotonic() + seconds)
        if not future.done():
            future.set_result(value)
        return value

    # --- forgetting

    def changed(self, kind: str, name: str) -> None:
        """A notice: `kind` and `name` as the triggers of migration 0002 send them."""
        if kind == "bucket":
            for one in [name, *(known for known in self._buckets if known.endswith(f":{name}"))]:
                self._drop(self._kinds["bucket"], one)
            containers = self._kinds["container"].known
            for one in [known for known in containers if known.partition("/")[2] == name]:
                self._drop(self._kinds["container"], one)
        elif kind == "key":
            self._drop(self._kinds["key"], name)
        elif kind == "project":
            project = name.replace("-", "")
            self._drop(self._kinds["project"], project)
            self._drop_keys(lambda credential: credential.project.hex == project)
            self._drop_prefixed("encryption-name", f"{project} ")
            self._drop_tokens(lambda bearer: bearer.project is not None and bearer.project.hex == project)
        elif kind == "user":
            self._drop_keys(lambda credential: str(credential.user) == name)
            self._drop_tokens(lambda bearer: str(bearer.user) == name)
        elif kind == "token":
            self._drop_tokens(lambda bearer: True)
        elif kind == "encryption-key":
            self._kinds["encryption-name"].known.clear()
            self._kinds["encryption-name"].loading.clear()
            self._drop_prefixed("encryption-key", f"{name} ")

    def _drop(self, about: _Kind, name: str) -> None:
        about.known.pop(name, None)
        for tag in [tag for tag in about.loading if tag.partition("\0")[0] == name]:
            del about.loading[tag]

    def _drop_prefixed(self, kind: str, prefix: str) -> None:
        about = self._kinds[kind]
        for name in [name for name in (*about.known, *(tag.partition("\0")[0] for tag in about.loading)) if name.startswith(prefix)]:
            self._drop(about, name)

    def _drop_keys(self, match: Callable[[Credential], bool]) -> None:
        for about in (self._kinds["key"], self._kinds["temporary"]):
            about.loading.clear()
            for name in [name for name, known in about.known.items() if known.value is None or match(known.value)]:
                del about.known[name]

    def _drop_tokens(self, match: Callable[[Bearer], bool]) -> None:
        about = self._kinds["token"]
        about.loading.clear()
        for name in [name for name, known in about.known.items() if known.value is None or match(known.value)]:
            del about.known[name]

    def changed_everything(self) -> None:
        for about in self._kinds.values():
            about.known.clear()
            about.loading.clear()

    def bump(self, name: str) -> None:
        """This process has committed a change of a bucket (or of "project <id>")."""
        self._generations.bump(name)
