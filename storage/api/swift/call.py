"""One Swift request on its way: parsed address, who asks, which container; and the questions that handlers ask of it."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import unquote_to_bytes
from uuid import UUID

from identity.context import Context
from identity.models import Project, User
from storage.access import NOBODY, Decision, Who, decide
from storage.api.swift import acls
from storage.api.swift.acls import NOTHING, OWNS, READS, WRITES, Names
from storage.api.swift.errors import SwiftError
from storage.directory import Account, Bearer, BucketInfo
from storage.loading import visiting
from storage.notifications import Cause
from storage.plane import Plane
from storage.properties import Properties
from storage.server import Request, Response

PREFIX = "AUTH_"
_ACCOUNT = re.compile(r"AUTH_([0-9a-f]{32})")
CONTAINER_LENGTH_MAX = 256
OBJECT_LENGTH_MAX = 1024
HOST_MAX = 320  # A name of the DNS with a port; nothing longer names an account (RFC 1035, section 2.3.4).
HEADER_BYTES_MAX = 8192  # Of one header, as /info says.

_LEVELS = {"reader": READS, "member": OWNS, "admin": OWNS}
Handler = Callable[["Call"], Awaitable[Response]]


def domain_of(request: Request, domains: tuple[str, ...]) -> str:
    """Which of the domains the host's name lies below; empty if it is none."""
    host = request.headers.get("host", "")
    return _domain(host, domains) if len(host) <= HOST_MAX else ""


@lru_cache(1024)  # A client asks for the same one again and again.
def _domain(host: str, domains: tuple[str, ...]) -> str:
    host = host.partition(":")[0].lower()
    return next((domain for domain in domains if host.endswith(f".{domain}")), "")


def prefix_of_host(request: Request, domains: tuple[str, ...]) -> str:
    """The beginning of the path that a host's name stands for: [<container>.]AUTH_<project id>.<domain>, or AUTH-<project id>.

    Public document: "Domain Remap" in Swift's middleware documentation. Names of hosts are of any case, so the prefix is as well.
    """
    domain = domain_of(request, domains)
    if not domain:
        return ""
    labels = request.headers["host"].partition(":")[0][: -len(domain) - 1]
    container, _, account = labels.rpartition(".")
    if account.lower().startswith(("auth-", "auth_")):
        account = f"{PREFIX}{account[len(PREFIX) :].lower()}"
    return f"/v1/{account}/{container}" if container else f"/v1/{account}"


class Call:
    """What handlers are given. `container` and `key` are empty where the address does not reach so deep."""

    def __init__(self, plane: Plane, request: Request, domains: tuple[str, ...] = ()) -> None:
        self.plane, self.request = plane, request
        sent = unquote_to_bytes(request.path)
        path = prefix_of_host(request, domains).encode() + sent
        try:
            text = path.decode()
        except UnicodeDecodeError as error:
            raise SwiftError(412, "Invalid UTF8 or contains NULL") from error
        if "\0" in text:
            raise SwiftError(412, "Invalid UTF8 or contains NULL")
        if any(len(value) > HEADER_BYTES_MAX for value in request.headers.values()):
            raise SwiftError(400, f"Header Line Too Long: {HEADER_BYTES_MAX} bytes is the most")
        parts = [*text.split("/", 4), "", "", ""]
        self.version, self.account_name, self.container, self.object = parts[1], parts[2], parts[3], parts[4]
        self.key = self.object.encode()
        self.path = text
        self.path_sent = sent.decode()  # Without what the host's name stands for.
        found = _ACCOUNT.fullmatch(self.account_name)
        self.project = found[1] if found else ""
        self.query: dict[str, str] = {}
        for name, value in request.query_pairs():
            try:
                self.query.setdefault(name.decode(), value.decode())
            except UnicodeDecodeError as error:
                raise SwiftError(412, "Invalid UTF8 or contains NULL") from error
        self.bearer: Bearer | None = None
        self.who: Who = NOBODY
        # A TempURL's: the methods that it is good for, or none. It stands for the owner.
        self.signed_for: Sequence[str] = ()
        self.signed_project = ""  # Whose key it was. A link may lead to others' things: there, who shows a signature is nobody.
        self.signed_prefix = ""  # Of the names that it is good for (an object's whole name, or a prefix).
        self.signed_exact = True
        self.signed_bucket: UUID | None = None  # By the container's key: for nothing outside of it.
        self.info: BucketInfo | None = None
        self.account: Account | None = None
        self.accounts: dict[str, Account] = {}  # All that this call has come by, by project.
        self.answer_headers: dict[str, str] = {}  # Of every answer to this call, errors as well.

    # --- what was asked

    @property
    def method(self) -> str:
        return self.request.method

    @property
    def headers(self) -> Mapping[str, str]:
        return self.request.headers

    def header(self, name: str) -> str | None:
        return self.request.headers.get(name)

    def cause(self, event: str) -> Cause:
        """What an event of this call tells, if anybody wants to hear it."""
        return Cause(event, self.who.principal.user or self.who.principal.account, self.request.peer, self.request.id)

    def flag(self, name: str) -> bool:
        """A query parameter that is there, whatever its value."""
        return name in self.query

    @property
    def bucket(self) -> BucketInfo:
        if self.info is None:
            raise SwiftError(404)
        return self.info

    @property
    def swift(self) -> dict[str, Any]:
        """What only Swift keeps with the container."""
        return swift_of(self.bucket)

    # --- who

    async def load(self) -> None:
        """The account and the container of the address, if there are any."""
        if not self.project:
            return
        self.account = await self._account_of(self.project)
        if self.container and self.account is not None:
            self.info = await self.plane.directory.find_container(self.project, self.container)
            if self.info is not None:
                self.request.tally = self.plane.traffic.tally(self.info, about_object=bool(self.key))

    async def _account_of(self, project: str) -> Account | None:
        """An account, kept for level() to judge by."""
        account = await self.plane.directory.find_account(project)
        if account is not None:
            self.accounts[project] = account
        return account

    async def container_of(self, name: str, project: str = "") -> BucketInfo | None:
        project = project or self.project
        await self._account_of(project)
        return await self.plane.directory.find_container(project, name)

    def names(self, project: str) -> Names:
        """What ACLs of an account may call who asks: by names only in the default domain, as other domains have names of their own."""
        bearer = self.bearer
        if bearer is None or not self.who.project:
            return Names()
        account = self.accounts.get(project)
        if account is None or account.domain:
            return Names([self.who.project], [bearer.user.hex])
        return Names(
            [one for one in (self.who.project, bearer.project_slug) if one], [one for one in (bearer.user.hex, bearer.login) if one]
        )

    @property
    def is_owner(self) -> bool:
        """May see and set what the account's own members may: keys, ACLs, quotas."""
        if self.bearer is None:
            return bool(self.signed_for)
        return self.level() >= OWNS

    def level(self, project: str = "") -> int:
        """How much of an account (the address's) who asks may use, as a whole: by role in its project, or by the account's own list."""
        project = project or self.project
        if self.bearer is None or not project:
            return NOTHING
        if self.bearer.everywhere:
            return OWNS
        role = self.who.role
        own = _LEVELS.get(role, NOTHING) if self.who.project == project else NOTHING
        account = self.accounts.get(project)
        if own == OWNS or account is None or account.suspended:
            return own
        listed = acls.account_level(account.documents.get("access", {}), self.names(project))
        # A credential that was made for reading reads, wherever its user is let in.
        return max(own, min(listed, READS) if role == "reader" else listed)

    def refuse(self, reason: str = "") -> SwiftError:
        """401 to nobody, 403 to somebody."""
        return SwiftError(401) if self.bearer is None else SwiftError(403, reason)

    def judge(
        self,
        action: str,
        *,
        bucket: BucketInfo,
        key: str | None = None,
        permission: str = "",
        properties: Properties | None = None,
        acl: str = "",
    ) -> bool:
        """May they? By role, by the bucket's policy and ACLs as S3 has them, by Swift's ACL `acl` ("read" or "write"), by a TempURL.

        Or by the account's list. What a policy denies stays denied.
        """
        if self.signed_for and bucket.owner == self.signed_project:
            return self._signed(bucket, key, looks=action in ("s3:GetObject", "s3:ListBucket"))
        if self.bearer is not None and self.bearer.everywhere:
            return True
        owner = (properties.owner or bucket.owner) if properties is not None else None
        grants = (properties.acl or [["user", owner or "", "FULL_CONTROL"]]) if properties is not None else None
        decision = decide(self.who, bucket, action, key=key, permission=permission, owner=owner, acl=grants, facts=self._fact)
        if decision or _denied(decision) or self.who.suspended:
            return bool(decision)
        if permission and self.level(bucket.owner) >= (READS if permission == "READ" else WRITES):
            return True
        value = swift_of(bucket).get(acl, "") if acl else ""
        if not value:
            return False
        if acls.by_name(value, self.names(bucket.owner)):
            return True
        if acl == "read" and acls.by_referrer(value, self.header("referer")):
            return key is not None or acls.lists(value)
        return False

    def _signed(self, bucket: BucketInfo, key: str | None, *, looks: bool) -> bool:
        """What a signature opens: its object (or prefix), and for reading what a manifest or link there leads to."""
        if self.signed_bucket is not None and bucket.id != self.signed_bucket:
            return False
        return looks or (key == self.signed_prefix if self.signed_exact else (key or "").startswith(self.signed_prefix))

    def _fact(self, name: str) -> Sequence[str] | None:
        value = _FACTS[name](self) if name in _FACTS else None
        return None if value is None else [value]

    def allow(self, action: str, **about: Any) -> None:
        if not self.judge(action, **about):
            raise self.refuse()

    def allow_read(self, properties: Properties | None = None, *, bucket: BucketInfo | None = None, key: str | None = None) -> None:
        key = self.object if key is None else key
        self.allow("s3:GetObject", bucket=bucket or self.bucket, key=key, permission="READ", properties=properties, acl="read")

    def allow_write(self, *, bucket: BucketInfo | None = None, key: str | None = None) -> None:
        key = self.object if key is None else key
        self.allow("s3:PutObject", bucket=bucket or self.bucket, key=key, permission="WRITE", acl="write")

    def allow_delete(self, *, bucket: BucketInfo | None = None, key: str | None = None) -> None:
        key = self.object if key is None else key
        self.allow("s3:DeleteObject", bucket=bucket or self.bucket, key=key, permission="WRITE", acl="write")

    def bucket_or_refuse(self) -> BucketInfo:
        """The container; 404 to who may know that there is none, else a refusal."""
        if self.info is None:
            self.allow_account()
            raise SwiftError(404)
        return self.info

    def allow_account(self, needed: int = READS) -> None:
        """The account itself is for its project's members, and for those whom its own list names."""
        if self.level() < needed:
            raise self.refuse()
        if needed > READS and self.who.suspended:
            raise SwiftError(403, "The project is suspended. Ask your provider to resume it.")
        if self.account is None:
            raise SwiftError(404)

    # --- the control plane

    async def verb(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """A verb on the tables, in a thread, with a Context of who asks, in the address's project."""
        if self.bearer is not None and self.bearer.everywhere:
            role = "admin"
        elif self.who.project == self.project and self.who.role in _LEVELS:
            role = self.who.role
        else:
            role = {READS: "reader", WRITES: "member", OWNS: "member"}.get(self.level(), "")
        user = self.bearer.user if self.bearer else None
        return await self.plane.run(
            _in_context, user, self.project, role, self.request.peer or None, self.request.id, function, args, kwargs
        )


def swift_of(bucket: BucketInfo) -> dict[str, Any]:
    found: dict[str, Any] = bucket.documents.get("swift") or {}
    return found


def _denied(decision: Decision) -> bool:
    return not decision.allowed and bool(decision.statement)


def _in_context(
    user: UUID | None, project: str, role: str, address: str | None, request_id: str, function: Callable[..., Any], args: Any, kwargs: Any
) -> Any:
    @visiting
    def call() -> Any:
        person = User.objects.filter(id=user).first() if user else None
        row = Project.objects.filter(id=UUID(project)).first()
        ctx = Context(user=person, project=row, role=role or None, api="swift", address=address, request_id=request_id)
        return function(ctx, *args, **kwargs)

    return call()


_FACTS: dict[str, Callable[[Call], str | None]] = {
    "aws:sourceip": lambda call: call.request.peer or None,
    "aws:securetransport": lambda call: "true" if call.request.tls else "false",
    "aws:useragent": lambda call: call.header("user-agent"),
    "aws:referer": lambda call: call.header("referer"),
    "aws:epochtime": lambda call: str(int(time.time())),
    "aws:principaltype": lambda call: "Anonymous" if call.who.anonymous else "User",
    "aws:username": lambda call: call.who.principal.user_name or None,
    "aws:userid": lambda call: call.who.principal.user or None,
    "aws:principalaccount": lambda call: call.who.principal.account or None,
    "s3:prefix": lambda call: call.query.get("prefix"),
    "s3:delimiter": lambda call: call.query.get("delimiter"),
    "s3:versionid": lambda call: call.query.get("version-id"),
    "s3:authtype": lambda call: "REST-HEADER" if call.bearer else None,
    "s3:resourceaccount": lambda call: call.info.owner if call.info else None,
}
