"""Events as people tell them: "launched web-1", "web-1 is running", "was not allowed to start or stop instances"."""

from __future__ import annotations

from cloudbox.common.models import Event

# Verb -> what was done. The kind of the thing (if its name alone does not say it) and its name stand after it.
_DONE = {
    "launch": "launched", "start": "started", "stop": "stopped", "force-stop": "pulled the plug of", "reboot": "rebooted",
    "reset": "pressed the reset button of", "pause": "paused", "resume": "resumed", "suspend": "suspended", "delete": "deleted",
    "create": "created", "rename": "renamed", "update": "changed", "lock": "locked", "unlock": "unlocked", "protect": "protected",
    "unprotect": "allowed the deletion of", "open-console": "opened the console of", "register": "registered", "deactivate": "deactivated",
    "reactivate": "reactivated", "retire": "retired", "restore": "restored", "import": "imported", "revoke": "revoked", "add": "added",
    "remove": "removed", "set-role": "changed the role of", "set-groups": "changed the security groups of", "add-rule": "added a rule to",
    "remove-rule": "removed a rule from", "reset-password": "set a new password for", "watch-console": "watched the console of",
    "configure": "changed the settings of", "rotate": "rotated", "enable": "enabled", "disable": "disabled",
    "empty": "began to empty", "emptied": "emptied", "cancel-emptying": "stopped the emptying of",
    "bulk-delete": "began to delete many objects of", "bulk-copy": "began to copy many objects of",
    "bulk-move": "began to move many objects of", "bulk-stop": "stopped the work on many objects of",
    "bulk-done": "ended the work on many objects of",
    "add-instance": "put an instance into", "remove-instance": "took an instance out of",
    "attach-nic": "put a network card into", "detach-nic": "took a network card out of",
    "set-password": "set a password in", "set-hours": "set the office hours of", "clear-hours": "ended the office hours of",
    "skip-start": "was to start, and could not,", "skip-stop": "was to stop, and could not,",
    "resize": "resized", "confirm-resize": "kept the new size of", "revert-resize": "took back the resize of", "rebuild": "rebuilt",
    "undo-rebuild": "undid the rebuild of", "drop-old-disk": "dropped the old disk of", "unrescue": "took out of rescue",
    "shelve": "shelved", "unshelve": "unshelved",
    "attach": "attached", "detach": "detached", "grow": "enlarged",
}  # fmt: skip
# (noun, verb) -> the whole of what was done; "{}" is the name of the thing.
_DONE_OF = {
    ("instance", "suspend"): "suspended {} to disk",
    ("instance", "rescue"): "put {} into rescue",
    ("instance", "config-drive"): "changed the config drive of {}",
    ("instance", "metadata-tokens"): "changed how the metadata of {} is asked for",
    ("load-balancer", "create-pool"): "added a pool to load balancer {}",
    ("load-balancer", "update-pool"): "changed a pool of load balancer {}",
    ("load-balancer", "delete-pool"): "deleted a pool of load balancer {}",
    ("load-balancer", "add-member"): "put an instance behind load balancer {}",
    ("load-balancer", "update-member"): "changed a member of load balancer {}",
    ("load-balancer", "remove-member"): "took an instance from behind load balancer {}",
    ("load-balancer", "add-listener"): "added a listener to load balancer {}",
    ("load-balancer", "update-listener"): "changed a listener of load balancer {}",
    ("load-balancer", "remove-listener"): "removed a listener of load balancer {}",
    ("vpn-peer", "create"): "gave VPN access to {}",
    ("vpn-peer", "revoke"): "revoked the VPN access of {}",
    ("router", "attach-network"): "put a network on router {}",
    ("router", "detach-network"): "took a network off router {}",
    ("router", "set-gateway"): "changed where router {} leads",
    ("router", "set-routes"): "changed the static routes of router {}",
    ("floating-ip", "associate"): "gave an instance the floating IP {}",
    ("floating-ip", "disassociate"): "took the floating IP {} off",
    ("floating-ip", "allocate"): "took the floating IP {}",
    ("floating-ip", "release"): "gave back the floating IP {}",
    ("port-forward", "create"): "forwarded the port {}",
    ("port-forward", "delete"): "stopped forwarding the port {}",
    ("volume", "restore"): "took volume {} back to a snapshot",
    ("instance-snapshot", "restore"): "took an instance back to the snapshot {}",
    ("volume", "retype"): "changed the type of volume {}",
    ("volume", "offer"): "offered volume {} to another project",
    ("volume", "withdraw"): "withdrew the offer of volume {}",
    ("volume", "accept"): "took over volume {}",
    ("catalogue-entry", "create"): "put {} into the catalogue of images",
    ("catalogue-entry", "update"): "changed {} in the catalogue of images",
    ("catalogue-entry", "delete"): "took {} out of the catalogue of images",
    ("catalogue-entry", "fetch"): "began to fetch {} of the catalogue of images",
    ("image", "upload"): "uploaded the file of the image {}",
    ("image", "export"): "began to export the image {}",
    ("image", "finish-export"): "exported the image {}",
    ("image", "fail-export"): "could not export the image {}",
    ("image", "cancel-export"): "cancelled an export of the image {}",
    ("image", "share"): "offered image {} to another project",
    ("image", "withdraw"): "withdrew image {} from another project",
    ("image", "accept"): "accepted image {} of another project",
    ("image", "reject"): "turned down image {} of another project",
    ("volume", "hand-over"): "handed over volume {}",
    ("backup", "create"): "began the backup {}",
    ("backup", "finish"): "finished the backup {}",
    ("backup", "cancel"): "cancelled the backup {}",
    ("backup", "expire"): "ended the backup {}, which no rule keeps",
    ("backup", "read-file"): "took a file out of the backup {}",
    ("snapshot", "read-file"): "took a file out of the snapshot {}",
    ("backup", "try"): "began to verify the backup {}",
    ("backup", "pass-trial"): "verified the backup {}",
    ("backup", "fail-trial"): "found the backup {} wanting",
    ("backup-vault", "forget"): "forgot the backup vault {}",
    ("backup-vault", "refresh"): "read the bucket of the backup vault {}",
    ("backup-schedule", "miss"): "could not make all backups of the schedule {}",
    ("quota", "set"): "set the quota of project {}",
    ("user", "sign-in"): "signed in",
    ("user", "update"): "changed their own profile",
    ("user", "change-password"): "changed their own password",
    ("account", "configure"): "changed the settings of the object store's account",
    ("bucket", "inventory"): "asked for an inventory of bucket {}",
    ("drive", "drain"): "began to empty drive {}",
    ("drive", "keep"): "kept drive {}",
    ("drive", "replace"): "began to replace drive {}",
    ("drive", "set"): "changed drive {}",
    ("session", "end"): "ended another session of their own",
}
# Moves that the box reports, as the thing's own state.
_BECAME = {
    "running": "is running", "stopped": "is stopped", "paused": "is paused", "suspended": "is suspended", "error": "failed",
    "deleting": "is being deleted", "deleted": "is gone", "building": "is being built", "starting": "is starting",
    "stopping": "is stopping", "rebooting": "is rebooting", "suspending": "is being suspended",
    "resizing": "is being resized", "rebuilding": "is being rebuilt", "rescuing": "changes its boot disk", "shelving": "is being shelved",
    "shelved": "is shelved", "unshelving": "is coming off the shelf",
}  # fmt: skip
_BECAME_OF = {
    "instance": _BECAME,
    "volume": {
        "available": "is available", "attached": "is attached", "error": "failed", "deleted": "is gone",
    },
    "backup": {"ready": "is ready", "error": "failed", "deleted": "is gone"},
    "image": {"ready": "is ready", "failed": "could not be brought in"},
    "snapshot": {"ready": "is ready", "error": "failed", "deleted": "is gone"},
    "instance-snapshot": {"ready": "is ready", "error": "failed", "deleted": "is gone"},
}  # fmt: skip
# An action of identity.policy, whose halves are noun and verb of the refusal -> what was not allowed.
_NOT_ALLOWED = {
    "instances.list": "see the instances",
    "instances.launch": "launch instances",
    "instances.power": "start or stop instances",
    "instances.update": "change instances",
    "instances.delete": "delete instances",
    "instances.console": "open a console",
    "instances.watch": "watch a console",
    "instances.log": "read a console's log",
    "flavors.list": "see the sizes",
    "flavors.manage": "change the sizes",
    "images.list": "see the images",
    "images.manage": "change images",
    "images.catalogue": "change the catalogue of images",
    "volume_types.list": "see the types of volumes",
    "volume_types.manage": "change the types of volumes",
    "volumes.list": "see the volumes",
    "volumes.manage": "change volumes",
    "snapshots.list": "see the snapshots",
    "snapshots.manage": "change snapshots",
    "snapshots.browse": "read the files in snapshots",
    "backups.list": "see the backups",
    "backups.manage": "change backups",
    "backups.browse": "read the files in backups",
    "keypairs.list": "see the key pairs",
    "keypairs.manage": "change key pairs",
    "snippets.list": "see the snippets of user data",
    "snippets.manage": "change snippets of user data",
    "vpn.list": "see who has VPN access",
    "vpn.manage": "give or revoke VPN access",
    "load_balancers.list": "see the load balancers",
    "load_balancers.manage": "change load balancers",
    "networks.list": "see the networks",
    "networks.manage": "change networks",
    "external_networks.list": "see the external networks",
    "external_networks.manage": "change the external networks",
    "ports.unguard": "switch off port security",
    "security_groups.list": "see the security groups",
    "security_groups.manage": "change security groups",
    "quotas.list": "see the quota",
    "quotas.set": "set a quota",
    "activity.list": "see what happened",
    "activity.all": "read the audit log",
    "members.list": "see the members",
    "members.manage": "change who is a member",
    "projects.get": "see the project",
    "projects.update": "change the project",
    "projects.list_all": "see all projects",
    "projects.create": "create a project",
    "projects.delete": "delete a project",
    "projects.suspend": "suspend or resume a project",
    "users.list": "see the accounts",
    "users.manage": "change accounts",
    "users.self": "change their own account",
    "credentials.list": "see their credentials",
    "credentials.create": "create a credential",
    "credentials.revoke": "revoke a credential",
    "domains.manage": "change domains",
    "roles.manage": "change roles",
    "roles.grant_custom": "grant a role",
    "buckets.list": "see the buckets",
    "buckets.manage": "change buckets",
    "encryption_keys.manage": "change encryption keys",
    "box.look": "look at the box",
    "drives.list": "see the drives of the object store",
    "drives.manage": "change the drives of the object store",
    "user.sign-in": "sign in",
}
_NOUNS = {
    "vpn-peer": "VPN access", "snippet": "snippet of user data", "floating-ip": "floating IP", "keypair": "key pair", "user": "account",
    "flavor": "size",
}  # fmt: skip
# Kinds whose things tell their name in the detail: secrets have no name that may be shown twice.
_NAMED_BY_DETAIL = {"token", "access-key"}


def noun(event: Event) -> str:
    return _NOUNS.get(event.noun, event.noun.replace("-", " ").replace("_", " "))


def became(event: Event) -> str:
    """As in "is running", when the event is a move and not an act; else empty."""
    return _BECAME_OF.get(event.noun, {}).get(event.verb, "")


def act(event: Event) -> tuple[str, str]:
    """What was done (or was not allowed, or failed), before and after the name of the thing, which `subject` tells."""
    key = (event.noun, event.verb)
    if event.outcome == Event.Outcome.OK:
        before, _, after = _DONE_OF.get(key, f"{_DONE.get(event.verb, _plain(event.verb))} {_kind(event)}{{}}").partition("{}")
        return before.strip(), after.strip()
    what = _NOT_ALLOWED.get(f"{event.noun}.{event.verb}", f"{_plain(event.verb)} {noun(event)}")
    return ("was not allowed to " if event.outcome == Event.Outcome.REFUSED else "failed to ") + what, ""


def _plain(verb: str) -> str:
    return verb.replace("-", " ").replace("_", " ")


def _kind(event: Event) -> str:
    """What the thing is, where its name alone would leave it open; instances are most of a project and go without."""
    return "" if event.noun == "instance" and event.subject else f"{noun(event)} "


def who(event: Event) -> str:
    """The part of an e-mail address that tells people apart."""
    return event.actor.split("@")[0] if "@" in event.actor else event.actor


def subject(event: Event) -> str:
    """The thing's name, where the sentence needs one."""
    if event.outcome != Event.Outcome.OK:
        return ""
    if event.noun in _NAMED_BY_DETAIL:
        return event.detail.split(" CBX")[0].removesuffix(", reaching the box")
    whole = _DONE_OF.get((event.noun, event.verb))
    # Rows without a name of their own are called by their class and key, which nobody wants to read.
    return "" if event.subject.endswith(")") or (whole is not None and "{}" not in whole) else event.subject


def text(event: Event, *, by: bool = True) -> str:
    """The whole as plain text; without `by`, it leaves out who did it."""
    if moved := became(event):
        return f"{event.subject} {moved}"
    before, after = act(event)
    return " ".join(part for part in (who(event) if by else "", before, subject(event), after) if part)
