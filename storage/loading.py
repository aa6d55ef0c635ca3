"""How the data plane's directory reads the tables: each function is one visit to the database, made in a thread."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import ParamSpec, TypeVar
from uuid import UUID

from django.db import DatabaseError, IntegrityError, connection

from cloudbox.common.errors import Unauthenticated, Unavailable
from identity import credentials, roles, temporary, tokens
from identity.models import AccessKey, BoxRole, Membership, Project, Quota, Role, User
from storage import vault
from storage.access import Who
from storage.directory import Account, Bearer, BucketInfo, BucketRow, Credential, EncryptionSecret, info_of
from storage.models import AccountSettings, Bucket, EncryptionKeyVersion
from storage.policies import Principal

log = logging.getLogger(__name__)
GIB = 1 << 30
P = ParamSpec("P")
R = TypeVar("R")


def visiting(function: Callable[P, R]) -> Callable[P, R]:
    """In a thread of the data plane, which keeps its connection: replace one that has died, and say Unavailable without a database."""

    @functools.wraps(function)
    def visit(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            if connection.connection is not None and not connection.in_atomic_block and not connection.is_usable():
                connection.close()
            return function(*args, **kwargs)
        except IntegrityError:
            raise
        except DatabaseError as error:
            log.warning("the database did not answer: %s", str(error).strip())
            raise Unavailable("The box's database does not answer. Try again in a moment.") from error

    return visit


def _who(user: User | None, project: Project, key_id: str, *, at_most: str = "") -> Who | None:
    """Whom a key makes of who signs with it; None if it opens nothing (any more). Without a user it is a service of the box."""
    if project.status == Project.Status.DELETED or (user is not None and not user.is_active):
        return None
    if user is None or user.box_role == BoxRole.ADMIN:
        role = Role.ADMIN.value
    else:
        member = Membership.objects.filter(user=user, project=project).first()
        role = member.role if member else ""
    if not role:
        return None  # No longer a member.
    if at_most:
        role = min(role, at_most, key=list(Role.values).index)
    principal = Principal(
        anonymous=False,
        account=project.id.hex,
        account_name=project.slug,
        user=user.id.hex if user else "",
        user_name=user.email if user else "cloudbox",
        root=role == Role.ADMIN,
    )
    suspended = project.status == Project.Status.SUSPENDED
    return Who(principal, role, suspended=suspended, display_name=project.name, key_id=key_id)


class TableLoader:
    """The directory's Loader on the real tables."""

    @visiting
    def bucket(self, name: str) -> BucketInfo | None:
        """By a name that all projects share, or as "<project's slug>:<name>" (Ceph's way to name another tenant's bucket)."""
        slug, _, rest = name.rpartition(":")
        rows = Bucket.objects.select_related("project")
        row = rows.filter(project__slug=slug, name=rest).first() if slug else rows.filter(shared_name=True, name=rest).first()
        return None if row is None else info_of(row_of(row))

    @visiting
    def container(self, project: str, name: str) -> BucketInfo | None:
        row = Bucket.objects.select_related("project").filter(project_id=project, name=name).first()
        return None if row is None else info_of(row_of(row))

    @visiting
    def token(self, text: str) -> Bearer | None:
        """None for every token that is not good: clients are told to sign in again, whatever the reason."""
        try:
            standing = tokens.stand(tokens.read(text))
        except Unauthenticated:
            return None
        user, project = standing.user, standing.project
        role = Role.ADMIN if standing.box_role == BoxRole.ADMIN else standing.role or (Role.READER if standing.box_role else "")
        principal = Principal(
            anonymous=False,
            account=project.id.hex if project else "",
            account_name=project.slug if project else "",
            user=user.id.hex,
            user_name=user.email,
            root=role == Role.ADMIN,
        )
        suspended = project is not None and project.status == Project.Status.SUSPENDED
        return Bearer(
            who=Who(principal, str(role), suspended=suspended, display_name=project.name if project else ""),
            user=user.id,
            project=project.id if project else None,
            login=user.login_name if standing.domain.name == "default" else "",
            project_slug=project.slug if project else "",
            expires=standing.token.expires_at.timestamp(),
            everywhere=standing.box_role == BoxRole.ADMIN or roles.RESELLER_ADMIN in standing.custom,
        )

    @visiting
    def credential(self, key_id: str) -> Credential | None:
        key = AccessKey.objects.select_related("user", "project").filter(id=key_id, is_active=True).first()
        who = None if key is None else _who(key.user, key.project, key.id)
        if key is None or who is None:
            return None
        return Credential(key.id, credentials.secret_of(key), key.project_id, key.user_id, who)

    @visiting
    def temporary(self, token: str) -> Credential | None:
        grant = temporary.read(token)
        project = Project.objects.filter(id=grant.project).first()
        user = User.objects.filter(id=grant.user).first() if grant.user else None
        if project is None or (grant.user and user is None):
            return None
        who = _who(user, project, grant.access_key, at_most=grant.role)
        if who is None:
            return None
        return Credential(grant.access_key, temporary.secret_of(token), project.id, grant.user, who, expires=grant.expires_at)

    @visiting
    def account(self, project: str) -> Account | None:
        row = Project.objects.select_related("domain").filter(id=project).first()
        if row is None:
            return None
        limits = dict(Quota.objects.filter(project=row).values_list("resource", "limit"))
        gib = limits.get("object_gib")
        held = list(Bucket.objects.filter(project=row).values_list("id", "storage_class"))
        return Account(
            id=row.id,
            name=row.name,
            slug=row.slug,
            suspended=row.status == Project.Status.SUSPENDED,
            buckets=tuple(id for id, _ in held),
            bytes_max=None if gib is None else gib * GIB,
            objects_max=limits.get("objects"),
            buckets_max=limits.get("buckets"),
            documents=AccountSettings.objects.filter(project=row).values_list("documents", flat=True).first() or {},
            classes=tuple(storage_class for _, storage_class in held),
            domain="" if row.domain.name == "default" else row.domain_id.hex,
        )

    @visiting
    def encryption_key(self, project: str, name: str) -> EncryptionSecret | None:
        """The newest version of a project's key, by the key's name or id."""
        versions = EncryptionKeyVersion.objects.select_related("key").filter(key__project_id=project)
        row = versions.filter(key__name=name).order_by("-number").first()
        return None if row is None else _secret(row)

    @visiting
    def encryption_version(self, key: str, number: int) -> EncryptionSecret | None:
        row = EncryptionKeyVersion.objects.select_related("key").filter(key_id=UUID(key), number=number).first()
        return None if row is None else _secret(row)


def row_of(bucket: Bucket) -> BucketRow:
    return BucketRow(
        id=bucket.id,
        name=bucket.name,
        project=bucket.project_id,
        project_name=bucket.project.name,
        region=bucket.region,
        storage_class=bucket.storage_class,
        versioning=bucket.versioning,
        ownership=bucket.ownership,
        object_lock=bucket.object_lock,
        created=bucket.created_at.timestamp(),
        documents=bucket.documents,
        quota_bytes=bucket.quota_bytes,
        quota_objects=bucket.quota_objects,
    )


def _secret(row: EncryptionKeyVersion) -> EncryptionSecret:
    secret = vault.open_sealed("encryption keys", bytes(row.sealed_secret), about=row.key_id.bytes)
    return EncryptionSecret(row.key_id, row.key.name, row.number, secret, row.key.is_enabled)
