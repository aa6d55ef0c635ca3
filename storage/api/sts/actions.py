"""What each action does: a function of the caller and the parameters that gives the inside of its result."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from xml.sax.saxutils import escape

from cloudbox.common.errors import Forbidden, Invalid, NotFound, NotSupported
from identity import credentials, temporary
from identity.context import Context
from identity.models import AccessKey, Membership, Role
from storage.directory import Credential
from storage.loading import visiting

SECONDS_MIN = 900
HOUR, HALF_DAY, DAY_AND_HALF = 3600, 12 * 3600, 36 * 3600


@dataclass(frozen=True, slots=True)
class Caller:
    """Who signed, with which key; `grant` if it is a temporary one."""

    credential: Credential
    grant: temporary.Grant | None
    ctx: Context | None  # None: a service of the box.

    @property
    def account(self) -> str:
        return self.credential.project.hex

    @property
    def arn(self) -> str:
        who = self.credential.who.principal
        if self.grant is not None and (self.grant.session or self.grant.user is None):
            role = self.grant.role or self.credential.who.role
            return f"arn:aws:sts::{self.account}:assumed-role/{role}/{self.grant.session or 'cloudbox'}"
        return user_arn(self.account, who.user_name)

    @property
    def user_id(self) -> str:
        id = self.credential.who.principal.user or "cloudbox"
        return f"{id}:{self.grant.session}" if self.grant is not None and self.grant.session else id


Params = Mapping[str, str]
Act = Callable[[Caller, Params], str]


def user_arn(account: str, name: str) -> str:
    return f"arn:aws:iam::{account}:user/{name}"


def tag(name: str, value: object) -> str:
    return f"<{name}>{escape(str(value))}</{name}>"


def _when(moment: dt.datetime | float) -> str:
    moment = dt.datetime.fromtimestamp(moment, dt.UTC) if isinstance(moment, float) else moment
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


# --- STS


def get_caller_identity(caller: Caller, params: Params) -> str:
    return tag("Arn", caller.arn) + tag("UserId", caller.user_id) + tag("Account", caller.account)


def get_session_token(caller: Caller, params: Params) -> str:
    """The same rights, for a while."""
    ctx = _lasting(caller)
    made = temporary.issue(user=ctx.needed_user.id, project=ctx.project_id, seconds=_seconds(params, default=HALF_DAY, most=DAY_AND_HALF))
    return _credentials(made)


def assume_role(caller: Caller, params: Params) -> str:
    """A role of one's own project that is not above one's own."""
    ctx = _person(caller)
    for name in params:
        if name == "Policy" or name.startswith("PolicyArns"):
            raise NotSupported("This box has no policies of sessions. Assume a lesser role instead.", field=name)
    session = params.get("RoleSessionName", "")
    if not 2 <= len(session) <= 64 or not all(letter.isalnum() or letter in "_+=,.@-" for letter in session) or not session.isascii():
        raise Invalid("RoleSessionName has 2 to 64 letters, digits and _+=,.@-", field="RoleSessionName")
    arn = params.get("RoleArn", "")
    head, _, role = arn.rpartition("/")
    if role not in Role.values or head != f"arn:aws:iam::{caller.account}:role":
        raise Forbidden(f"You may not assume {arn[:200]!r}. Roles are arn:aws:iam::{caller.account}:role/ and reader, member or admin.")
    if [*Role.values].index(role) > [*Role.values].index(caller.credential.who.role):
        raise Forbidden(f"You are {caller.credential.who.role} here, and may not assume the role {role}.")
    seconds = _seconds(params, default=HOUR, most=HALF_DAY)
    if caller.grant is not None:  # Roles chained to each other end with the first.
        seconds = min(seconds, max(temporary.SECONDS_MIN, caller.grant.expires_at - dt.datetime.now(dt.UTC).timestamp()))
    made = temporary.issue(user=ctx.needed_user.id, project=ctx.project_id, seconds=seconds, role=role, session=session)
    assumed = f"arn:aws:sts::{caller.account}:assumed-role/{role}/{session}"
    about = tag("Arn", assumed) + tag("AssumedRoleId", f"{ctx.needed_user.id.hex}:{session}")
    return _credentials(made) + f"<AssumedRoleUser>{about}</AssumedRoleUser><PackedPolicySize>0</PackedPolicySize>"


@visiting
def get_access_key_info(caller: Caller, params: Params) -> str:
    """The account of a key; one of another account is told from none by nobody."""
    key = AccessKey.objects.filter(id=params.get("AccessKeyId", ""), project_id=caller.credential.project).first()
    if key is None:
        raise NotFound("There is no such access key in your account.")
    return tag("Account", key.project_id.hex)


def _credentials(made: temporary.Temporary) -> str:
    inside = tag("AccessKeyId", made.access_key) + tag("SecretAccessKey", made.secret_key) + tag("SessionToken", made.session_token)
    return f"<Credentials>{inside}{tag('Expiration', _when(made.expires_at))}</Credentials>"


def _seconds(params: Params, *, default: int, most: int) -> float:
    text = params.get("DurationSeconds", str(default))
    if not text.isascii() or not text.isdecimal() or len(text) > 9 or not SECONDS_MIN <= int(text) <= most:
        raise Invalid(f"DurationSeconds is a number from {SECONDS_MIN} to {most}.", field="DurationSeconds")
    return float(text)


def _person(caller: Caller) -> Context:
    if caller.ctx is None:
        raise Forbidden("This is for people and their keys, not for a part of the box.")
    return caller.ctx


def _lasting(caller: Caller) -> Context:
    if caller.grant is not None:
        raise Forbidden("Temporary credentials may not do this. Sign with an access key of yours.")
    return _person(caller)


# --- IAM


def get_user(caller: Caller, params: Params) -> str:
    _own(caller, params)
    user = _person(caller).needed_user
    return f"<User>{_user(caller, user.id.hex, user.email, user.created_at)}</User>"


@visiting
def list_users(caller: Caller, params: Params) -> str:
    """All members of the project; for its admins."""
    ctx = _lasting(caller)
    ctx.require("members.manage")
    rows = Membership.objects.filter(project=ctx.project).select_related("user").order_by("user__email")
    inside = "".join(f"<member>{_user(caller, row.user.id.hex, row.user.email, row.user.created_at)}</member>" for row in rows)
    return f"<IsTruncated>false</IsTruncated><Users>{inside}</Users>"


@visiting
def list_access_keys(caller: Caller, params: Params) -> str:
    _own(caller, params)
    rows = credentials.list_access_keys(_lasting(caller))
    inside = "".join(f"<member>{_key(caller, row)}</member>" for row in rows)
    return f"<IsTruncated>false</IsTruncated><AccessKeyMetadata>{inside}</AccessKeyMetadata>"


@visiting
def create_access_key(caller: Caller, params: Params) -> str:
    _own(caller, params)
    key, secret = credentials.create_access_key(_lasting(caller), name=f"made by IAM {dt.datetime.now(dt.UTC):%Y-%m-%d %H.%M.%S}")
    return f"<AccessKey>{_key(caller, key)}{tag('SecretAccessKey', secret)}</AccessKey>"


@visiting
def update_access_key(caller: Caller, params: Params) -> str:
    _own(caller, params)
    status = params.get("Status", "")
    if status not in ("Active", "Inactive"):
        raise Invalid("Status is Active or Inactive.", field="Status")
    credentials.set_access_key_active(_lasting(caller), params.get("AccessKeyId", ""), active=status == "Active")
    return ""


@visiting
def delete_access_key(caller: Caller, params: Params) -> str:
    _own(caller, params)
    credentials.delete_access_key(_lasting(caller), params.get("AccessKeyId", ""))
    return ""


def _own(caller: Caller, params: Params) -> None:
    name = params.get("UserName", "")
    if name and name != _person(caller).needed_user.email:
        raise NotFound(f"You may only ask about yourself, not about the user {name[:100]!r}.")


def _user(caller: Caller, id: str, name: str, created: dt.datetime) -> str:
    return (
        tag("Path", "/")
        + tag("UserName", name)
        + tag("UserId", id)
        + tag("Arn", user_arn(caller.account, name))
        + tag("CreateDate", _when(created))
    )


def _key(caller: Caller, key: AccessKey) -> str:
    return (
        tag("UserName", _person(caller).needed_user.email)
        + tag("AccessKeyId", key.id)
        + tag("Status", "Active" if key.is_active else "Inactive")
        + tag("CreateDate", _when(key.created_at))
    )


STS: dict[str, Act] = {
    "GetCallerIdentity": get_caller_identity,
    "GetSessionToken": get_session_token,
    "AssumeRole": assume_role,
    "GetAccessKeyInfo": get_access_key_info,
}
IAM: dict[str, Act] = {
    "GetUser": get_user,
    "ListUsers": list_users,
    "ListAccessKeys": list_access_keys,
    "CreateAccessKey": create_access_key,
    "UpdateAccessKey": update_access_key,
    "DeleteAccessKey": delete_access_key,
}
