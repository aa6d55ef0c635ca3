"""Who may do what with a bucket and its objects: roles, policy, ACLs and the public-access block, put together. Pure.

The order of AWS's evaluation: an explicit deny wins; then whoever owns the thing may what their role in the project lets them; then
what the bucket's policy or an ACL allows to others. A decision names its reason, so that the portal can show why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from storage import acls
from storage.acls import Acl
from storage.policies import ANONYMOUS, Facts, Policy, Principal

READER, MEMBER, ADMIN = "reader", "member", "admin"


@dataclass(frozen=True, slots=True)
class Who:
    """Who asks: the principal of policies, and the role that the key's user has in the key's project."""

    principal: Principal = ANONYMOUS
    role: str = ""
    suspended: bool = False  # The project is: nothing may be changed.
    display_name: str = ""
    key_id: str = ""

    @property
    def anonymous(self) -> bool:
        return self.principal.anonymous

    @property
    def project(self) -> str:
        """The id of the project in hex."""
        return self.principal.account


NOBODY = Who()


@dataclass(frozen=True, slots=True)
class PublicBlock:
    """The public-access block of a bucket, in S3's four parts."""

    block_acls: bool = False  # Refuse to store public ACLs,
    ignore_acls: bool = False  # pass over those that are there,
    block_policy: bool = False  # refuse to store a public policy,
    restrict: bool = False  # let a public policy serve the owner's project only.


NO_BLOCK = PublicBlock()


class Rules(Protocol):
    """What a decision needs to know of a bucket."""

    @property
    def name(self) -> str: ...
    @property
    def owner(self) -> str: ...
    @property
    def policy(self) -> Policy | None: ...
    @property
    def acl(self) -> Acl: ...
    @property
    def acls_off(self) -> bool: ...
    @property
    def block(self) -> PublicBlock: ...


@dataclass(frozen=True, slots=True)
class Decision:
    allowed: bool
    reason: str
    statement: str = ""  # The Sid (or number) of the policy's statement that decided.
    denied: bool = False  # A statement denies it; else it is merely not allowed.

    def __bool__(self) -> bool:
        return self.allowed


BY_ROLE = Decision(True, "Your role in the project that owns it allows this.")
_ROLE_TOO_SMALL = Decision(False, "Your role in your project does not allow this.")
_NOT_GRANTED = Decision(False, "Neither the bucket's policy nor an access control list allows this.")
_SUSPENDED = Decision(False, "Your project is suspended. Ask your provider to resume it.")

_LOOKS = ("s3:Get", "s3:List", "s3:Head")
_ADMIN_ONLY = frozenset({"s3:BypassGovernanceRetention"})
# A deny cannot lock an account's own admins out of taking it back: AWS, "Bucket policies", on the root user.
_ALWAYS_OPEN = frozenset({"s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy"})


def role_allows(role: str, action: str) -> bool:
    """What a role may do with what its project owns, as far as storage goes."""
    if action.startswith(_LOOKS):
        return role in (READER, MEMBER, ADMIN)
    return role == ADMIN or (role == MEMBER and action not in _ADMIN_ONLY)


def decide(
    who: Who,
    rules: Rules,
    action: str,
    *,
    key: str | None = None,
    permission: str = "",
    owner: str | None = None,
    acl: Acl | None = None,
    facts: Facts = lambda key: None,
) -> Decision:
    """May `who` do `action` on the bucket, or on the object `key`?

    `permission` is the one of ACLs that gives this action ("" if none does). `owner` and `acl` are the object's when it is the object
    that is touched; else the bucket's count.
    """
    if who.suspended and not action.startswith(_LOOKS):
        return _SUSPENDED
    target_owner = rules.owner if owner is None or rules.acls_off else owner
    own = not who.anonymous and who.project == target_owner
    by_policy: Decision | None = None
    if rules.policy is not None:
        resource = rules.name if key is None else f"{rules.name}/{key}"
        verdict = rules.policy.judge(who.principal, action, resource, facts)
        sid = _name(rules.policy, verdict.statement)
        if verdict.allowed is False and not (who.principal.root and who.project == rules.owner and action in _ALWAYS_OPEN):
            return Decision(False, f"The bucket's policy denies it (statement {sid}).", sid, denied=True)
        insider = not who.anonymous and who.project == rules.owner
        open_to_who = insider or not (rules.block.restrict and rules.policy.public)
        # A policy speaks for what its bucket's owner owns.
        about_own = insider or target_owner == rules.owner or not action.startswith("s3:GetObject")
        if verdict.allowed and open_to_who and about_own:
            by_policy = Decision(True, f"The bucket's policy allows it (statement {sid}).", sid)
    in_role = who.anonymous or role_allows(who.role, action)
    if own:
        return BY_ROLE if in_role else by_policy or _ROLE_TOO_SMALL
    if not in_role:
        return _ROLE_TOO_SMALL
    if by_policy is not None:
        return by_policy
    if permission and not rules.acls_off:
        listed: Sequence[list[str]] = rules.acl if acl is None else acl
        if rules.block.ignore_acls and acls.is_public(listed):
            listed = [grant for grant in listed if grant[0] == "user"]
        grant = acls.grants(listed, permission, project=who.project, anonymous=who.anonymous)
        if grant is not None:
            return Decision(True, f"The access control list of the {'bucket' if acl is None else 'object'} grants it.")
    return _NOT_GRANTED


def _name(policy: Policy, statement: object) -> str:
    for number, one in enumerate(policy.statements, 1):
        if one is statement:
            return one.sid or str(number)
    return ""
