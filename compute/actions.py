"""One table: what can be done to an instance, in which states, by whom. Buttons, API errors and their sentences come from here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cloudbox.common.errors import Conflict
from compute.models import Instance, InstanceSnapshot, Reversal
from identity.context import Context

S = Instance.Status


@dataclass(frozen=True, kw_only=True)
class Action:
    """`states`: from where it is possible. `already`: where it is so anyway, and asking succeeds."""

    key: str
    label: str
    policy: str
    states: frozenset[str]
    icon: str
    already: frozenset[str] = frozenset()
    confirm: str = ""  # empty: reversible, no dialog
    danger: bool = False
    locked_too: bool = False  # may be done to a locked instance
    besides: Callable[[Instance], str] = lambda instance: ""  # what else stands against it, as a sentence


def _action(key: str, label: str, states: set[str], icon: str, **more: object) -> Action:
    return Action(key=key, label=label, states=frozenset(states), icon=icon, **({"policy": "instances.power"} | more))  # type: ignore[arg-type]


_SETTLED: set[str] = {S.RUNNING, S.STOPPED, S.PAUSED, S.SUSPENDED, S.SHELVED, S.ERROR}
_OPEN: set[str] = {S.RUNNING, S.STOPPED}
_OPEN_OR_ERROR: set[str] = {*_OPEN, S.ERROR}


def reversal(instance: Instance, kind: str) -> Reversal | None:
    """The resize or rebuild that can still be taken back, or is under way."""
    return next((row for row in instance.reversals.all() if row.kind == kind), None)


def _in_rescue(instance: Instance) -> str:
    return f"{instance.name} is in rescue. Leave rescue first." if instance.rescue_image_id else ""


def _no_resize(instance: Instance) -> str:
    if reversal(instance, Reversal.Kind.RESIZE):
        return f"The last resize of {instance.name} can still be taken back. Keep or take back the size first."
    return _in_rescue(instance)


def _a_resize(instance: Instance) -> str:
    return "" if reversal(instance, Reversal.Kind.RESIZE) else f"{instance.name} has not been resized lately."


def _has_snapshots(instance: Instance) -> bool:
    """Rows that `instances` reads know it already; any other asks."""
    known: bool | None = getattr(instance, "has_snapshots", None)
    return instance.snapshots.exclude(status=InstanceSnapshot.Status.DELETED).exists() if known is None else known


def _boots_from_volume(instance: Instance) -> bool:
    known: bool | None = getattr(instance, "has_boot_volume", None)
    return instance.volumes.filter(is_boot=True).exists() if known is None else known


def _other_disk(instance: Instance) -> str:
    """What its root disk cannot leave behind, or is not."""
    if _has_snapshots(instance):
        return f"{instance.name} has snapshots, which lie on its root disk. Delete them first."
    if _boots_from_volume(instance):
        return f"{instance.name} has no root disk of its own: it boots from a volume. Make a snapshot of that instead."
    return ""


def _no_rebuild(instance: Instance) -> str:
    if reversal(instance, Reversal.Kind.REBUILD):
        return f"The disk of {instance.name} from before its last rebuild is still kept. Undo that rebuild, or drop the old disk, first."
    return _in_rescue(instance) or _other_disk(instance)


def _no_rescue(instance: Instance) -> str:
    if _boots_from_volume(instance):
        return f"{instance.name} has no root disk of its own: it boots from a volume. Attach that to another instance to repair it."
    return _in_rescue(instance)


def _no_shelf(instance: Instance) -> str:
    """What lies with the disk in its folder would be lost on the way."""
    return _no_rebuild(instance)


def _a_rebuild(instance: Instance) -> str:
    if not reversal(instance, Reversal.Kind.REBUILD):
        return f"{instance.name} has no disk from before a rebuild."
    return _in_rescue(instance)


ACTIONS: dict[str, Action] = {
    action.key: action
    for action in (
        _action("start", "Start", {S.STOPPED, S.SUSPENDED, S.ERROR}, "play", already=frozenset({S.RUNNING, S.STARTING})),
        _action(
            "stop",
            "Stop",
            {S.RUNNING, S.PAUSED, S.REBOOTING, S.ERROR},
            "stop",
            already=frozenset({S.STOPPED, S.STOPPING}),
            confirm="People on it lose their session. It keeps its address and disk.",
        ),
        _action("reboot", "Reboot", {S.RUNNING}, "restart", already=frozenset({S.REBOOTING}), confirm="People on it lose their session."),
        _action(
            "reset",
            "Hard reboot",
            {S.RUNNING, S.REBOOTING},
            "restart",
            confirm="This presses the reset button: what the guest has not written to disk is lost.",
        ),
        _action("pause", "Pause", {S.RUNNING}, "pause", already=frozenset({S.PAUSED})),
        _action("resume", "Resume", {S.PAUSED}, "play", already=frozenset({S.RUNNING})),
        _action("suspend", "Suspend to disk", {S.RUNNING, S.PAUSED}, "moon", already=frozenset({S.SUSPENDED, S.SUSPENDING})),
        _action("console", "Console", {S.RUNNING, S.PAUSED, S.REBOOTING}, "terminal", policy="instances.console", locked_too=True),
        _action("watch", "Watch the console", {S.RUNNING, S.PAUSED, S.REBOOTING}, "eye", policy="instances.watch", locked_too=True),
        _action("rename", "Rename", {*_SETTLED, S.BUILDING, S.STARTING, S.STOPPING, S.REBOOTING}, "edit", policy="instances.update"),
        _action("tag", "Tag", {*_SETTLED, S.BUILDING, S.STARTING, S.STOPPING, S.REBOOTING}, "tag", policy="instances.update"),
        _action("lock", "Lock", set(S.values) - {S.DELETING, S.DELETED}, "lock", policy="instances.update", locked_too=True),
        _action("unlock", "Unlock", set(S.values) - {S.DELETING, S.DELETED}, "lock", policy="instances.update", locked_too=True),
        _action("protect", "Protect from deletion", set(S.values) - {S.DELETING, S.DELETED}, "shield", policy="instances.update"),
        _action("unprotect", "Allow deletion", set(S.values) - {S.DELETING, S.DELETED}, "shield", policy="instances.update"),
        _action("resize", "Resize", _OPEN, "scale", policy="instances.update", besides=_no_resize),
        _action("confirm-resize", "Keep the new size", _SETTLED, "check", policy="instances.update", besides=_a_resize),
        _action(
            "revert-resize",
            "Back to the old size",
            _OPEN,
            "restart",
            policy="instances.update",
            besides=lambda instance: _a_resize(instance) or _in_rescue(instance),
            confirm="It is restarted with the size from before. Its disk stays as large as it is.",
        ),
        _action("rebuild", "Rebuild", _OPEN_OR_ERROR, "restart", policy="instances.update", besides=_no_rebuild, danger=True),
        _action(
            "undo-rebuild",
            "Undo the rebuild",
            _OPEN_OR_ERROR,
            "restart",
            policy="instances.update",
            besides=_a_rebuild,
            confirm="The disk from before comes back. The one since is deleted, with all that was written to it.",
            danger=True,
        ),
        _action(
            "drop-old-disk",
            "Drop the old disk",
            _SETTLED,
            "trash",
            policy="instances.update",
            besides=_a_rebuild,
            confirm="The disk from before the rebuild is deleted. This cannot be undone.",
            danger=True,
        ),
        _action("rescue", "Rescue", _OPEN_OR_ERROR, "help", policy="instances.update", besides=_no_rescue),
        _action(
            "unrescue",
            "Leave rescue",
            _OPEN_OR_ERROR,
            "restart",
            policy="instances.update",
            besides=lambda instance: "" if instance.rescue_image_id else f"{instance.name} is not in rescue.",
            confirm="It boots from its own disk again. The rescue system is deleted, with all that was written to it.",
        ),
        _action(
            "shelve",
            "Shelve",
            _OPEN,
            "moon",
            policy="instances.update",
            besides=_no_shelf,
            confirm="It is shut down, and its disk goes to the image store. Name, addresses and volumes stay; its processors and memory "
            "are free for others until it is unshelved.",
        ),
        _action("nics", "Put a network card in", _OPEN, "net", policy="instances.update"),
        _action("password", "Set a password", {S.RUNNING}, "key", policy="instances.update"),
        _action("unshelve", "Unshelve", {S.SHELVED}, "play", policy="instances.update"),
        _action(
            "delete",
            "Delete",
            set(S.values) - {S.DELETED},
            "trash",
            policy="instances.delete",
            already=frozenset({S.DELETING}),
            confirm="Its root disk goes with it. This cannot be undone.",
            danger=True,
        ),
    )
}

_INSTEAD = {
    S.STOPPED: "Start it first.",
    S.SHELVED: "Unshelve it first.",
    S.SUSPENDED: "Start it first.",
    S.PAUSED: "Resume it first.",
    S.RUNNING: "Stop it first.",
}


def why_not(ctx: Context, instance: Instance, key: str) -> str:
    """Empty when the action is possible now, else the sentence that says why not and what to do."""
    action = ACTIONS[key]
    return ctx.why_not(action.policy) or _why_not_now(instance, action)


def _why_not_now(instance: Instance, action: Action) -> str:
    if instance.status not in action.states:
        label = instance.get_status_display().lower()
        hint = _INSTEAD.get(S(instance.status), "Wait until that is done.")
        return f"{instance.name} is {label} already." if instance.status in action.already else f"{instance.name} is {label}. {hint}"
    if instance.locked_by and not action.locked_too:
        return f"{instance.name} is locked by {instance.locked_by}. Unlock it first."
    if action.key == "delete" and instance.is_protected:
        return f"{instance.name} is protected from deletion. Allow deletion in its settings first."
    return action.besides(instance)


def check(instance: Instance, key: str) -> bool:
    """True: do it. False: it is so already. Otherwise Conflict, with the sentence that the button shows."""
    action = ACTIONS[key]
    if instance.status in action.already:
        return False
    reason = _why_not_now(instance, action)
    if reason:
        raise Conflict(reason, resource=str(instance.id))
    return True
