"""Events as people tell them: "launched web-1", "was refused to delete web-1"."""

from __future__ import annotations

from cloudbox.common.models import Event

# Where English is not verb + "ed"; the noun stands after it.
_PAST = {
    "launch": "launched", "start": "started", "stop": "stopped", "force-stop": "pulled the plug of", "reboot": "rebooted", "reset": "reset",
    "pause": "paused", "resume": "resumed", "suspend": "suspended", "delete": "deleted", "create": "created", "rename": "renamed",
    "update": "changed", "lock": "locked", "unlock": "unlocked", "protect": "protected", "unprotect": "allowed deletion of",
    "register": "registered", "deactivate": "deactivated", "reactivate": "reactivated", "retire": "retired", "restore": "restored",
    "import": "imported", "revoke": "revoked", "add": "added", "remove": "removed", "set-role": "changed the role of", "set": "set",
    "set-groups": "changed the groups of", "add-rule": "added a rule to", "remove-rule": "removed a rule from", "sign-in": "signed in",
    "open-console": "opened the console of", "reset-password": "set a new password for", "end": "ended a session of", "manage": "changed",
    "console": "opened a console", "power": "changed the power of", "list": "looked at", "get": "looked at",
}  # fmt: skip
# Behind "to", where the verb alone does not say it; some are the second halves of policy actions.
_PLAIN = {
    "manage": "change", "catalogue": "change", "update": "change", "self": "change", "list": "look at", "get": "look at",
    "power": "start or stop", "force-stop": "pull the plug of", "console": "open the console of", "open-console": "open the console of",
    "log": "read the log of", "unprotect": "allow deletion of", "set-role": "change the role of", "set-groups": "change the groups of",
    "add-rule": "add a rule to", "remove-rule": "remove a rule from", "reset-password": "set a new password for",
    "end": "end a session of", "sign-in": "sign in",
}  # fmt: skip
# Moves that the box reports, as the thing's own state.
_BECAME = {
    "running": "is running", "stopped": "is stopped", "paused": "is paused", "suspended": "is suspended", "error": "failed",
    "deleting": "is being deleted", "deleted": "is gone", "building": "is being built", "starting": "is starting",
    "stopping": "is stopping", "rebooting": "is rebooting", "suspending": "is being suspended",
}  # fmt: skip
_NOUNS = {
    "keypair": "key pair", "keypairs": "key pairs", "security-group": "security group", "security_groups": "security groups",
    "access-key": "access key", "user": "account",
}  # fmt: skip


def noun(event: Event) -> str:
    return _NOUNS.get(event.noun, event.noun.replace("-", " ").replace("_", " "))


def became(event: Event) -> str:
    """As in "is running", when the event is a move and not an act; else empty."""
    return _BECAME.get(event.verb, "") if event.noun == "instance" else ""


def verb(event: Event) -> str:
    """What was done, without its subject."""
    if event.outcome == Event.Outcome.OK:
        return _PAST.get(event.verb, event.verb.replace("-", " "))
    plain = _PLAIN.get(event.verb, event.verb.replace("-", " "))
    return f"was not allowed to {plain}" if event.outcome == Event.Outcome.REFUSED else f"failed to {plain}"


def who(event: Event) -> str:
    """The part of an e-mail address that tells people apart."""
    return event.actor.split("@")[0] if "@" in event.actor else event.actor


def subject(event: Event) -> str:
    """The thing's name."""
    if event.noun in ("token", "access-key", "credentials"):
        return event.detail.split(" CBX")[0] if event.outcome == Event.Outcome.OK else ""
    return "" if event.verb == "sign-in" or event.subject.endswith(")") else event.subject


def kind(event: Event) -> str:
    """What the thing is, where its name alone would leave it open; instances are most of a project and go without."""
    return "" if (event.noun == "instance" and event.subject) or event.verb == "sign-in" else noun(event)
