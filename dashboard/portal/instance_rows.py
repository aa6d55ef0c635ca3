"""What pages and live fragments show of instances: rows, buttons with their reasons, and the moving parts, from our tables only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from compute import actions, metrics, progress
from compute.progress import Progress
from identity.context import Context

# What the state suggests; the rest stands under ⋯.
SUGGESTED: dict[str, tuple[str, ...]] = {
    "building": ("console",),
    "running": ("console", "reboot", "stop"),
    "starting": ("console", "stop"),
    "stopping": ("force-stop",),
    "stopped": ("start",),
    "rebooting": ("console", "reset"),
    "paused": ("resume", "stop"),
    "suspending": (),
    "suspended": ("start",),
    "resizing": (),
    "rebuilding": (),
    "rescuing": (),
    "shelving": (),
    "shelved": ("unshelve",),
    "unshelving": (),
    "error": ("start",),
    "deleting": (),
}
MENU = ("start", "stop", "force-stop", "reboot", "reset", "pause", "resume", "suspend")
BULK = ("start", "stop", "reboot", "delete")
# The sprite's name of an icon where it differs from the table's.
_ICONS = {"terminal": "term", "edit": "gear"}
FORCE = "force-stop"
FORCE_ASK = "This pulls the plug: what the guest has not written to disk is lost."


@dataclass(frozen=True, kw_only=True)
class Button:
    """An action as a control. `reason` says why it is disabled; `ask` is the sentence of its confirmation."""

    key: str
    label: str
    icon: str
    reason: str = ""
    ask: str = ""
    danger: bool = False

    @property
    def is_link(self) -> bool:
        return self.key == "console"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One instance in a list."""

    instance: Any
    progress: Progress | None
    spark: list[float]

    @property
    def cpu(self) -> int | None:
        return round(self.spark[-1]) if self.spark else None

    @property
    def ports(self) -> list[Any]:
        return list(self.instance.ports.all())

    @property
    def has_screen(self) -> bool:
        return self.instance.status == "running" and self.instance.screen_at is not None


def lean(found: Any) -> Any:
    """The same instances with only what a row shows."""
    return found.select_related(None).select_related("flavor", "project").prefetch_related(None).prefetch_related("ports")


def rows(ctx: Context, found: Sequence[Any]) -> list[Row]:
    """The rows of a page of instances: two queries for all of them."""
    moves = progress.of(found)
    sparks = metrics.sparklines(ctx, [instance.id for instance in found if instance.status == "running"])
    return [Row(instance=one, progress=moves.get(one.id), spark=sparks.get(one.id, [])) for one in found]


def button(ctx: Context, instance: Any, key: str) -> Button:
    if key == FORCE:
        possible = instance.status in {"running", "stopping", "rebooting", "paused"}
        reason = ctx.why_not("instances.power") or ("" if possible else actions.why_not(ctx, instance, "stop"))
        if not reason and instance.locked_by:
            reason = actions.why_not(ctx, instance, "stop")
        return Button(key=key, label="Force off", icon="power", reason=reason, ask=FORCE_ASK, danger=True)
    action = actions.ACTIONS[key]
    return Button(
        key=key,
        label=action.label,
        icon=_ICONS.get(action.icon, action.icon),
        reason=actions.why_not(ctx, instance, key),
        ask=action.confirm,
        danger=action.danger,
    )


def suggested(ctx: Context, instance: Any) -> list[Button]:
    """The two or three that the state suggests."""
    return [button(ctx, instance, key) for key in SUGGESTED.get(instance.status, ())]


def menu(ctx: Context, instance: Any, *, all_of_them: bool = False) -> list[Button]:
    """The others, possible ones and impossible ones with their reason."""
    shown = () if all_of_them else SUGGESTED.get(instance.status, ())
    keys = [key for key in MENU if key not in shown]
    keys.append("unlock" if instance.locked_by else "lock")
    return [button(ctx, instance, key) for key in keys]


def windows(ctx: Context, instance: Any) -> list[dict[str, Any]]:
    """What can still be taken back, with both ways to decide; and that it is in rescue."""
    found = []
    if instance.rescue_image_id:
        text = f"{instance.name} runs the rescue system, with its own disk as the second."
        found.append({"kind": "rescue", "text": text, "buttons": [button(ctx, instance, "unrescue")]})
    for row in instance.reversals.all():
        if row.until is None:
            continue
        if row.kind == "resize":
            text, final = f"Resized from {row.flavor.name} to {instance.flavor.name}.", "the new size is kept"
            keys = ("confirm-resize", "revert-resize")
        else:
            text, final = f"Rebuilt from {instance.image.name}. The disk from before is kept.", "it is deleted"
            keys = ("undo-rebuild", "drop-old-disk")
        buttons = [button(ctx, instance, key) for key in keys]
        found.append({"kind": row.kind, "text": text, "until": row.until, "final": final, "buttons": buttons})
    return found


def head(ctx: Context, instance: Any, *, tab: str = "") -> dict[str, Any]:
    """The context of `_head.html` and `_props.html`."""
    return {
        "i": instance,
        "progress": progress.of([instance]).get(instance.id),
        "ports": list(instance.ports.all()),
        "groups": sorted({group.name: group for port in instance.ports.all() for group in port.security_groups.all()}.items()),
        "suggested": suggested(ctx, instance),
        "menu": menu(ctx, instance),
        "delete": button(ctx, instance, "delete"),
        "windows": windows(ctx, instance),
        "serial": instance.id.hex[:20],
        "tab": tab,
    }
