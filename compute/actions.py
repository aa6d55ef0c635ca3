"""One table: what can be done to an instance, in which states, by whom. Buttons, API errors and their sentences come from here."""

from __future__ import annotations

from dataclasses import dataclass

from cloudbox.common.errors import Conflict
from compute.models import Instance
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


def _action(key: str, label: str, states: set[str], icon: str, **more: object) -> Action:
    return Action(key=key, label=label, states=frozenset(states), icon=icon, **({"policy": "instances.power"} | more))  # type: ignore[arg-type]


_SETTLED = {S.RUNNING, S.STOPPED, S.PAUSED, S.SUSPENDED, S.ERROR}

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
    return ""


def check(instance: Instance, key: str) -> bool:
    """True: do it. False: it is so already. Otherwise Conflict, with the sentence that the button shows."""
    action = ACTIONS[key]
    if instance.status in action.already:
        return False
    reason = _why_not_now(instance, action)
    if reason:
        raise Conflict(reason, resource=str(instance.id))
    return True
