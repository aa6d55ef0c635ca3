"""States as glyph and word: disc good, ring off, bars held, arc moving, triangle needs a person, diamond failed, dashed not known."""

from __future__ import annotations

from dataclasses import dataclass

# kind -> the inside of a 12 × 12 SVG
GLYPHS: dict[str, str] = {
    "ok": '<circle cx="6" cy="6" r="4.2" fill="currentColor"/>',
    "off": '<circle cx="6" cy="6" r="3.7" fill="none" stroke="currentColor" stroke-width="1.6"/>',
    "held": '<path d="M3.6 2.2v7.6M8.4 2.2v7.6" stroke="currentColor" stroke-width="2.2" fill="none"/>',
    "move": '<circle cx="6" cy="6" r="4.2" fill="none" stroke="currentColor" stroke-opacity=".25" stroke-width="1.8"/>'
    '<path d="M6 1.8A4.2 4.2 0 0 1 10.2 6" fill="none" stroke="currentColor" stroke-width="1.8" stroke-linecap="round"/>',
    "warn": '<path d="M6 1.4 11.2 10.4H.8z" fill="currentColor"/>',
    "bad": '<path d="M6 .8 11.2 6 6 11.2 .8 6z" fill="currentColor"/>',
    "unknown": '<circle cx="6" cy="6" r="3.9" fill="none" stroke="currentColor" stroke-width="1.4" stroke-dasharray="2 1.6"/>',
}


@dataclass(frozen=True)
class State:
    kind: str
    word: str

    @property
    def css(self) -> str:
        """Held and unknown look like off, but for their glyph."""
        return {"held": "off", "unknown": "off"}.get(self.kind, self.kind)


_KINDS = {
    "running": "ok", "ready": "ok", "attached": "ok", "active": "ok", "ok": "ok", "done": "ok", "up": "ok",
    "stopped": "off", "available": "off", "deactivated": "off", "deleted": "off", "off": "off", "queued": "off",
    "cancelled": "off", "retired": "off",
    "paused": "held", "suspended": "held", "shelved": "held",
    "building": "move", "starting": "move", "stopping": "move", "rebooting": "move", "suspending": "move", "deleting": "move",
    "resizing": "move", "rebuilding": "move", "rescuing": "move", "shelving": "move", "unshelving": "move",
    "undoing": "move", "creating": "move", "attaching": "move", "detaching": "move", "growing": "move",
    "restoring": "move", "retyping": "move", "offered": "held",
    "warn": "warn",
    "error": "bad", "failed": "bad", "bad": "bad", "refused": "bad", "down": "bad",
}  # fmt: skip
_WORDS = {"ok": "Good", "warn": "Look at this", "bad": "Failed"}


def state(status: str, label: str = "") -> State:
    """The glyph's kind and the word of a status of any noun."""
    return State(_KINDS.get(status, "unknown"), label or _WORDS.get(status, status.replace("-", " ").capitalize()))
