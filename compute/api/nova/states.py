"""What an instance is doing, in Nova's words: status, vm_state, task_state and power_state."""

from __future__ import annotations

from dataclasses import dataclass

from compute.models import Instance, Reversal

S = Instance.Status
NO_STATE, RUNNING, PAUSED, SHUTDOWN = 0, 1, 3, 4


@dataclass(frozen=True)
class State:
    status: str
    vm_state: str
    task_state: str | None
    power_state: int


_STATES: dict[str, State] = {
    S.BUILDING: State("BUILD", "building", "spawning", NO_STATE),
    S.RUNNING: State("ACTIVE", "active", None, RUNNING),
    S.STARTING: State("SHUTOFF", "stopped", "powering-on", SHUTDOWN),
    S.STOPPING: State("ACTIVE", "active", "powering-off", RUNNING),
    S.STOPPED: State("SHUTOFF", "stopped", None, SHUTDOWN),
    S.REBOOTING: State("REBOOT", "active", "rebooting", RUNNING),
    S.PAUSED: State("PAUSED", "paused", None, PAUSED),
    S.SUSPENDING: State("ACTIVE", "active", "suspending", RUNNING),
    S.SUSPENDED: State("SUSPENDED", "suspended", None, SHUTDOWN),
    S.RESIZING: State("RESIZE", "active", "resize_migrating", RUNNING),
    S.REBUILDING: State("REBUILD", "active", "rebuilding", RUNNING),
    S.RESCUING: State("ACTIVE", "active", "rescuing", RUNNING),
    S.SHELVING: State("ACTIVE", "active", "shelving", RUNNING),
    S.SHELVED: State("SHELVED_OFFLOADED", "shelved_offloaded", None, SHUTDOWN),
    S.UNSHELVING: State("SHELVED_OFFLOADED", "shelved_offloaded", "unshelving", SHUTDOWN),
    S.DELETING: State("ACTIVE", "active", "deleting", RUNNING),
    S.DELETED: State("DELETED", "deleted", None, NO_STATE),
    S.ERROR: State("ERROR", "error", None, NO_STATE),
}
_RESIZED = State("VERIFY_RESIZE", "resized", None, RUNNING)
_RESIZED_OFF = State("VERIFY_RESIZE", "resized", None, SHUTDOWN)
_IN_RESCUE = State("RESCUE", "rescued", None, RUNNING)
_UNRESCUING = State("RESCUE", "rescued", "unrescuing", RUNNING)


def of(instance: Instance) -> State:
    """In rescue, and while a resize can be taken back, Nova has states of their own."""
    if instance.status == S.RESCUING and instance.rescue_image_id:
        return _UNRESCUING
    if instance.status == S.RUNNING and instance.rescue_image_id:
        return _IN_RESCUE
    if instance.status in (S.RUNNING, S.STOPPED) and is_resized(instance):
        return _RESIZED if instance.status == S.RUNNING else _RESIZED_OFF
    return _STATES[instance.status]


def is_resized(instance: Instance) -> bool:
    """Has it another size that can still be taken back?"""
    return any(row.kind == Reversal.Kind.RESIZE and row.until is not None for row in instance.reversals.all())


# What may be asked for as `status=`; VERIFY_RESIZE and RESCUE need more than a status, see `servers`.
BY_NAME: dict[str, set[str]] = {}
for _status, _state in _STATES.items():
    BY_NAME.setdefault(_state.status, set()).add(_status)
BY_VM_STATE: dict[str, set[str]] = {}
for _status, _state in _STATES.items():
    BY_VM_STATE.setdefault(_state.vm_state, set()).add(_status)
