"""One S3 request on its way: parsed address, who asks, which bucket; and the questions that every handler asks of it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, unquote_to_bytes
from uuid import UUID

from cloudbox.common import clock
from identity.authn.signatures import Claims
from identity.context import Context
from identity.models import Project, User
from storage.access import NOBODY, Decision, Who, decide
from storage.acls import Acl
from storage.api.s3 import signing, xml
from storage.api.s3.errors import S3Error
from storage.directory import BucketInfo
from storage.engine import Version
from storage.errors import NoSuchBucket
from storage.loading import visiting
from storage.notifications import Cause
from storage.plane import Plane
from storage.properties import Properties
from storage.server import BodyTooLarge, Request, Response

KEY_MAX_BYTES = 1024
HOST_MAX = 320  # A name of the DNS with a port; nothing longer names a bucket (RFC 1035, section 2.3.4).


@dataclass(frozen=True, slots=True)
class Address:
    """What a request's host and path name: a bucket, an object, or neither. `by_host`: the bucket was in the host's name."""

    bucket: str
    key: bytes
    by_host: bool = False


def address_of(request: Request, domains: tuple[str, ...]) -> Address:
    """Virtual-host style if the host is a label before one of the served domains, else path style."""
    path = request.path
    label = label_of(request, domains)
    if label:
        return Address(label, _decoded(path[1:]), True)
    bucket, _, key = path[1:].partition(b"/")
    try:
        return Address(_decoded(bucket).decode(), _decoded(key))
    except UnicodeDecodeError as error:
        raise S3Error("InvalidURI", "Couldn't parse the specified URI.") from error


def label_of(request: Request, domains: tuple[str, ...]) -> str:
    """What stands before one of the domains in the host's name; empty if nothing does."""
    host = request.headers.get("host", "")
    return _label(host, domains) if len(host) <= HOST_MAX else ""


@lru_cache(1024)  # A client asks for the same one again and again.
def _label(host: str, domains: tuple[str, ...]) -> str:
    host = host.partition(":")[0].lower().rstrip(".")
    for domain in domains:
        if host.endswith(domain) and len(host) > len(domain) and host[-len(domain) - 1] == ".":
            return host[: -len(domain) - 1]
    return ""


def _decoded(raw: bytes) -> bytes:
    return unquote_to_bytes(raw) if b"%" in raw else raw


class Call:
    """What handlers are given."""

    __slots__ = (
        "_facts",
        "bucket_name",
        "by_host",
        "claims",
        "cors",
        "info",
        "key",
        "plane",
        "query",
        "request",
        "signing_key",
        "who",
    )

    def __init__(self, plane: Plane, request: Request, address: Address) -> None:
        self.plane, self.request = plane, request
        self.bucket_name, self.key, self.by_host = address.bucket, address.key, address.by_host
        self.query: dict[str, str] = {}
        if request.query:
            for item in request.query.split(b"&"):
                name, _, value = item.partition(b"=")
                # A space may come as "+", which a literal plus never does: signers encode it.
                self.query[_text(name)] = _text(value.replace(b"+", b" "))
        self.who: Who = NOBODY
        self.claims: Claims | None = None
        self.signing_key = b""
        self.info: BucketInfo | None = None
        self.cors: dict[str, str] = {}
        self._facts: dict[str, Sequence[str] | None] = {}

    # --- what was asked

    @property
    def headers(self) -> Mapping[str, str]:
        return self.request.headers

    def header(self, name: str) -> str | None:
        return self.request.headers.get(name)

    @property
    def bucket(self) -> BucketInfo:
        assert self.info is not None
        return self.info

    @property
    def key_text(self) -> str:
        return self.key.decode("utf-8", "surrogateescape")

    @property
    def location(self) -> str:
        """The object's address, as the client could ask for it: by the same host, and in the same style."""
        bucket = "" if self.by_host else f"{quote(self.bucket_name)}/"
        return f"{'https' if self.request.tls else 'http'}://{self.header('host') or ''}/{bucket}{quote(self.key)}"

    @property
    def resource(self) -> str:
        return unquote(self.request.path.decode("latin-1"))

    def check_key(self) -> bytes:
        """The object's name, within its limits."""
        if len(self.key) > KEY_MAX_BYTES:
            raise S3Error("KeyTooLongError", "Your key is too long", Size=str(len(self.key)), MaxSizeAllowed=str(KEY_MAX_BYTES))
        try:
            self.key.decode()
        except UnicodeDecodeError as error:
            raise S3Error("InvalidURI", "Couldn't parse the specified URI.") from error
        return self.key

    @property
    def version_id(self) -> str | None:
        """Of the version asked for; None for the latest."""
        version = self.query.get("versionId")
        if version is None or version == "":
            return None
        if version != "null" and (len(version) != 16 or not version.isascii() or not version.isalnum()):
            raise S3Error("InvalidArgument", "Invalid version id specified", ArgumentName="versionId", ArgumentValue=version)
        return version

    async def body(self, limit: int = xml.BODY_MAX_BYTES, *, checksummed: bool = True) -> bytes:
        """A whole document, with its digests checked. Not `checksummed`: the checksum headers are about something else."""
        headers: Mapping[str, str] = self.request.headers
        if not checksummed:
            headers = {name: value for name, value in headers.items() if not name.startswith("x-amz-checksum-")}
        incoming = signing.incoming(self.request.body, headers, self.claims, self.signing_key)
        try:
            data = await incoming.body.read_all(limit)
        except BodyTooLarge as error:
            raise S3Error("MaxMessageLengthExceeded", "Your request was too big.", MaxMessageLengthBytes=str(limit)) from error
        await incoming.digests.take(data)
        incoming.finish()
        return data

    async def xml(self, root: str, *, checksummed: bool = True) -> xml.Element:
        body = await self.body(checksummed=checksummed)
        if not body:
            raise S3Error("MalformedXML")
        return xml.parse(body, root)

    # --- may they

    def judge(
        self,
        action: str,
        *,
        key: str | None = None,
        permission: str = "",
        version: Version | None = None,
        properties: Properties | None = None,
        bucket: BucketInfo | None = None,
        more: Mapping[str, Sequence[str]] | None = None,
    ) -> Decision:
        """The decision about an action on this call's bucket or object (see access.decide). With `properties`, on that object."""
        info = bucket or self.bucket
        owner: str | None = None
        acl: Acl | None = None
        if properties is not None:
            owner = properties.owner or info.owner
            acl = properties.acl or [["user", owner, "FULL_CONTROL"]]
        who = self.who
        if info.policy is None and not who.suspended and who.role == "admin" and who.project == (owner or info.owner) and not who.anonymous:
            return _BY_OWNER  # The common case, in one comparison.

        def facts(name: str) -> Sequence[str] | None:
            if more is not None and name in more:
                return more[name]
            return self.fact(name, properties)

        return decide(who, info, action, key=key, permission=permission, owner=owner, acl=acl, facts=facts)

    def allow(self, action: str, **about: Any) -> None:
        """Go on, or AccessDenied."""
        decision = self.judge(action, **about)
        if not decision.allowed:
            raise S3Error("AccountProblem" if self.who.suspended else "AccessDenied", _shown(decision, self.who))

    def allow_object(self, action: str, permission: str, properties: Properties | None = None, **about: Any) -> None:
        self.allow(action, key=self.key_text, permission=permission, properties=properties, **about)

    def fact(self, name: str, properties: Properties | None = None) -> Sequence[str] | None:
        """The value of a policy's condition key (lower case) in this request."""
        if name.startswith("s3:existingobjecttag/"):
            value = properties.tags.get(name.partition("/")[2]) if properties is not None else None
            if value is None and properties is not None:
                wanted = name.partition("/")[2]
                value = next((v for k, v in properties.tags.items() if k.lower() == wanted), None)
            return None if value is None else [value]
        if name not in self._facts:
            self._facts[name] = self._fact(name)
        return self._facts[name]

    def _fact(self, name: str) -> Sequence[str] | None:
        maker = _FACTS.get(name)
        if maker is not None:
            value = maker(self)
            return None if value is None else [value]
        if name.startswith("s3:requestobjecttag"):
            tags = dict(parse_qsl(self.header("x-amz-tagging") or "", keep_blank_values=True))
            if name == "s3:requestobjecttagkeys":
                return list(tags) or None
            wanted = name.partition("/")[2]
            return next(([value] for key, value in tags.items() if key.lower() == wanted), None)
        if name.startswith("s3:x-amz-"):
            value = self.header(name[3:])
            return None if value is None else [value]
        return None

    # --- the control plane

    async def verb(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """A verb on the tables, in a thread, with this call's Context before its arguments."""
        who, request = self.who, self.request
        address, id = request.peer or None, request.id
        return await self.plane.run(_in_context, who, address, id, function, args, kwargs)

    def cause(self, event: str) -> Cause:
        """What an event of this call tells, if anybody wants to hear it."""
        return Cause(event, self.who.principal.user or self.who.principal.account, self.request.peer, self.request.id)

    async def bucket_of(self, name: str) -> BucketInfo:
        """A bucket by the name in the request. Raises NoSuchBucket."""
        return await find_bucket(self.plane, name, self.who)


async def find_bucket(plane: Plane, name: str, who: Who) -> BucketInfo:
    directory = plane.directory
    name = name.removeprefix(":")
    info = directory.peek_bucket(name) or await directory.find_bucket(name)
    if info is None and not who.anonymous and ":" not in name:
        info = await directory.find_bucket(f"{who.principal.account_name}:{name}")
    if info is None:
        raise NoSuchBucket("The specified bucket does not exist")
    return info


def _in_context(who: Who, address: str | None, request_id: str, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    @visiting
    def call() -> Any:
        user = project = None
        if not who.anonymous:
            # Parts of the box itself have no user.
            user = User.objects.filter(id=UUID(who.principal.user)).first() if who.principal.user else None
            project = Project.objects.filter(id=UUID(who.principal.account)).first()
        ctx = Context(user=user, project=project, role=who.role or None, api="s3", address=address, request_id=request_id)
        return function(ctx, *args, **kwargs)

    return call()


_BY_OWNER = Decision(True, "You are an admin of the project that owns it.")


def _shown(decision: Decision, who: Who) -> str:
    """Strangers are not told how a bucket is guarded."""
    return decision.reason if not who.anonymous and who.role else "Access Denied"


def _text(raw: bytes) -> str:
    return unquote_to_bytes(raw).decode("utf-8", "surrogateescape")


def _auth_type(call: Call) -> str | None:
    if call.claims is None:
        return None
    return "REST-QUERY-STRING" if call.claims.presigned else "REST-HEADER"


def _now(call: Call) -> str:
    return clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")


_FACTS: dict[str, Callable[[Call], str | None]] = {
    "aws:sourceip": lambda call: call.request.peer or None,
    "aws:securetransport": lambda call: "true" if call.request.tls else "false",
    "aws:useragent": lambda call: call.header("user-agent"),
    "aws:referer": lambda call: call.header("referer"),
    "aws:currenttime": _now,
    "aws:epochtime": lambda call: str(int(clock.now().timestamp())),
    "aws:principaltype": lambda call: "Anonymous" if call.who.anonymous else "User",
    "aws:username": lambda call: call.who.principal.user_name or None,
    "aws:userid": lambda call: call.who.principal.user or None,
    "aws:principalaccount": lambda call: call.who.principal.account or None,
    "aws:principalarn": lambda call: (
        None if call.who.anonymous else f"arn:aws:iam::{call.who.principal.account}:user/{call.who.principal.user_name}"
    ),
    "s3:prefix": lambda call: call.query.get("prefix"),
    "s3:delimiter": lambda call: call.query.get("delimiter"),
    "s3:max-keys": lambda call: call.query.get("max-keys"),
    "s3:versionid": lambda call: call.query.get("versionId"),
    "s3:authtype": _auth_type,
    "s3:signatureversion": lambda call: None if call.claims is None else "AWS4-HMAC-SHA256" if call.claims.version == 4 else "AWS",
    "s3:signatureage": lambda call: (
        None if call.claims is None or not call.claims.signed_at else str(int((time.time() - call.claims.signed_at) * 1000))
    ),
    "s3:resourceaccount": lambda call: call.info.owner if call.info else None,
    "s3:object-lock-mode": lambda call: call.header("x-amz-object-lock-mode"),
    "s3:object-lock-legal-hold": lambda call: call.header("x-amz-object-lock-legal-hold"),
    "s3:object-lock-retain-until-date": lambda call: call.header("x-amz-object-lock-retain-until-date"),
    "s3:if-match": lambda call: call.header("if-match"),
    "s3:if-none-match": lambda call: call.header("if-none-match"),
}

Handler = Callable[[Call], Awaitable[Response]]
