"""One table: action -> the least role that may do it. Everything else about permission is derived from it."""

from __future__ import annotations

from identity.models import BoxRole, Role

# Roles of a project, each including those before it.
_RANK = {Role.READER: 1, Role.MEMBER: 2, Role.ADMIN: 3}

READER, MEMBER, PROJECT_ADMIN = Role.READER, Role.MEMBER, Role.ADMIN
# Of the box: support may look at everything, administrators may do everything.
BOX_LOOK, BOX_ADMIN = "box-look", "box-admin"
# Whoever is signed in, about their own things.
SELF = "self"

ACTIONS: dict[str, str] = {
    "instances.list": READER,
    "instances.launch": MEMBER,
    "instances.power": MEMBER,
    "instances.update": MEMBER,
    "instances.delete": MEMBER,
    "instances.console": MEMBER,
    "instances.watch": READER,  # the serial line without typing: the log, as it comes
    "instances.log": READER,
    "flavors.list": SELF,  # of the box, not of a project: whoever is signed in may see what is offered
    "flavors.manage": BOX_ADMIN,
    "images.list": READER,
    "images.manage": MEMBER,
    "images.catalogue": BOX_ADMIN,
    "volume_types.list": SELF,
    "volume_types.manage": BOX_ADMIN,
    "volumes.list": READER,
    "volumes.manage": MEMBER,
    "snapshots.list": READER,
    "snapshots.manage": MEMBER,
    "snapshots.browse": MEMBER,
    "backups.list": READER,
    "backups.manage": MEMBER,
    # Who reads a disk reads the secrets on it.
    "backups.browse": MEMBER,
    "keypairs.list": READER,
    "keypairs.manage": MEMBER,
    "snippets.list": READER,
    "snippets.manage": MEMBER,
    "vpn.list": READER,
    "vpn.manage": MEMBER,
    "networks.list": READER,
    "networks.manage": MEMBER,
    "external_networks.list": SELF,
    "external_networks.manage": BOX_ADMIN,
    "ports.unguard": PROJECT_ADMIN,  # port security off: the card may send what it likes
    "load_balancers.list": READER,
    "load_balancers.manage": MEMBER,
    "security_groups.list": READER,
    "security_groups.manage": MEMBER,
    "buckets.list": READER,
    "buckets.manage": MEMBER,
    "encryption_keys.manage": MEMBER,
    "quotas.list": READER,
    "quotas.set": BOX_ADMIN,
    "activity.list": READER,
    "activity.all": BOX_LOOK,
    "members.list": READER,
    "members.manage": PROJECT_ADMIN,
    "projects.get": READER,
    "projects.update": PROJECT_ADMIN,
    "projects.list_all": BOX_LOOK,
    "projects.create": BOX_ADMIN,
    "projects.suspend": BOX_ADMIN,
    "users.list": BOX_LOOK,
    "users.manage": BOX_ADMIN,
    "users.self": SELF,
    "roles.manage": BOX_ADMIN,
    "roles.grant_custom": BOX_ADMIN,
    "domains.manage": BOX_ADMIN,
    "projects.delete": BOX_ADMIN,
    "credentials.list": SELF,
    "credentials.create": READER,
    "credentials.revoke": SELF,
    "box.look": BOX_LOOK,
    "drives.list": BOX_LOOK,
    "drives.manage": BOX_ADMIN,
}

# A suspended project can be looked at, paid for and left; nothing in it can be changed.
_CHANGES = {action for action, least in ACTIONS.items() if least in (MEMBER, PROJECT_ADMIN)}

_NAMES: dict[str, str] = {
    READER: "reader",
    MEMBER: "member",
    PROJECT_ADMIN: "project admin",
    BOX_LOOK: "support",
    BOX_ADMIN: "administrator",
}


def allows(action: str, *, role: str | None, box_role: str) -> bool:
    """May somebody of this role in the project, and this role in the box, do it?"""
    least = ACTIONS[action]
    if box_role == BoxRole.ADMIN or least == SELF:
        return True
    if least in (BOX_LOOK, BOX_ADMIN):
        return least == BOX_LOOK and box_role == BoxRole.SUPPORT
    if box_role == BoxRole.SUPPORT and least == READER:
        return action != "credentials.create"
    return role is not None and _RANK[Role(role)] >= _RANK[Role(least)]


def changes(action: str) -> bool:
    """Does the action change something in a project (and is thus refused while it is suspended)?"""
    return action in _CHANGES


def least_name(action: str) -> str:
    """The least role's name, for sentences."""
    return _NAMES.get(ACTIONS[action], "user")
